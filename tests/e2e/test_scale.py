"""The short forms of what is claimed about size (tests/bench/scale, make scale-check): what must be right is insisted on;
what says how fast a machine is, is only shown, since the tests share theirs."""

import importlib
import json
import sys

import pytest
from conftest import need
from harness.process import BUILD, ROOT, run

sys.path[:0] = [str(ROOT / "tests" / "bench" / "scale"), str(ROOT / "tests" / "chaos")]

from workshop import Workshop  # noqa: E402

CLAIMS = ["million", "filters", "sizes", "sizing", "kills", "changes"]
# not among those that run under a sanitizer too: what it is about is how much and how fast
pytestmark = [pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    for program in ("clustered", "search", "standin"):
        need((BUILD / "bench" / program).exists(), f"{BUILD}/bench/{program} (make bench-programs)")
    return Workshop(tmp_path_factory.mktemp("scale"), short=True)


@pytest.mark.parametrize("name", CLAIMS)
def test_claim(shop, name):
    claims = importlib.import_module(f"claim_{name}").run(shop, short=True)
    width = max(len(claim.name) for claim in claims)
    for claim in claims:
        print(claim.line(width))
    short = [claim.line(0) for claim in claims if claim.strict and not claim.holds]
    assert not short, short


def test_the_plot_and_the_table_are_made(shop):
    from chart import svg, table

    for size in shop.sizes:
        shop.figures(size)
    rows = shop.rows()
    drawn = svg(rows)
    assert drawn.count("<polyline") == 4 and all(f">{row['factory']}<" in drawn for row in rows)
    assert len(table(rows).splitlines()) == 2 + len(rows)


def test_sizing_says_what_to_do(tmp_path):
    """From figures that an earlier run has left: nothing is measured, nothing is built."""
    kind = {"p50_ms": 0.5, "p99_ms": 1, "recall": 1, "bytes": 1536, "per_s": 2000}
    measured = {"passages": 25000, "dimension": 384, "stored": 800, "words_power": 0.7}
    (tmp_path / "figures.json").write_text(json.dumps({"measured": measured} | dict.fromkeys(["flat", "graph", "lists", "words"], kind)))
    words = ["--size-passages", 5_000_000, "--size-figures", "figures.json", "--size-rate", 40, "--size-cores", 8]
    done = run("ragline-index", words, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "5,000,000 passages, 40 questions a second" in done.stdout and "ragline-index --index-shards" in done.stdout
    assert "measuring" not in done.stderr
    done = run("ragline-index", [*words, "--size-dimension", 768], tmp_path)
    assert done.returncode == 3 and "384" in done.stderr and "768" in done.stderr
    (tmp_path / "figures.json").write_text("{}")
    done = run("ragline-index", words, tmp_path)
    assert done.returncode == 3 and "measured.passages" in done.stderr and "remove" in done.stderr
