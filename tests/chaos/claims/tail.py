"""Slow replica: one of two takes 300 ms for 1 in 20 queries, later for all; with hedging and without."""

from parts import Claim, House

SLOW_MS, USUAL_MS, RATE = 300, 3, 60


def measure(house, fakes, seconds):
    """p99 of retrieval as the client sees it, and what was asked beyond the questions, as a share of them."""
    before = fakes.counts()
    found = house.load(0, "search", streams=32, rate=RATE, seconds=seconds, kinds="lexical", k=8).result()
    after = fakes.counts()
    asked = sum(after[name]["asked"] - before[name]["asked"] for name in after)
    questions = found["questions"]
    return found["total_ms"]["p99"], (asked - questions) / questions, found["failed"] + found["missed"], questions


def with_share(share, short, say):
    seconds = 2.5 if short else 25
    with House() as house:
        house.start_gateways(**{"gateway.hedge_share": share})
        names = ("slow", "usual")
        fakes = house.start_fakes(*({"worker": name, "ms": USUAL_MS, "slow_ms": SLOW_MS} for name in names))
        house.wait_ready(2)
        house.load(0, "search", streams=8, questions=20, kinds="lexical").result()  # latencies are known
        figures = {}
        for form, part in (("1 in 20", 0.05), ("all", 1.0)):
            fakes.set(slow={"share": part})
            figures[form] = measure(house, fakes, seconds)
        fakes.set(slow={"share": 0.0})
        if not short:
            figures["none"] = measure(house, fakes, seconds)
        counts = fakes.counts()
        say(f"  hedge_share {share}: " + "; ".join(
            f"{form} slow: p99 {p99:.1f} ms, {100 * extra:.1f} % more asked" for form, (p99, extra, *_) in figures.items()
        ) + f"; asked in all {({name: count['asked'] for name, count in counts.items()})}")  # fmt: skip
        house.check_alive()
    return figures


def run(short=False, say=print):
    without = with_share(0, short, say)
    hedged = with_share(0.05, short, say)
    claims = []
    for form in ("1 in 20", "all"):
        name = f"slow replica, {form} of its queries: retrieval p99 with hedging"
        claims += [
            Claim(f"{name}, to that without", hedged[form][0] / without[form][0], 0.333, "x"),
            Claim("  p99 without hedging", without[form][0], unit="ms"),
            Claim("  p99 with hedging", hedged[form][0], unit="ms"),
            Claim("  more asked of retrievers", 100 * hedged[form][1], 5 + saved(hedged[form]), "%", strict=True),
        ]
    failed = sum(figures[form][2] for figures in (without, hedged) for form in figures)
    return [*claims, Claim("slow replica: searches that failed", failed, 0, strict=True)]


def saved(figures):
    """What a quiet time had saved up (ten hedges, request_search.c), as per cent of these questions."""
    return 100 * 10 / figures[3]
