"""make soak in short: some hundred questions to an LLM server that fails at random as real ones do; every one ends, and no
half answer is marked whole."""

import importlib
import sys

import pytest
from conftest import need
from harness.process import BUILD, ROOT

sys.path.append(str(ROOT / "tests" / "profile"))


@pytest.mark.parametrize("seed", [1, 2])
def test_every_question_ends_and_none_is_half(seed):
    need((BUILD / "bench" / "standin").exists(), f"{BUILD}/bench/standin (make bench-programs)")
    soak = importlib.import_module("soak")
    with soak.House(**{"log.level": "error"}) as house:
        claims, _ = soak.soak(house, 640, seed, told_s=1)
    short = [claim.line(0) for claim in claims if not claim.holds]
    assert not short, short
    by_name = {claim.name.strip(): claim.measured for claim in claims}
    assert by_name["of them whole"] > 200 and by_name["of them errors"] > 50 and by_name["of them short, with the reason"] > 5
