"""Latency against size, from 10,000 passages to a million: the plot."""

from harness.claims import Claim


def growth(rows, kind):
    """How much slower the largest is than the first past the change of index kind, as a share of how much larger."""
    past = [row for row in rows if row["factory"] != "Flat"]
    first, last = past[0], past[-1]
    slower = last[kind]["all"]["ms"]["p50"] / first[kind]["all"]["ms"]["p50"]
    return first["passages"], last["passages"], slower, last["passages"] / first["passages"]


def run(shop, short=False, say=print):
    rows = [shop.figures(size, say) for size in shop.sizes]
    claims = [
        Claim("least recall@10 of all sizes", min(row["dense"]["all"]["recall"] for row in rows), 0.95, at_most=False, strict=True)
    ]
    if sum(row["factory"] != "Flat" for row in rows) > 1:
        for kind in ("dense", "lexical"):
            first, last, slower, larger = growth(rows, kind)
            claims += [
                Claim(f"{kind}: {first:,} to {last:,} passages, p50 grows", slower, larger / 2 if kind == "dense" else None, "x"),
            ]
    return claims
