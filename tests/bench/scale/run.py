#!/usr/bin/env python3
"""make scale-check: what one machine carries, up to a million passages, and what happens to a corpus that grows.

usage: tests/bench/scale/run.py [--short] [--folder FOLDER] [--data FOLDER …] [--write] [--list] [CLAIM …]

A line per claim: name, measured, limit, holds or falls short; exit status 1 where one falls short. The corpus is made
by tests/bench/clustered.c: the same at every call. What is built lies in a temporary folder (7 GB), or in FOLDER,
where a later run finds it and does not build it again; what it had cost to build is then as it was. --data are labelled sets
(corpus.jsonl, queries.jsonl, qrels.tsv, as for make eval) that the engine is compared on. --write puts the
table and the plot into tests/README.md, the sizing into retriever/README.md, and tests/bench/scale/scale.svg. --short is the form that the end-to-end tests use.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "chaos"), str(HERE.parents[1] / "e2e")]

import chart  # noqa: E402
from harness.claims import main  # noqa: E402
from workshop import Workshop  # noqa: E402

# those that need the million first; the others then have the machine's memory for themselves
NAMES = ["million", "filters", "sizes", "sizing", "kills", "changes", "engine"]


def add_arguments(parser):
    parser.add_argument("--folder")
    parser.add_argument("--data", action="append", default=[])
    parser.add_argument("--write", action="store_true")


def run():
    workshops = []

    def given(args):
        if not workshops:
            workshops.append(Workshop(args.folder, args.short, args.data))
        return {"shop": workshops[0]}

    def after(args, whole):
        rows = workshops[0].rows()
        if rows:
            print("\n" + chart.table(rows))
        if args.write and whole and not args.short:
            chart.write(rows, workshops[0].sizing)

    try:
        main(__doc__, {name: f"claim_{name}" for name in NAMES}, add_arguments, given, after)
    finally:
        for workshop in workshops:
            workshop.close()


if __name__ == "__main__":
    run()
