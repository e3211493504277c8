"""Inject one fault again, or all of a stage: `python -m faults.kill STAGE [--seed N] [--number K]`."""

from __future__ import annotations

import argparse
import sys

from encore.runtime.refusal import Refusal
from faults.kill.stage_faults import NUMBERS
from faults.kill.suite import Suite


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m faults.kill", description=__doc__.splitlines()[0])
    parser.add_argument("stage", help="as DVC names it")
    parser.add_argument("--seed", type=int, default=0, help="of the points at which faults are injected")
    parser.add_argument("--number", type=int, help="one fault at a point of a run, as a loss names it")
    given = parser.parse_args(arguments)
    if given.number is not None and not 0 <= given.number < NUMBERS:
        raise Refusal(f"--number {given.number}: no such fault: they are numbered from 0 to {NUMBERS - 1}")
    lost = 0
    with Suite(lanes=1) as suite:
        if given.stage not in suite.plan:
            raise Refusal(f"{given.stage}: no such stage; there are {', '.join(suite.plan)}")
        suite.make_reference([given.stage])
        for row in suite.rows([given.stage], True, given.seed, given.number):
            state = f"skipped: {row.skipped}" if row.skipped else f"{row.survived} of {row.injected} survived"
            print(f"{row.kind}: {state}, {row.seconds:.1f} s", *row.losses, sep="\n  ", flush=True)
            lost += row.lost
    return 1 if lost else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Refusal as refusal:
        print(f"encore: {refusal}", file=sys.stderr)
        sys.exit(2)
