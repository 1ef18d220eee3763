"""Filters that keep 50 %, 1 % and ten passages (0.001 % of a million), beside exact search under the filter."""

from harness.claims import Claim

FILTERS = {"half": "50 %", "hundredth": "1 %", "few": "ten passages"}


def run(shop, short=False, say=print):
    found = shop.figures(shop.largest, say)
    claims = []
    for kind in ("dense", "lexical"):
        usual = found[kind]["all"]["ms"]["p99"]
        for name, kept in FILTERS.items():
            figures = found[kind][name]
            head = f"{kind}, filter keeps {kept}: " if not claims or name == "half" else f"  {kept}: "
            claims += [
                Claim(f"{head}recall@10", figures["recall"], 0.95, at_most=False, strict=True),
                Claim("    p99, to that without a filter", figures["ms"]["p99"] / usual, 3, "x"),
                Claim("    the first question with it", figures["first_ms"], unit="ms"),
            ]
    return claims
