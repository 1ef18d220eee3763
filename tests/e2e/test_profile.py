"""ragline-profile, and the short forms of what make profile-check shows: what must be right is insisted on; what says how
fast a machine is, is only shown, since the tests share theirs."""

import importlib
import json
import subprocess
import sys

import pytest
from conftest import need
from harness.process import BUILD, ROOT, environment, run

sys.path.append(str(ROOT / "tests" / "profile"))



@pytest.mark.parametrize("name", ["timeline", "delays", "predict", "cost"])
def test_claim(name):
    for program in ("load", "standin", "corpus"):
        need((BUILD / "bench" / program).exists(), f"{BUILD}/bench/{program} (make bench-programs)")
    claims = importlib.import_module(f"shown.{name}").run(short=True)
    width = max(len(claim.name) for claim in claims)
    for claim in claims:
        print(claim.line(width))
    short = [claim.line(0) for claim in claims if claim.strict and not claim.holds]
    assert not short, short


def timeline(number, queue_ms=5.0, work_ms=30.0):
    """A timeline made by hand: one search, then an LLM of 50 ms."""
    search = queue_ms + work_ms + 1
    first = search + 50
    source = {"source": "docs/0/lexical", "worker": "r-1/docs/0/lexical"}
    return {
        "total_ms": first + 100,
        "first_token_ms": first,
        "client_ms": 0,
        "states": [
            {"state": "searching", "start_ms": 0, "ms": search},
            {"state": "waiting", "start_ms": search, "ms": 0},
            {"state": "generating", "start_ms": search, "ms": 50},
            {"state": "streaming", "start_ms": first, "ms": 100},
        ],
        "spans": [
            {"stage": "search", **source, "start_ms": 0, "ms": search, "queue_ms": queue_ms, "work_ms": work_ms,
             "network_ms": 1},
            {"stage": "prefill", "worker": "g-1", "start_ms": search, "ms": 50},
            {"stage": "tokens", "worker": "g-1", "start_ms": first, "ms": 100},
        ],
        "critical_path": [
            {"stage": "search_queue", **source, "start_ms": 0, "ms": queue_ms, "first_token_without_ms": first - queue_ms},
            {"stage": "search_work", **source, "start_ms": queue_ms, "ms": work_ms,
             "first_token_without_ms": first - work_ms},
            {"stage": "search_network", **source, "start_ms": search - 1, "ms": 1, "first_token_without_ms": first - 1},
            {"stage": "prefill", "start_ms": search, "ms": 50, "first_token_without_ms": search},
        ],
    }  # fmt: skip


def trace(number, gap_ms=100.0, **more):
    return {"id": f"a{number}", "unix_ms": 1.7e12 + number * gap_ms, "tokens": 9, "timings": timeline(number, **more)}


def profile(work, text, *words):
    path = work / "recorded.json"
    path.write_text(text)
    return run("ragline-profile", [*words, path], work)


def test_the_slowest_stage_and_the_first_to_saturate_are_named(work):
    kept = {"traces": [trace(n, queue_ms=350.0 if n % 10 == 0 else 5.0) for n in range(200)]}
    done = profile(work, json.dumps(kept))
    assert done.returncode == 0 and done.stderr == "", done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("200 answers in 19.90 s, 10.0 /s; first token p50 86.0 ms, p99 431 ms"), lines[0]
    slowest = lines[3].split()
    assert slowest[0] == "search_queue" and "docs/0/lexical" in lines[3], "the largest at p99 comes first"
    assert any("retrievers of docs/0/lexical" in line and "the first" in line for line in lines)
    told = json.loads(profile(work, json.dumps(kept), "--json", "--profile-retrievers", "x2").stdout)
    assert [stage["stage"] for stage in told["stages"]][:1] == ["search_queue"]
    assert told["stages"][0]["p99_ms"] == pytest.approx(350, abs=0.1)
    station = next(one for one in told["stations"] if one["station"].startswith("retrievers"))
    assert station["demand_ms"] == pytest.approx(30, abs=0.1) and station["busy"] == pytest.approx(0.3, abs=0.01)
    assert station["saturates_per_s"] == pytest.approx(33.3, abs=0.1)
    assert {"error", "simulated", "first_token", "rate_per_s"} <= set(told)
    assert told["simulated"][-1]["what"] == "2 times the retrievers"
    assert told["simulated"][-1]["saturates_per_s"] == pytest.approx(66.7, abs=0.2)


def test_the_same_recording_gives_the_same_profile(work):
    text = "".join(json.dumps(trace(n)) + "\n" for n in range(50))
    first, again = (profile(work, text, "--json", "--profile-poisson", "true").stdout for _ in range(2))
    assert first == again != profile(work, text, "--json", "--profile-poisson", "true", "--profile-seed", "2").stdout


def test_timings_that_a_client_saved_have_shares_and_need_a_rate(work):
    text = "".join(f"event: timings\nid: 9\ndata: {json.dumps(timeline(n))}\n\n" for n in range(30))
    done = profile(work, text)
    assert done.returncode == 0, done.stderr
    assert "search_work" in done.stdout and "--profile-rate" in done.stdout
    done = profile(work, text, "--profile-rate", "5")
    assert "5 questions a second" in done.stdout, done.stdout


def test_standard_input_is_read(work):
    text = "\n".join(json.dumps(trace(n)) for n in range(30))
    done = run("ragline-profile", ["-"], work, input=text)
    assert done.returncode == 0 and "30 answers" in done.stdout


@pytest.mark.parametrize(
    "text,words",
    [
        ("", ["no answer in it"]),
        ("hello\n", ["line 1 is not JSON", "/v1/traces"]),
        ("{}\n", ["none of its 1 JSON values is a timeline"]),
        (json.dumps({"traces": []}), ["0 answers", "20 at least"]),
        (json.dumps(trace(1)), ["1 answer:", "20 at least"]),
        (json.dumps({"traces": [trace(n) for n in range(40)]})[:-40], ["ends in the middle", "line 1", "cut off"]),
        ("\n".join(json.dumps(trace(n)) for n in range(40))[:-40], ["ends in the middle", "line 40", "39 whole"]),
        (json.dumps(trace(1)) + "\n{'total_ms': 1}\n", ["line 2", "is not JSON"]),
    ],
)
def test_what_gives_no_profile_is_refused_by_name(work, text, words):
    done = profile(work, text)
    assert done.returncode == 1 and done.stdout == ""
    assert all(word in done.stderr for word in [*words, "recorded.json"]), done.stderr


def test_wrong_use(work):
    for words in ([], ["a", "b"], ["--profile-retrievers", "2", "a"], ["--profile-rate", "many", "a"]):
        done = run("ragline-profile", words, work)
        assert done.returncode == 2 and done.stdout == "", words
    assert "+N" in run("ragline-profile", ["--profile-retrievers", "2", "a"], work).stderr
    assert "No such file" in run("ragline-profile", [work / "nothing"], work).stderr
    done = run("ragline-profile", ["http://127.0.0.1:1"], work)
    assert done.returncode == 3 and "127.0.0.1:1" in done.stderr


def test_memory_is_bounded(work):
    """60 MB of recording are read in little more than what is kept of it, about 1 kB for an answer."""
    path = work / "long.jsonl"
    one, size = json.dumps(trace(0)), 30_000
    with open(path, "w") as out:
        for n in range(size):
            out.write(one.replace("1700000000000.0", str(1.7e12 + 20 * n)) + "\n")
    # through a small process: what a program's memory is said to have been begins with that of who started it
    script = """import resource, subprocess, sys
status = subprocess.run(sys.argv[2:], stdout=open(sys.argv[1], "w")).returncode
print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"""
    words = [sys.executable, "-c", script, work / "profile.json", BUILD / "ragline-profile", "--json", path]
    told = subprocess.run(words, env=environment(), capture_output=True, text=True, check=True, timeout=300).stdout
    status, most_kb = map(int, told.split())
    assert status == 0
    assert json.loads((work / "profile.json").read_text())["answers"] == size
    assert most_kb < (1000 if "asan" in BUILD.name else 150) * 1024, f"{most_kb} kB"
