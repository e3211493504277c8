"""`encore counts`: does a data set hold what it must?"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from checks.commands import JsonOption, app, print_table


@app.command(epilog="Example: [bold]encore counts data/isc_100k_256 --images 2000000 --classes 100000[/]")
def counts(
    folder: Annotated[Path, typer.Argument(help="a data set folder with manifest.json")],
    images: Annotated[Optional[int], typer.Option(help="images it must hold")] = None,
    classes: Annotated[Optional[int], typer.Option(help="classes it must hold")] = None,
    content: Annotated[bool, typer.Option("--content", help="also check every byte of every shard")] = False,
    as_json: JsonOption = False,
):
    """Check the manifest of a generated data set: shards, digests, number of images and classes."""
    from checks.counts import check_counts

    found, problems = check_counts(folder, images, classes, content)
    print_table(("what", "expected", "found"), [dataclasses.asdict(count) for count in found], as_json)
    for problem in problems:
        print(f"encore: {problem}", file=sys.stderr)
    raise typer.Exit(1 if problems else 0)
