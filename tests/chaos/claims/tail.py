"""Slow replica: one of two takes 300 ms for 1 in 20 queries, later for all; with hedging and without."""

from parts import Claim, House

SLOW_MS, USUAL_MS, RATE = 300, 3, 60


def measure(form, share_slow, hedge_share, seconds, say):
    """p99 of retrieval as the client sees it; what retrievers were asked beyond the questions, as a share of these,
    over the gateway's whole life (what may be saved up for hedging is then part of the count); failed searches."""
    with House() as house:
        house.start_gateways(**{"gateway.hedge_share": hedge_share})
        names = ("slow", "usual")
        fakes = house.start_fakes(*({"worker": name, "ms": USUAL_MS, "slow_ms": SLOW_MS} for name in names))
        house.wait_ready(2)
        before = house.load(0, "search", streams=8, questions=20, kinds="lexical").result()  # latencies are known
        fakes.set(slow={"share": share_slow})
        found = house.load(0, "search", streams=32, rate=RATE, seconds=seconds, kinds="lexical", k=8).result()
        counts = fakes.counts()
        house.check_alive()
    questions = before["questions"] + found["questions"]
    extra = sum(count["asked"] for count in counts.values()) / questions - 1
    p99 = found["total_ms"]["p99"]
    say(f"  {form} slow, hedge_share {hedge_share}: p99 {p99:.1f} ms, {100 * extra:.2f} % more asked;"
        f" {({name: count['asked'] for name, count in counts.items()})} of {questions} questions")  # fmt: skip
    return p99, extra, sum(result["failed"] + result["missed"] for result in (before, found))


def run(short=False, say=print):
    seconds = 2.5 if short else 25
    claims, failed = [], 0
    for form, share_slow in (("1 in 20", 0.05), ("all", 1.0)):
        without_p99, _, without_failed = measure(form, share_slow, 0, seconds, say)
        p99, extra, hedged_failed = measure(form, share_slow, 0.05, seconds, say)
        failed += without_failed + hedged_failed
        name = f"slow replica, {form} of its queries: retrieval p99 with hedging"
        claims += [
            Claim(f"{name}, to that without", p99 / without_p99, 0.333, "x"),
            Claim("  p99 without hedging", without_p99, unit="ms"),
            Claim("  p99 with hedging", p99, unit="ms"),
            Claim("  more asked of retrievers", 100 * extra, 5, "%", strict=True),
        ]
    return [*claims, Claim("slow replica: searches that failed", failed, 0, strict=True)]
