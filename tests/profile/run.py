#!/usr/bin/env python3
"""make profile-check: that timelines say where the time went, that it costs nearly nothing, and that ragline-profile's
simulation comes true, shown on real processes.

usage: tests/profile/run.py [--short] [--list] [CLAIM …]

A line per claim: name, measured, limit, holds or falls short; exit status 1 where one falls short. --short takes the
forms that the end-to-end tests use, which are quick but too short for the limits that speak of speed. The programs
are taken from $RAGLINE_BUILD (default build/); Python is that of the end-to-end tests (it needs pyzmq and msgpack).
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

from harness.claims import main  # noqa: E402

NAMES = ["timeline", "delays", "predict", "cost"]

if __name__ == "__main__":
    main(__doc__, {name: f"shown.{name}" for name in NAMES})
