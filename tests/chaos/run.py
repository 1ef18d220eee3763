#!/usr/bin/env python3
"""make chaos: what holds when workers die, stall or are overrun, shown on real processes.

usage: tests/chaos/run.py [--short] [--list] [CLAIM …]

A line per claim: name, measured, limit, holds or falls short; exit status 1 where one falls short. --short takes the
forms that the end-to-end tests use, which are quick but too short for the limits that speak of speed. The programs
are taken from $RAGLINE_BUILD (default build/); Python is that of the end-to-end tests (it needs pyzmq and msgpack).
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
sys.path.insert(0, str(HERE))

# most telling first
NAMES = ["storm", "tail", "network", "overload", "clients", "swap", "rubbish", "batch", "scale", "many"]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("claims", nargs="*", choices=[[], *NAMES], metavar="CLAIM")
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.stdout.reconfigure(line_buffering=True)
    modules = {name: importlib.import_module(f"claims.{name}") for name in args.claims or NAMES}
    if args.list:
        for name, module in modules.items():
            print(f"{name:10} {module.__doc__.splitlines()[0]}")
        return
    print(f"{os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f} at the start")
    began, claims, broken = time.monotonic(), [], []
    for name, module in modules.items():
        print(f"[{time.monotonic() - began:5.0f} s] {module.__doc__.splitlines()[0]}")
        try:
            claims += module.run(short=args.short)
        except (AssertionError, OSError, RuntimeError, subprocess.SubprocessError) as why:
            print(f"  {name} could not be shown: {why}")
            broken.append(name)
    if claims:
        width = max(len(claim.name) for claim in claims)
        print(f"\n{'':{width}}  {'measured':>10}  {'limit':>10}")
        for claim in claims:
            print(claim.line(width))
    short = [claim for claim in claims if not claim.holds]
    limited = [claim for claim in claims if claim.limit is not None]
    told = f"{len(short)} of {len(limited)} fall short" if short else f"all {len(limited)} hold"
    print(f"\n{told}" + (f"; not shown: {', '.join(broken)}" if broken else ""))
    sys.exit(1 if short or broken else 0)


if __name__ == "__main__":
    main()
