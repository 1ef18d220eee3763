"""Many open streams: 10,000 through one gateway, a token every 2 s each, beside 1,000."""

import resource
import time

from parts import Claim, House, cpu_s, memory_kb, until



def hold(streams, seconds, spread_s, gap_ms, say):
    """CPU per token and memory per stream with so many open; and what failed."""
    with House(**{"generator.slots": streams + 100}) as house:
        # every stream is open while it is measured, and ends soon after
        tokens = int((spread_s + seconds) * 1000 / gap_ms) + 8
        llm = house.start_llm(first_ms=50, gap_ms=gap_ms, tokens=tokens)
        index = house.make_index(passages=200)
        house.start_gateways(**{"gateway.max_in_flight": streams + 100, "gateway.max_connections": streams + 200})
        house.start_retriever(index, **{"retriever.kinds": "lexical"})
        house.start_generator()
        house.wait_ready(2)
        relay = [house.gateways[0].process, house.processes[-1]]
        idle_kb = [memory_kb(process) for process in relay]
        load = house.load(0, streams=streams, spread_ms=int(1000 * spread_s), tokens=tokens, timeout_ms=600_000)
        until(lambda: llm.stats()["open"] >= streams, f"{streams} streams are open", spread_s + 60)
        time.sleep(2 * gap_ms / 1000)  # each has had its first tokens, and the rush is over
        used, said = sum(map(cpu_s, relay)), llm.stats()["tokens"]
        time.sleep(seconds)
        used, said = sum(map(cpu_s, relay)) - used, llm.stats()["tokens"] - said
        held_kb = [memory_kb(process) - idle for process, idle in zip(relay, idle_kb)]
        open_now = llm.stats()["open"]
        result = load.result()
        house.check_alive()
    for fault in result["faults"]:
        say(f"  fault: {fault}")
    say(f"  {streams} streams, {open_now} open at the end of the measurement: {1e6 * used / said:.1f} us of gateway and"
        f" generator for a token ({said / seconds:.0f}/s), {held_kb[0] / streams:.1f} + {held_kb[1] / streams:.1f} kB"
        f" a stream; lag p50 {result['lag_ms']['p50']:.1f} ms, p99 {result['lag_ms']['p99']:.1f}")  # fmt: skip
    assert open_now == streams, f"only {open_now} of {streams} were open"
    return 1e6 * used / said, sum(held_kb) / streams, result["failed"]


def run(short=False, say=print):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = 600 if short else min(10_000, (hard - 500) if hard > 0 else 10_000)
    few = 100 if short else 1_000
    few_cpu, few_kb, few_failed = hold(few, *((2, 1, 500) if short else (20, 5, 2000)), say)
    cpu, kb, failed = hold(most, *((2, 2, 500) if short else (20, 40, 2000)), say)
    return [
        Claim("open streams through one gateway", most, few if short else 10_000, at_most=False),
        Claim("  failed answers", few_failed + failed, 0, strict=True),
        Claim(f"  CPU for a token, to that with {few:,}", cpu / few_cpu, 1.3, "x"),
        Claim("  CPU of gateway and generator for a token", cpu, unit="us"),
        Claim("  memory of gateway and generator for a stream", kb, unit="kB"),
        Claim(f"  memory for a stream, to that with {few:,}", kb / few_kb, 1.3, "x"),
    ]
