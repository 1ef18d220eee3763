"""Claims: what the commands that measure (make chaos, profile-check, bench-latency, scale-check) have in common: a line
per claim with its name, what was measured, the limit, and whether it holds; exit status 1 where one falls short."""

import argparse
import dataclasses
import importlib
import os
import resource
import signal
import subprocess
import sys
import time


@dataclasses.dataclass
class Claim:
    """What was measured, and whether it holds. `strict`: it is about what is right, not about how fast this machine
    is, so that it must hold on any. Without a limit it is only shown."""

    name: str
    measured: float
    limit: float | None = None
    unit: str = ""
    at_most: bool = True
    strict: bool = False

    @property
    def holds(self):
        if self.limit is None:
            return True
        return self.measured <= self.limit if self.at_most else self.measured >= self.limit

    def line(self, width):
        sign = "<=" if self.at_most else ">="
        bound = "" if self.limit is None else f"{sign} {self.limit:,g}"
        word = "" if self.limit is None else "holds" if self.holds else "FALLS SHORT"
        number = f"{self.measured:,.0f}" if abs(self.measured) >= 1000 or self.measured == 0 else f"{self.measured:.3g}"
        return f"{self.name:{width}}  {number:>10}  {bound:>10} {self.unit:5} {word}".rstrip()


def show(claims):
    width = max((len(claim.name) for claim in claims), default=0)
    print(f"\n{'':{width}}  {'measured':>10}  {'limit':>10}")
    for claim in claims:
        print(claim.line(width))


def all_files():
    """As many open files as this machine allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(usage, modules, add_arguments=None, given=lambda args: {}, after=None):
    """The whole command. `modules`: {name: module}; each has run(short=…, **given(args)), which returns claims and says
    with an exception that it could not be shown. `after`: called with the arguments, and whether all was shown."""
    parser = argparse.ArgumentParser(usage=usage)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--list", action="store_true")
    if add_arguments:
        add_arguments(parser)
    parser.add_argument("claims", nargs="*", choices=[[], *modules], metavar="CLAIM")
    args = parser.parse_args()
    all_files()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.stdout.reconfigure(line_buffering=True)
    chosen = {name: importlib.import_module(modules[name]) for name in args.claims or modules}
    if args.list:
        for name, module in chosen.items():
            print(f"{name:12} {module.__doc__.splitlines()[0]}")
        return
    print(f"{os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f} at the start")
    began, claims, broken = time.monotonic(), [], []
    for name, module in chosen.items():
        print(f"[{time.monotonic() - began:5.0f} s] {module.__doc__.splitlines()[0]}")
        try:
            claims += module.run(short=args.short, **given(args))
        except (AssertionError, OSError, RuntimeError, subprocess.SubprocessError) as why:
            print(f"  {name} could not be shown: {why}")
            broken.append(name)
    if claims:
        show(claims)
    if after:
        after(args, not broken)
    short = [claim for claim in claims if not claim.holds]
    limited = [claim for claim in claims if claim.limit is not None]
    told = f"{len(short)} of {len(limited)} fall short" if short else f"all {len(limited)} hold"
    print(f"\n{told}" + (f"; not shown: {', '.join(broken)}" if broken else ""))
    sys.exit(1 if short or broken else 0)
