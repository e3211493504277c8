"""`encore calibrate`: expected values and tolerances from seed runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from checks.commands import ClaimsOption, JsonOption, app, print_table
from checks.size import PROJECT
from encore.runtime.refusal import Refusal


@app.command(epilog="Example: [bold]encore calibrate isc_track2 0=/runs/seed0 1=/runs/seed1 2=/runs/seed2[/]")
def calibrate(
    system: Annotated[str, typer.Argument(help="a claim file's name, e.g. isc_track2")],
    runs: Annotated[Optional[list[str]], typer.Argument(help="finished runs as SEED=FOLDER")] = None,
    claims: ClaimsOption = None,
    as_json: JsonOption = False,
):
    """Take expected values and tolerances of the mini claims from seed runs, and store both."""
    from checks.calibrate import calibrate, collect

    claims = claims or PROJECT / "claims"
    if runs:
        collect(claims, system, _seed_runs(runs))
    rows = [
        {
            "claim": claim.id,
            "expected": claim.expected,
            "low": claim.tolerance.low,
            "high": claim.tolerance.high,
            "gating": claim.gating,
        }
        for claim in calibrate(claims, system)
    ]
    print_table(("claim", "expected", "low", "high", "gating"), rows, as_json)


def _seed_runs(texts):
    runs = {}
    for text in texts:
        seed, equals, folder = text.partition("=")
        if not equals or not seed.isdecimal() or seed in runs:
            raise Refusal(
                f"{text}: expected SEED=FOLDER with a different whole number each, e.g. 0=/runs/seed0"
            )
        runs[seed] = Path(folder)
    return runs
