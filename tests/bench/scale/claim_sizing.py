"""Sizing: what ragline-index --size-passages foretells from a quick look, beside what the indexes really take."""

import json
import math
import subprocess

from harness.claims import Claim
from harness.process import environment, program

KINDS = {"Flat": "flat", "HNSW32": "graph"}  # whatever else: lists
EXAMPLE = "--size-passages 5000000 --size-rate 50 --size-latency-ms 50 --size-cores 16 --size-memory-gb 64".split()
GROWN = {
    "flat": lambda times, passages, before: times,
    "graph": lambda times, passages, before: math.log(passages) / math.log(before),
    "lists": lambda times, passages, before: math.sqrt(times),
}


def foretold(figures, kind, passages):
    """Milliseconds: the laws of retriever/index/capacity/capacity.h."""
    before = figures["measured"]["passages"]
    times = passages / before
    dense = figures[kind]["p50_ms"] * GROWN[kind](times, passages, before)
    return dense, figures["words"]["p50_ms"] * times ** figures["measured"]["words_power"]


def run(shop, short=False, say=print):
    path = shop.folder / "figures.json"
    path.unlink(missing_ok=True)
    words = [*EXAMPLE, "--size-figures", str(path)]
    done = subprocess.run([program("ragline-index"), *words], capture_output=True, text=True, env=environment(), timeout=600)
    assert done.returncode == 0, done.stderr
    shop.sizing = f"$ ragline-index {' '.join(EXAMPLE)}\n\n{done.stdout}"
    figures = json.loads(path.read_text())
    claims = []
    for size in shop.sizes:
        found = shop.figures(size, say)
        kind = KINDS.get(found["factory"], "lists")
        dense, lexical = foretold(figures, kind, size)
        for name, told in (("dense", dense), ("lexical", lexical)):
            real = found[name]["all"]["ms"]["p50"]
            say(f"  {size:,}, {name}: foretold {told:.2f} ms, measured {real:.2f} ms")
            claims.append((size, name, max(told / real, real / told)))
    at_end = [wrong for size, _, wrong in claims if size == shop.largest]
    return [
        Claim(f"sizing: p50 foretold of {shop.largest:,}, wrong by", max(at_end), 3, "x"),
        Claim("  of all sizes, wrong by at most", max(wrong for _, _, wrong in claims), unit="x"),
    ]
