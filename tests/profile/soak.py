#!/usr/bin/env python3
"""make soak: a million short questions against an LLM server that does whatever real ones were seen to do, drawn at
random (tests/bench/lib/wild.h): every question ends, with the whole answer or an error that says what is missing, none is
half and marked whole; memory stays flat, and what is kept is bounded.

usage: tests/profile/soak.py [QUESTIONS [SEED]]

Prints progress every 5 s, then a line per claim: name, measured, limit, holds or falls short; exit status 1 where one
falls short. Memory is what is each process's own (RssAnon); "flat" compares the largest of the last tenth with the
largest of the second tenth, after the first tenth has filled every buffer, ring and pool.
"""

import os
import signal
import sys
import time

from house import Claim, House, all_files, memory_kb, show

STREAMS, TOKENS = 64, 6
GROWTH_KB = 1024  # of any process over the whole run: one byte for a question of a million


def series(house):
    """How many lines the gateway's metrics have."""
    return len(house.gateways[0].metrics())


def start(house, traces, seed):
    house.start_llm(first_ms=0, gap_ms=0, tokens=TOKENS, wild=seed)
    house.start_embed(embed_ms=0)
    index = house.make_index(passages=500)
    house.start_gateways(**{"gateway.traces": traces})
    limits = {"llm.first_token_ms": 2000, "llm.idle_ms": 1000, "llm.breaker_failures": 0}
    return {
        "gateway": house.gateways[0].process,
        "retriever": house.start_retriever(index),
        "generator": house.start_generator(**limits),
    }


def soak(house, questions, seed, told_s=5.0):
    """The claims, after so many questions in a house that is new."""
    traces = max(10, min(1000, questions // 50))  # the ring is full well within the first tenth
    processes = start(house, traces, seed)
    house.wait_ready(3)
    first = house.load(0, streams=STREAMS, questions=1, tokens=TOKENS, wild=True).result()
    assert first["failed"] == 0, first["faults"]
    lines = series(house)
    already = house.gateways[0].get("/v1/traces?limit=0").json()["total"]
    each = -(-questions // STREAMS)
    load = house.load(0, streams=STREAMS, questions=each, tokens=TOKENS, wild=True)
    begun, told, samples = time.monotonic(), 0.0, []
    while load.popen.poll() is None:
        time.sleep(min(0.5, told_s / 10))
        house.check_alive()
        total = house.gateways[0].get("/v1/traces?limit=0").json()["total"] - already
        samples.append((total, {name: memory_kb(process) for name, process in processes.items()}))
        if time.monotonic() - told >= told_s:
            told = time.monotonic()
            kb = ", ".join(f"{name} {kb / 1024:.1f} MB" for name, kb in samples[-1][1].items())
            print(f"[{told - begun:6.0f} s] {total:,} answers, {total / max(told - begun, 1):,.0f} a second; {kb}")
    found = load.result()
    kept = house.gateways[0].get("/v1/traces?limit=10000").json()
    ended = found["whole"] + found["told_error"] + found["cut_short"]
    for fault in found["faults"]:
        print("a fault:", fault)
    claims = [
        Claim("soak: without an end, or half and marked whole", found["failed"], 0),
        Claim("  answers whole, short and said so, or errors", ended, questions, at_most=False),
        Claim("    of them whole", found["whole"], unit=f"of {ended}"),
        Claim("    of them errors", found["told_error"], unit=f"of {ended}"),
        Claim("    of them short, with the reason", found["cut_short"], unit=f"of {ended}"),
        Claim("  traces kept, most", len(kept["traces"]), traces),
        Claim("  lines of metrics, more than after the first questions", series(house) - lines, 80),
        Claim("  answers a second", found["questions"] / found["seconds"], unit="a second"),
    ]
    return claims, samples


def memory_claims(samples, questions):
    for name in samples[0][1]:
        early = [kb[name] for total, kb in samples if 0.1 * questions <= total < 0.2 * questions]
        late = [kb[name] for total, kb in samples if total >= 0.9 * questions]
        assert early and late, "too few samples: ask more questions"
        yield Claim(f"  {name}: memory after the first tenth, grown by", max(late) - max(early),
                    max(GROWTH_KB, 0.03 * max(early)), "kB")  # fmt: skip
        yield Claim(f"    of {name}'s own memory then", max(early), unit="kB")


def main():
    questions = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    all_files()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.stdout.reconfigure(line_buffering=True)
    print(f"{questions:,} questions, {STREAMS} streams, seed {seed}, {os.cpu_count()} CPUs")
    with House(**{"log.level": "error"}) as house:
        claims, samples = soak(house, questions, seed)
    claims += memory_claims(samples, questions)
    show(claims)
    sys.exit(any(not claim.holds for claim in claims))


if __name__ == "__main__":
    main()
