"""Looking inside a process: probes (USDT), SIGUSR1 and GET /v1/debug, the log's levels and ids."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from conftest import need
from fakes import embed as fake_embed
from fakes import llm as fake
from fakes.server import Gate
from harness.cluster import options
from harness.http import Connection, call
from harness.ports import free_port
from harness.process import BUILD, ROOT, environment, program
from harness.wait import until

QUESTION = "What pressure does the Kestrel pump run at?"
PROGRAMS = ["ragline-gateway", "ragline-retriever", "ragline-generator"]
HEADER = (ROOT / "common/probes.h").read_text()


def described():
    """{probe: number of arguments} of common/probes.h."""
    return {
        name: int(size)
        for size, name in re.findall(r"RL_PROBE(\d)\(\s*(?:\\\s*)?(\w+), RL_", HEADER)
    }


def probes_of(program):
    """{probe: number of arguments} in a program's notes."""
    need(shutil.which("readelf"), "readelf")
    notes = subprocess.run(
        ["readelf", "-n", str(BUILD / program)], capture_output=True, text=True, check=True
    ).stdout
    found = {}
    for provider, name, arguments in re.findall(
        r"Provider: (\S+)\n\s+Name: (\S+)\n.*\n\s+Arguments:(.*)", notes
    ):
        assert provider == "ragline", provider
        size = len(arguments.split())
        assert found.setdefault(name, size) == size, (program, name)
    return found


# ---- probes ---------------------------------------------------------------------------------------------


def test_every_probe_that_is_described_is_in_one_program():
    need(any(Path("/usr/include").glob("**/sys/sdt.h")), "sys/sdt.h")
    wanted = described()
    assert len(wanted) >= 14, wanted
    found = [probes_of(program) for program in PROGRAMS]
    assert sum(map(len, found)) == len(wanted), found
    assert found[0] | found[1] | found[2] == wanted


def test_every_probe_is_in_the_readme():
    readme = (ROOT / "scripts" / "deploy" / "README.md").read_text()
    for name, size in described().items():
        row = re.search(rf"^\| `{name}` +\|(.*)\|$", readme, re.M)
        assert row, f"scripts/deploy/README.md's table of probes lacks {name}"
        assert len(row[1].split(",")) == size, (name, row[1])


def bpftrace():
    """The words that start bpftrace as root, or a skip with the kernel's reason."""
    need(shutil.which("bpftrace"), "bpftrace")
    words = [] if os.geteuid() == 0 else ["sudo", "-n"]
    environ = {**os.environ, "BPFTRACE_STRLEN": "64"}
    # a program that has done all it can ends by itself
    try:
        tried = subprocess.run(
            [*words, "bpftrace", "-e", "BEGIN { printf(\"works\\n\"); exit(); }"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=environ,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as why:
        pytest.skip(f"the kernel: bpftrace cannot run here: {why}")
    if tried.returncode or "works" not in tried.stdout:
        pytest.skip(f"the kernel: no tracing here: {(tried.stderr or tried.stdout).strip()[-300:]}")
    return words, environ


class Trace:
    """bpftrace with one line for every probe of the programs; its lines as lists of words."""

    def __init__(self, folder):
        words, environ = bpftrace()
        script = []
        for program in PROGRAMS:
            for probe, size in probes_of(program).items():
                texts = [int(n) for n in TEXTS[probe]]
                shown = ", ".join(f"str(arg{n})" if n in texts else f"arg{n}" for n in range(size))
                form = " ".join("[%s]" if n in texts else "%lu" for n in range(size))
                script.append(
                    f'usdt:{BUILD / program}:ragline:{probe} {{ printf("{probe} {form}\\n", {shown}); }}'
                )
        script.append('BEGIN { printf("attached\\n"); }')
        (folder / "all.bt").write_text("\n".join(script))
        self.path = folder / "trace.log"
        with open(self.path, "wb") as out:
            self.popen = subprocess.Popen(
                [*words, "bpftrace", "-B", "line", str(folder / "all.bt")],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environ,
            )  # fmt: skip

    def text(self):
        return self.path.read_text(errors="replace")

    def wait(self, pattern, what):
        def look():
            assert self.popen.poll() is None, self.text()[-2000:]
            return re.search(pattern, self.text(), re.M)

        try:
            return until(look, what, 60)
        except AssertionError:
            if "ERROR" in self.text() and "attached" not in self.text():
                pytest.skip(f"the kernel: bpftrace cannot attach: {self.text()[-300:]}")
            raise

    def lines(self, id):
        """The probes that fired for one request, in order: (name, arguments)."""
        out = []
        for line in self.text().splitlines():
            if f"[{id}]" in line:
                name, rest = line.split(" ", 1)
                out.append((name, [a or b for a, b in re.findall(r"\[([^]]*)\]|(\d+)", rest)]))
        return out

    def stop(self):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGINT)
        self.popen.wait(30)


def test_one_liners_of_the_readme(cluster, llm, tmp_path):
    words, environ = bpftrace()
    lines = re.findall(r"^    bpftrace -e '(.*)'$", (ROOT / "scripts" / "deploy" / "README.md").read_text(), re.M)
    assert len(lines) >= 4
    for line in lines:
        script = line.replace("/usr/local/bin/", f"{BUILD}/")
        script = script.replace("/arg3 > 20000/", "/arg3 > 0/")
        assert str(BUILD) in script
        path = tmp_path / "said"
        with open(path, "wb") as out:
            popen = subprocess.Popen(
                [*words, "bpftrace", "-B", "line", "-e", script + 'BEGIN { printf("attached\\n"); }'],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environ,
            )  # fmt: skip
        try:
            until(lambda: "attached" in path.read_text(), f"bpftrace takes {line}", 60)
            id = cluster.ask(QUESTION).head.headers["x-request-id"]
            cluster.wait_idle()
            if "printf" in line:
                until(lambda: id in path.read_text(), "the request's id")
        finally:
            popen.send_signal(signal.SIGINT)
            popen.wait(30)
        said = path.read_text()
        if "printf" not in line:
            assert re.search(r"^@\w+.*:", said, re.M) and "|@" in said, (line, said)


def text_arguments():
    """{probe: numbers of the arguments that are strings}, as the header's macros say."""
    out = {}
    for name, rest in re.findall(r"RL_PROBE\d\(\s*(?:\\\s*)?(\w+), (RL_.*?\))\)\n", HEADER, re.S):
        kinds = re.findall(r"RL_(TEXT|NUMBER)_\(", rest)
        out[name] = [n for n, kind in enumerate(kinds) if kind == "TEXT"]
    return out


TEXTS = text_arguments()


def test_probes_traced(cluster, llm, tmp_path):
    trace = Trace(tmp_path)
    try:
        trace.wait("^attached", "bpftrace is attached")
        llm.plan(fake.stream(["one ", "two ", "three."], first=0.05))
        stream = cluster.ask(QUESTION)
        id = stream.head.headers["x-request-id"]
        trace.wait(rf"^request_done \[{id}\]", "the answer's last probe")
        trace.wait(rf"^generate_done \[{id}\]", "the generator's last probe")
        lines = trace.lines(id)
        llm.always(fake.error(400))
        refused = cluster.ask(QUESTION).head.headers["x-request-id"]
        trace.wait(rf"^request_done \[{refused}\]", "the refused answer's last probe")
        trace.wait(rf"^generate_done \[{refused}\]", "the generator's last probe")
        broken = dict(trace.lines(refused))
    finally:
        trace.stop()
    assert broken["generation_failed"][4].startswith("llm_"), broken
    assert broken["generate_done"][4] == "failed" and broken["request_done"][1] == "failed"
    of = lambda name: [arguments for probe, arguments in lines if probe == name]  # noqa: E731
    states = [(before, after) for _, before, after, _ in of("request_state")]
    walk = ["received", "searching", "merging", "waiting", "generating", "streaming", "done"]
    assert states == list(zip(walk, walk[1:])), lines
    since = [int(us) for *_, us in of("request_state")]
    assert since == sorted(since)
    # the same tasks on both sides
    tasks = {task for _, task, *_ in of("search_sent")}
    assert len(tasks) == 4, lines
    for probe in ("search_answered", "task_taken", "task_searched", "task_answered"):
        assert {task for _, task, *_ in of(probe)} == tasks, (probe, lines)
    for _, task, worker, took, hits in of("search_answered"):
        assert worker.startswith("retriever-") and int(took) > 0 and int(hits) > 0
        work = next(int(work) for _, other, _, work, _ in of("task_searched") if other == task)
        assert work <= int(took), "a search is no longer than its round trip"
    (generation,) = of("generation_sent")
    (taken,) = of("generate_taken")
    assert generation[1] == taken[1] and generation[2].startswith("generator-")
    (prompt,), (asked,) = of("prompt_built"), of("llm_asked")
    assert int(prompt[3]) > 10 and int(prompt[4]) > 0 and asked[3] == "llm"
    (first,), (first_llm,), (done,) = of("first_token"), of("llm_first_token"), of("generate_done")
    assert int(first_llm[3]) >= 50000 and int(first[2]) >= int(first_llm[2])
    assert done[4] == "done" and int(done[3]) == 3
    ((_, outcome, total, tokens),) = of("request_done")
    assert outcome == "done" and int(tokens) == 3 and int(total) >= int(first[2])


# ---- what is in hand --------------------------------------------------------------------------------------


class Asking(threading.Thread):
    """A question that is asked beside the test."""

    def __init__(self, cluster, body=QUESTION, **more):
        super().__init__(daemon=True)
        self.cluster, self.body, self.more = cluster, body, more
        self.stream = None
        self.start()

    def run(self):
        self.stream = self.cluster.ask(self.body, **self.more)

    def end(self):
        self.join(30)
        assert self.stream, "no answer"
        return self.stream


@pytest.fixture
def held(llm):
    """An answer that stops after two tokens until the gate opens."""
    script, gate = fake.gated(["one ", "two "], ["three."])
    llm.plan(script)
    yield gate
    gate.open()


def debug(cluster, **more):
    answer = cluster.get("/v1/debug", **more)
    assert answer.status == 200 and answer.headers["content-type"].startswith("application/json")
    return answer.json()


def at_work(cluster):
    found = debug(cluster)["requests"]
    assert len(found) == 1, found
    return found[0]


def wait_streaming(cluster):
    """The one question at work, once its words are coming."""

    def look():
        one = at_work(cluster)
        return one["state"] == "streaming" and one["tokens"] >= 2 and one

    return until(look, "a question is at work")


def program_of(process):
    return process.name.split(".")[0].removeprefix("ragline-")


def dumps_in_log(process, name):
    """The data of the "dump NAME" lines of a JSON log."""
    fields = [json.loads(line) for line in process.log().splitlines()]
    return [one["data"] for one in fields if one["message"] == f"dump {name}"]


def test_debug_says_what_the_gateway_has_in_hand(cluster, held):
    before = debug(cluster)
    asking = Asking(cluster)
    one = wait_streaming(cluster)
    found = debug(cluster)
    assert found["process"]["program"] == "gateway" and found["process"]["pid"] == cluster.gateway.pid
    assert found["process"]["memory_kb"] > 1000 and found["process"]["up_ms"] > 0
    assert found["counters"]["questions"] == before["counters"]["questions"] + 1
    assert found["queues"]["questions"] == 1 and found["states"]["streaming"] == 1
    assert found["messages_in"]["hits"] >= 4
    workers = {worker["worker"]: worker for worker in found["workers"]}
    assert len(workers) == 7 and workers[one["generator"]]["outstanding"] == 1
    assert one["form"] == "ask" and one["collection"] == "docs" and one["sources"] == 4
    assert one["for_ms"] >= one["in_state_ms"] > 0 and one["left_ms"] > 0
    assert "Kestrel" not in json.dumps(found), "nothing of what was asked or answered"
    held.open()
    assert asking.end().complete
    assert asking.stream.head.headers["x-request-id"] == one["id"]
    assert debug(cluster)["requests"] == []


def test_debug_names_whom_a_search_waits_for(make_cluster, guide, embed):
    gate = Gate()
    embed.plan([gate, *fake_embed.error(500)])
    cluster = make_cluster(**{"embed.timeout_ms": 60000, "gateway.soft_ms": 60000, "gateway.hard_ms": 60000})
    cluster.start(guide)
    asking = Asking(cluster)

    def look():
        one = at_work(cluster)
        return one["sources_pending"] == 2 and one

    one = until(look, "both dense searches wait")
    assert one["state"] == "searching"
    assert one["waits_for"] == "docs/0/dense: the embedding server"
    gate.open()
    asking.end()


def test_debug_is_for_callers_with_a_key(make_cluster, work):
    keys = work / "debug-keys"
    keys.write_text(f"alice sha256:{hashlib.sha256(b'alice-key').hexdigest()}\n")
    cluster = make_cluster(**{"gateway.keys_file": keys})
    cluster.start_gateway()
    assert cluster.get("/v1/debug").status == 401
    assert debug(cluster, headers={"Authorization": "Bearer alice-key"})["counters"]["questions"] == 0
    assert cluster.post("/v1/debug", {}).status == 405


def test_sigusr1_writes_it_into_the_log_whatever_the_level(make_cluster, guide, held):
    cluster = make_cluster(**{"log.level": "error", "log.format": "json"})
    cluster.start(guide)
    asking = Asking(cluster)
    id = wait_streaming(cluster)["id"]
    for process in cluster.processes:
        process.signal(signal.SIGUSR1)
        (said,) = until(lambda p=process: dumps_in_log(p, "process"), f"{process.name} tells of itself")
        assert said["pid"] == process.pid and said["program"] == program_of(process)
        assert said["log_level"] == "error"
    gateway, retriever, generator = cluster.processes
    [request] = until(lambda: dumps_in_log(gateway, "requests"), "the question")
    assert request["id"] == id
    [task] = until(lambda: dumps_in_log(generator, "tasks"), "the generator's task")
    assert task["id"] == id and task["state"] == "streaming" and task["tokens"] == 2
    assert task["upstream"] == "llm" and task["task"] == request["task"]
    until(lambda: len(dumps_in_log(retriever, "units")) == 4, "the retriever's units")
    units = dumps_in_log(retriever, "units")
    assert {unit["worker"].split("/", 1)[1] for unit in units} == {
        f"docs/{shard}/{kind}" for shard in (0, 1) for kind in ("dense", "lexical")
    }
    assert all(unit["served"] == 1 and unit["open"] == 0 for unit in units)
    assert dumps_in_log(generator, "queues")[0]["running"] == 1
    assert dumps_in_log(generator, "upstreams")[0]["breaker"] == "closed"
    held.open()
    assert asking.end().complete


def test_sigusr1_writes_one_document_into_a_folder(make_cluster, guide, tmp_path):
    folder = tmp_path / "dumps"
    cluster = make_cluster(**{"log.dump_dir": folder})
    cluster.start(guide)
    cluster.gateway.signal(signal.SIGUSR1)
    cluster.gateway.wait_log(r"error .*log\.dump_dir: .*No such file or directory")
    folder.mkdir()
    for process in cluster.processes:
        process.signal(signal.SIGUSR1)
        path = Path(process.wait_log(r"dump written: (\S+)")[1])
        assert path.parent == folder and path.name.startswith(program_of(process) + "-")
        found = json.loads(path.read_text())
        assert found["process"]["id"] == path.stem
        assert {"gateway": "requests", "retriever": "units", "generator": "tasks"}[
            program_of(process)
        ] in found
    first = json.loads(next(folder.glob("gateway-*.json")).read_text())
    cluster.ask(QUESTION)
    cluster.gateway.signal(signal.SIGUSR1)

    def again():
        found = json.loads(next(folder.glob("gateway-*.json")).read_text())
        return found["counters"]["questions"] == first["counters"]["questions"] + 1

    until(again, "a later dump stands in the place of the first")
    assert len(list(folder.iterdir())) == 3, "one file for each process"


def test_dumps_while_busy_cost_no_answer(make_cluster, guide, llm, tmp_path):
    llm.always(fake.stream(first=0.02, every=0.01))
    cluster = make_cluster(**{"log.dump_dir": tmp_path, "log.level": "info"})
    cluster.start(guide)
    asked = [Asking(cluster) for _ in range(60)]
    rounds = 0
    while any(one.is_alive() for one in asked):
        for process in cluster.processes:
            process.signal(signal.SIGUSR1)
        assert len(debug(cluster)["requests"]) <= 60
        rounds += 1
    assert rounds > 2
    for one in asked:
        stream = one.end()
        assert stream.complete and stream.text == "".join(fake.DEFAULT_TOKENS)
    for process in cluster.processes:
        until(lambda p=process: p.log().count("dump written"), f"{process.name} wrote one")


# ---- the log ----------------------------------------------------------------------------------------------


def test_sigusr2_switches_to_debug_and_back(make_cluster, guide):
    cluster = make_cluster(**{"log.level": "warn"})
    cluster.start(guide)
    quiet = cluster.ask(QUESTION).head.headers["x-request-id"]
    for process in cluster.processes:
        process.signal(signal.SIGUSR2)
        process.wait_log("the log is at debug until")
    loud = cluster.ask(QUESTION).head.headers["x-request-id"]
    for process in cluster.processes:
        process.wait_log(f"debug .*{loud}")
        assert quiet not in process.log()
        process.signal(signal.SIGUSR2)
        process.wait_log("the log is as configured")
    silent = cluster.ask(QUESTION).head.headers["x-request-id"]
    cluster.wait_idle()
    for process in cluster.processes:
        assert silent not in process.log()


def test_sighup_reads_the_level_and_the_form_again(work, make_cluster, guide):
    path = work / "level.conf"
    path.write_text("[log]\nlevel = error\n")
    cluster = make_cluster()
    del cluster.settings["log.level"]
    gateway = cluster.start_gateway(env={"RAGLINE_CONFIG": str(path)})
    cluster.get("/nothing")
    path.write_text("[log]\nlevel = debug\nformat = json\n")
    gateway.signal(signal.SIGHUP)
    gateway.wait_log("configuration read again")
    cluster.get("/something")
    gateway.wait_log(r'^{"ts":.*"level":"debug".*"id":"req_[0-9a-f]{24}".*GET /something')
    path.write_text("[log]\nlevel = loud\n")
    gateway.signal(signal.SIGHUP)
    gateway.wait_log("the old one stays in force")
    cluster.get("/other")
    gateway.wait_log("GET /other")
    assert "GET /nothing" not in gateway.log()


def test_signals_while_it_ends_do_not_fail_it(make_cluster):
    one = make_cluster()
    gateway = one.start_gateway()
    gateway.signal(signal.SIGTERM)
    while gateway.popen.poll() is None:
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            gateway.popen.send_signal(number)
        time.sleep(0.001)  # the gateway is to end, not to be busy with them
    assert gateway.wait() == 0


def test_one_id_leads_through_all_logs(cluster, llm):
    llm.always(fake.error(400))
    stream = cluster.ask(QUESTION)
    id = stream.head.headers["x-request-id"]
    cluster.wait_idle()
    gateway, docs, _, generator = cluster.processes
    for process, words in (
        (gateway, ["received → searching", "failed while"]),
        (docs, ["hits; "]),
        (generator, ["received -> prompted", "no answer: "]),
    ):
        for word in words:
            process.wait_log(rf"{id} .*{word}|^{{.*\"id\":\"{id}\".*{word}")


def test_warnings_about_the_embedding_name_the_request(cluster, embed):
    embed.plan(fake_embed.error(500))
    id = cluster.ask(QUESTION).head.headers["x-request-id"]
    cluster.gateway.wait_log(rf"warn \S+ {id} embedding server .*500")


def test_a_flood_of_warnings_is_counted(make_cluster, guide, llm):
    llm.always(fake.error(400))
    cluster = make_cluster(**{"log.level": "info"})
    cluster.start(guide)
    for _ in range(30):
        assert cluster.ask(QUESTION).error
    gateway = cluster.gateway
    assert gateway.log().count("failed while") == 20
    gateway.signal(signal.SIGTERM)
    gateway.wait()
    assert "10 more like this one within 10 s: failed while" in gateway.log()


def test_a_log_that_nobody_reads_holds_nobody_up(tmp_path):
    port = free_port()
    settings = {
        "gateway.listen": f"127.0.0.1:{port}",
        "gateway.hub": f"tcp://127.0.0.1:{free_port()}",
        "gateway.tokens": f"tcp://127.0.0.1:{free_port()}",
        "log.level": "debug",
    }
    gateway = subprocess.Popen(
        [program("ragline-gateway"), *options(settings)],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(), cwd=tmp_path,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: call(url, "GET", "/healthz").status == 200, "the gateway listens")
        with Connection(url) as connection:
            for number in range(2000):  # 200 KB of log, and the pipe holds 64 KiB
                connection.request("GET", f"/nothing/{number}")
                assert connection.response().status == 404
        os.set_blocking(gateway.stderr.fileno(), False)
        said = gateway.stderr.read()
        assert 30000 < len(said) < 100000
        assert call(url, "GET", "/v1/debug").status == 200
        more = until(gateway.stderr.read, "the log goes on")
        assert re.search(rb"warn \S+ [0-9]+ lines of this log were lost", more), more
    finally:
        gateway.terminate()
        assert gateway.wait(15) == 0
        gateway.stderr.close()
