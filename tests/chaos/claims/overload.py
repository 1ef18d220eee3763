"""Overload: ten times the rate that the language model's slots sustain."""

import time

from parts import Claim, House, cpu_s, memory_kb

SLOTS, FIRST_MS, GAP_MS, TOKENS = 40, 100, 30, 32
ANSWER_S = (FIRST_MS + GAP_MS * (TOKENS - 1)) / 1000
USED = 0.9  # of the slots, at the sustainable rate: arrivals are not exactly even


def run(short=False, say=print):
    seconds = 3 if short else 30
    with House() as house:
        llm = house.start_llm(first_ms=FIRST_MS, gap_ms=GAP_MS, tokens=TOKENS)
        index = house.make_index(passages=500)
        house.start_gateways(**{"gateway.max_in_flight": SLOTS})
        retriever = house.start_retriever(index, **{"retriever.kinds": "lexical"})
        generator = house.start_generator(**{"generator.slots": SLOTS})
        house.wait_ready(2)
        rate = USED * SLOTS / (ANSWER_S + 0.02)
        gateway = house.gateways[0].process
        ragline = [gateway, retriever, generator]

        def ask(times, seconds, **more):
            return house.load(0, streams=SLOTS * 4, rate=rate * times, seconds=seconds, tokens=TOKENS, refusals=True,
                              **more).result()  # fmt: skip

        usual = ask(1, seconds, skip_ms=1000)
        before_kb = memory_kb(gateway)
        used, began = sum(map(cpu_s, ragline)), time.monotonic()
        over = ask(10, seconds)
        share = (sum(map(cpu_s, ragline)) - used) / (time.monotonic() - began) / 2
        after = ask(1, 4 if short else 10, skip_ms=2000)
        growth_kb = memory_kb(gateway) - before_kb
        most_open = llm.stats()["most_open"]
        house.check_alive()
    say(f"  {rate:.0f} questions/s sustained, {10 * rate:.0f} offered: {over['whole']} answered, {over['refused']}"
        f" refused, {over['missed']} not asked; ragline used {100 * share:.0f} % of two CPUs;"
        f" {after['refused']} of {after['questions']} refused behind it")  # fmt: skip
    usual_p99, over_p99, after_p99 = (one["first_token_ms"]["p99"] for one in (usual, over, after))
    could = SLOTS * (over["seconds"] - ANSWER_S) / (ANSWER_S + 0.02)
    return [
        Claim("overload: first token p99, to that at the sustainable rate", over_p99 / usual_p99, 2, "x"),
        Claim("  first token p99 at the sustainable rate", usual_p99, unit="ms"),
        Claim("  first token p99 of those admitted", over_p99, unit="ms"),
        Claim("  a refusal comes within, p99", over["refusal_ms"]["p99"], 50, "ms"),
        Claim("  the slowest refusal", over["refusal_ms"]["max"], unit="ms"),
        Claim("  answers, to those that the slots allow", over["whole"] / could, 0.85, "x", at_most=False),
        Claim("  failed other than by 429", usual["failed"] + over["failed"] + after["failed"], 0, strict=True),
        Claim("  questions at the LLM at a time", most_open, SLOTS, strict=True),
        Claim("  the gateway's memory grew", growth_kb / 1024, 16, "MB"),
        Claim("  2 s later: first token p99, to the usual", after_p99 / usual_p99, 1.5, "x"),
    ]
