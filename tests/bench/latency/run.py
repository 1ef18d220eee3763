#!/usr/bin/env python3
"""make bench-latency: how soon something is to be seen, and what brings it sooner, from the program that most people start
with to drafts and prompts that are read ahead.

usage: tests/bench/latency/run.py [--short] [--data FOLDER] [--write] [--list] [PART …]

The parts: `original` and `provisional` on stand-ins with the times of the original problem, `typed` and `real` on the
real models of the demo, `cost` on stand-ins in C. A line per claim: name, measured, limit, holds or falls short; exit
status 1 where one falls short. --data is a labelled set (corpus.jsonl, queries.jsonl, as for make eval); without, the
project's own README is indexed and questions about it are asked. --write puts the table and the plot into README.md and
tests/bench/latency/latency.svg. --short is the form that the end-to-end tests use.
"""

import argparse
import importlib
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "chaos")]

NAMES = ["original", "provisional", "typed", "real", "cost"]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--data")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("parts", nargs="*", choices=[[], *NAMES], metavar="PART")
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.stdout.reconfigure(line_buffering=True)
    modules = {name: importlib.import_module(f"claim_{name}") for name in args.parts or NAMES}
    if args.list:
        for name, module in modules.items():
            print(f"{name:12} {module.__doc__.splitlines()[0]}")
        return
    print(f"{os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f} at the start")
    began, claims, rows, broken = time.monotonic(), [], {}, []
    for name, module in modules.items():
        print(f"[{time.monotonic() - began:5.0f} s] {module.__doc__.splitlines()[0]}")
        try:
            claims += module.run(short=args.short, data=args.data, rows=rows)
        except (AssertionError, OSError, RuntimeError, subprocess.SubprocessError) as why:
            print(f"  {name} could not be shown: {why}")
            broken.append(name)
    if claims:
        width = max(len(claim.name) for claim in claims)
        print(f"\n{'':{width}}  {'measured':>10}  {'limit':>10}")
        for claim in claims:
            print(claim.line(width))
    import chart

    for table in rows.values():
        print("\n" + chart.table(table))
    if args.write and rows and not broken:
        chart.write(rows)
    short = [claim for claim in claims if not claim.holds]
    limited = [claim for claim in claims if claim.limit is not None]
    told = f"{len(short)} of {len(limited)} fall short" if short else f"all {len(limited)} hold"
    print(f"\n{told}" + (f"; not shown: {', '.join(broken)}" if broken else ""))
    sys.exit(1 if short or broken else 0)


if __name__ == "__main__":
    main()
