"""What it costs: timelines, metrics that are scraped, traces of every answer that are kept and exported, against a run without.

"Without" keeps no traces (gateway.traces = 0), exports none and is not scraped. Timelines and counters are made all the
same; with PROFILE_OFF_BUILD=folder the programs without come from that build, which may have none of it.
"""

import contextlib
import os
import pathlib
import statistics
import subprocess
import sys

from harness import http, process
from harness.ports import free_port
from house import Claim, House, cpu_s, put_first, until

STREAMS, TOKENS, FIRST_MS, GAP_MS = 200, 64, 50, 10
ANSWER_MS = FIRST_MS + GAP_MS * (TOKENS - 1)


class Collector:
    def __init__(self, house):
        self.port = free_port()
        path = pathlib.Path(__file__).resolve().parents[1] / "collector.py"
        self.popen = subprocess.Popen([sys.executable, str(path), str(self.port)])
        house.closers.append(self.close)
        until(lambda: self.took() is not None, "the collector listens")

    def took(self):
        return http.call(f"http://127.0.0.1:{self.port}", "GET", "/").json()

    def close(self):
        self.popen.kill()
        self.popen.wait()


@contextlib.contextmanager
def built_in(folder):
    """Programs started within come from this build."""
    before = process.BUILD
    process.BUILD = pathlib.Path(folder) if folder else before
    try:
        yield
    finally:
        process.BUILD = before


def start(house, index, **settings):
    house.start_gateways(**settings)
    house.generator = house.start_generator(**{"generator.slots": 4096})
    house.start_retriever(index, **{"retriever.kinds": "lexical"})
    house.wait_ready(2)
    house.load(0, streams=STREAMS, questions=1, tokens=TOKENS, spread_ms=ANSWER_MS).result()


def measure(house, seconds, scraped):
    """(tokens relayed per CPU-second of gateway and generator, p99 of the first token in ms)."""
    relay = [house.gateways[0].process, house.generator]
    load = house.load(0, streams=STREAMS, seconds=seconds, tokens=TOKENS, spread_ms=ANSWER_MS, skip_ms=500)
    put_first(house)
    before = sum(map(cpu_s, relay))
    while load.popen.poll() is None:
        if scraped:
            assert house.gateways[0].get("/metrics").status == 200
        with contextlib.suppress(subprocess.TimeoutExpired):
            load.popen.wait(1)
    used = sum(map(cpu_s, relay)) - before
    found = load.result()
    assert found["failed"] == 0, found["faults"]
    return found["tokens"] / used, found["first_token_ms"]["p99"]


def run(short=False, say=print):
    pairs, seconds = (1, 2) if short else (9, 5)
    with contextlib.ExitStack() as stack:
        on, off = (stack.enter_context(House()) for _ in range(2))
        collector = Collector(on)
        on.start_llm(first_ms=FIRST_MS, gap_ms=GAP_MS, tokens=TOKENS)
        off.llm = on.llm
        index = on.make_index(passages=1000)
        start(on, index, **{"gateway.traces": 1000, "otlp.endpoint": f"http://127.0.0.1:{collector.port}"})
        with built_in(os.environ.get("PROFILE_OFF_BUILD")):
            start(off, index, **({} if os.environ.get("PROFILE_OFF_BUILD") else {"gateway.traces": 0}))
        rates, firsts = {True: [], False: []}, {True: [], False: []}
        for pair in range(pairs):
            for which in (True, False) if pair % 2 else (False, True):
                rate, first = measure(on if which else off, seconds, scraped=which)
                rates[which].append(rate)
                firsts[which].append(first)
            say(f"  tokens per CPU-second {rates[True][-1]:,.0f} with it, {rates[False][-1]:,.0f} without;"
                f" p99 first token {firsts[True][-1]:.1f} and {firsts[False][-1]:.1f} ms")  # fmt: skip
        kept = on.gateways[0].get("/v1/traces?limit=1").json()["kept"]
        exported = collector.took()
    ratio = statistics.median(one / other for one, other in zip(rates[True], rates[False]))
    middle = statistics.median(firsts[False])
    noise = max(abs(first - middle) for first in firsts[False])
    slower = statistics.median(firsts[True]) - middle
    say(f"  {exported['requests']} requests of {exported['bytes'] / 1e6:.1f} MB in all went to the collector")
    return [
        Claim(f"cost: tokens per CPU-second with all of it, to those without, median of {pairs} pairs", 100 * ratio, 97,
              "%", at_most=False),  # fmt: skip
        Claim("  p99 first token with it, longer by (limit: the runs' own noise)", slower, round(max(noise, 1.0), 2), "ms"),
        Claim("  p99 first token without", middle, unit="ms"),
        Claim("  traces kept", kept, 1, at_most=False, strict=True),
        Claim("  exported to a collector", exported["bytes"] / 1e6, 0.01, "MB", at_most=False, strict=True),
    ]
