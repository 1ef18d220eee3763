#!/usr/bin/env python3
"""make chaos: what holds when workers die, stall or are overrun, shown on real processes.

usage: tests/chaos/run.py [--short] [--list] [CLAIM …]

A line per claim: name, measured, limit, holds or falls short; exit status 1 where one falls short. --short takes the
forms that the end-to-end tests use, which are quick but too short for the limits that speak of speed. The programs
are taken from $RAGLINE_BUILD (default build/); Python is that of the end-to-end tests (it needs pyzmq and msgpack).
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

from harness.claims import main  # noqa: E402

# most telling first
NAMES = ["storm", "tail", "network", "overload", "clients", "swap", "rubbish", "too_large", "odd_server", "batch", "scale", "many"]

if __name__ == "__main__":
    main(__doc__, {name: f"claims.{name}" for name in NAMES})
