#!/usr/bin/env python3
"""make soak: a million short questions against stand-ins; memory stays flat, and what is kept is bounded.

usage: tests/profile/soak.py [QUESTIONS]

Prints progress every 5 s, then a line per claim: name, measured, limit, holds or falls short; exit status 1 where one
falls short. Memory is what is each process's own (RssAnon); "flat" compares the largest of the last tenth with the
largest of the second tenth, after the first tenth has filled every buffer, ring and pool.
"""

import os
import signal
import sys
import time

from house import Claim, House, all_files, memory_kb, show, until

STREAMS, TOKENS = 64, 2
GROWTH_KB = 1024  # of any process over the whole run: one byte for a question of a million


def series(house):
    """How many lines the gateway's metrics have."""
    return len(house.gateways[0].metrics())


def start(house, traces):
    house.start_llm(first_ms=0, gap_ms=0, tokens=TOKENS)
    house.start_embed(embed_ms=0)
    index = house.make_index(passages=500)
    house.start_gateways(**{"gateway.traces": traces})
    return {
        "gateway": house.gateways[0].process,
        "retriever": house.start_retriever(index),
        "generator": house.start_generator(),
    }


def main():
    questions = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    traces = max(10, min(1000, questions // 50))  # the ring is full well within the first tenth
    all_files()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.stdout.reconfigure(line_buffering=True)
    print(f"{questions:,} questions, {STREAMS} streams, {os.cpu_count()} CPUs")
    with House(**{"log.level": "error"}) as house:
        processes = start(house, traces)
        house.wait_ready(3)
        warm = house.load(0, streams=STREAMS, questions=1, tokens=TOKENS).result()
        assert warm["failed"] == 0, warm["faults"]
        lines = series(house)
        already = house.gateways[0].get("/v1/traces?limit=0").json()["total"]
        load = house.load(0, streams=STREAMS, questions=-(-questions // STREAMS), tokens=TOKENS)
        begun, told, samples = time.monotonic(), 0.0, []
        while load.popen.poll() is None:
            time.sleep(0.5)
            house.check_alive()
            total = house.gateways[0].get("/v1/traces?limit=0").json()["total"] - already
            samples.append((total, {name: memory_kb(process) for name, process in processes.items()}))
            if time.monotonic() - told >= 5:
                told = time.monotonic()
                kb = ", ".join(f"{name} {kb / 1024:.1f} MB" for name, kb in samples[-1][1].items())
                print(f"[{told - begun:6.0f} s] {total:,} answers, {total / max(told - begun, 1):,.0f} a second; {kb}")
        found = load.result()
        kept = house.gateways[0].get("/v1/traces?limit=10000").json()
        until(lambda: house.llm.stats()["open"] == 0, "nothing is at work any more")
        after = series(house)
    claims = [
        Claim("soak: answers that failed", found["failed"], 0),
        Claim("  answers", found["whole"], questions, at_most=False),
        Claim("  traces kept, most", len(kept["traces"]), traces),
        Claim("  lines of metrics, more than after the first questions", after - lines, 40),
    ]
    for name in processes:
        early = [kb[name] for total, kb in samples if 0.1 * questions <= total < 0.2 * questions]
        late = [kb[name] for total, kb in samples if total >= 0.9 * questions]
        assert early and late, "too few samples: ask more questions"
        grown = max(late) - max(early)
        claims.append(Claim(f"  {name}: memory after the first tenth, grown by", grown,
                            max(GROWTH_KB, 0.03 * max(early)), "kB"))  # fmt: skip
        claims.append(Claim(f"    of {name}'s own memory then", max(early), unit="kB"))
    show(claims)
    sys.exit(any(not claim.holds for claim in claims))


if __name__ == "__main__":
    main()
