"""The short forms of what is claimed about size (tests/bench/scale, make scale-check): what must be right is insisted on;
what says how fast a machine is, is only shown, since the tests share theirs."""

import importlib
import sys

import pytest
from conftest import need
from harness.process import BUILD, ROOT

sys.path[:0] = [str(ROOT / "tests" / "bench" / "scale"), str(ROOT / "tests" / "chaos")]

from workshop import Workshop  # noqa: E402

CLAIMS = ["million", "filters", "sizes"]
pytestmark = [pytest.mark.standin, pytest.mark.timeout(300)]


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
