"""The short forms of the chaos claims (tests/chaos, make chaos): what must be right is insisted on; what says how fast
a machine is, is only shown, since the tests share theirs."""

import importlib
import sys

import pytest
from conftest import need
from harness.process import BUILD, ROOT

sys.path.insert(0, str(ROOT / "tests" / "chaos"))

CLAIMS = ["storm", "tail", "network", "overload", "clients", "swap", "rubbish", "too_large", "odd_server", "batch", "scale", "many"]


@pytest.mark.parametrize("name", CLAIMS)
def test_claim(name):
    for program in ("load", "standin", "corpus", "direct"):
        need((BUILD / "bench" / program).exists(), f"{BUILD}/bench/{program} (make bench-programs)")
    claims = importlib.import_module(f"claims.{name}").run(short=True)
    width = max(len(claim.name) for claim in claims)
    for claim in claims:
        print(claim.line(width))
    short = [claim.line(0) for claim in claims if claim.strict and not claim.holds]
    assert not short, short
