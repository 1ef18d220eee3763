"""What the claims about profiles share: a house whose every part has a known duration, and what its answers say."""

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
for folder in ("tests/chaos", "tests/e2e"):
    sys.path.append(str(ROOT / folder))  # behind: both folders have a run.py

from harness import http  # noqa: E402
from harness.claims import all_files, show  # noqa: E402, F401
from harness.process import environment, program  # noqa: E402
from parts import Claim, Fakes, House, Load, cpu_s, memory_kb, percentile, until  # noqa: E402, F401


def traces(gateway, limit=10000, **query):
    """The gateway's timelines, the oldest first."""
    answer = gateway.get("/v1/traces?" + urllib.parse.urlencode({"limit": limit, **query}))
    assert answer.status == 200, answer.body
    return answer.json()["traces"][::-1]


def timings(stream):
    """The `timings` event of an answer that ended as it should."""
    assert stream.complete and not stream.of("error"), stream.names()
    return stream.one("timings").data


def by_stage(timings):
    """Milliseconds of the critical path by stage; `client` is no part of it."""
    out = {"client": timings["client_ms"]}
    for step in timings["critical_path"]:
        out[step["stage"]] = out.get(step["stage"], 0.0) + step["ms"]
    return out


def medians(answers):
    """The median of each stage over these answers."""
    stages = {stage for answer in answers for stage in answer}
    return {stage: statistics.median(answer.get(stage, 0.0) for answer in answers) for stage in stages}


def profile(source, *words, check=True):
    """ragline-profile --json of a file or URL."""
    done = subprocess.run([program("ragline-profile"), "--json", *map(str, words), str(source)], capture_output=True,
                          text=True, env=environment(), timeout=120)  # fmt: skip
    if not check:
        return done
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def read_notes(path):
    """The lines that load --notes left: {"unix_ms", "client": {…}, "timings": {…}} each."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def put_first(house, *others):
    """What is measured comes before whatever else this machine does, where that is allowed (real-time priority)."""
    own = [process.popen.pid for process in house.processes] + [load.popen.pid for load in house.loads]
    standins = [part.process.pid for part in (house.llm, house.embed) if part]
    for pid in own + standins + [part.popen.pid for part in others]:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):  # a thread has a priority of its own
                os.sched_setscheduler(int(thread), os.SCHED_RR, os.sched_param(1))


@contextlib.contextmanager
def itself_first():
    """The same for this program, where it is a client whose own delays count."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)
