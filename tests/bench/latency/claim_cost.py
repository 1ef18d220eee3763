"""What it costs where nothing repeats: everything on and everything off, in turns, on a machine that is busy."""

from asking import House, median, off, on
from parts import Claim, cpu_s

STREAMS, TOKENS = 24, 16


def run(short=False, data=None, rows=None, say=print):
    pairs, seconds = (2, 1) if short else (9, 4)
    with House(gateways=2) as house:
        house.start_llm(first_ms=5, gap_ms=1)
        house.start_embed(embed_ms=1)
        index = house.make_index(2000)
        for gateway, settings in zip(house.gateways, (off(), on())):
            given = {"gateway.listen": f"127.0.0.1:{gateway.port}", "gateway.hub": gateway.hub, "gateway.soft_ms": 8000,
                     "gateway.hard_ms": 9000, "gateway.tokens": gateway.tokens, "log.level": "warn",
                     "embed.url": house.embed.url}  # fmt: skip
            gateway.process = house._start(f"gateway-{gateway.number}", "ragline-gateway", {**given, **settings})
        house.start_retriever(index)
        house.start_generator(**{"llm.prefill": "auto"})
        house.wait_ready(3)
        for number in (0, 1):
            house.load(number, streams=STREAMS, seconds=1, max_tokens=TOKENS).result()
        throughput, first, failed = [], [], 0
        for pair in range(pairs):
            # the order turns: neither is always the one that comes after
            order = (0, 1) if pair % 2 == 0 else (1, 0)
            results, cpu = {}, {}
            for number in order:
                before = cpu_s(house.gateways[number].process)
                results[number] = house.load(number, streams=STREAMS, seconds=seconds, max_tokens=TOKENS).result()
                cpu[number] = (cpu_s(house.gateways[number].process) - before) / results[number]["questions"]
            failed += sum(result["failed"] for result in results.values())
            if failed:
                say(f"  {[result['faults'] for result in results.values()]}")
            per_second = [results[number]["questions"] / results[number]["seconds"] for number in (0, 1)]
            throughput.append(100 * (1 - per_second[1] / per_second[0]))
            first.append(100 * (results[1]["first_token_ms"]["p50"] / results[0]["first_token_ms"]["p50"] - 1))
            say(f"  off {per_second[0]:.0f}, on {per_second[1]:.0f} answers/s;"
                f" first token {results[0]['first_token_ms']['p50']:.1f} and {results[1]['first_token_ms']['p50']:.1f} ms;"
                f" the gateway's CPU {1e6 * cpu[0]:.0f} and {1e6 * cpu[1]:.0f} us an answer")  # fmt: skip
        house.check_alive()
    return [
        Claim(f"everything on, nothing repeats: throughput lost, {pairs} pairs", median(throughput), 3, "%"),
        Claim("  first token later", median(first), 3, "%"),
        Claim("  answers that failed", failed, 0, strict=True),
    ]
