#!/usr/bin/env python3
"""make bench-latency: how soon something is to be seen, and what brings it sooner, from the program that most people start
with to drafts and prompts that are read ahead.

usage: tests/bench/latency/run.py [--short] [--data FOLDER] [--write] [--list] [PART …]

The parts: `original` and `provisional` on stand-ins with the times of the original problem, `typed` and `real` on the
real models of the demo, `cost` on stand-ins in C. A line per claim: name, measured, limit, holds or falls short; exit
status 1 where one falls short. --data is a labelled set (corpus.jsonl, queries.jsonl, as for make eval); without, the
project's own README is indexed and questions about it are asked. --write puts the table and the plot into tests/README.md and
tests/bench/latency/latency.svg. --short is the form that the end-to-end tests use.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "chaos"), str(HERE.parents[1] / "e2e")]

import chart  # noqa: E402
from harness.claims import main  # noqa: E402

NAMES = ["original", "provisional", "typed", "real", "cost"]


def add_arguments(parser):
    parser.add_argument("--data")
    parser.add_argument("--write", action="store_true")


def run():
    rows = {}

    def tables(args, whole):
        for table in rows.values():
            print("\n" + chart.table(table))
        if args.write and rows and whole:
            chart.write(rows)

    modules = {name: f"claim_{name}" for name in NAMES}
    main(__doc__, modules, add_arguments, lambda args: {"data": args.data, "rows": rows}, tables)


if __name__ == "__main__":
    run()
