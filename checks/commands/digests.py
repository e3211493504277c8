"""`encore digests`: are the generated data sets those on record?"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Optional

import typer

from checks.commands import FolderArgument, JsonOption, app, print_table


@app.command(epilog="Example: [bold]encore digests mini --environment cuda101[/]")
def digests(
    size: FolderArgument,
    environment: Annotated[str, typer.Option(help="environment that the data sets were generated in")],
    data_set: Annotated[Optional[list[str]], typer.Option(help="only this one (may be repeated)")] = None,
    record: Annotated[bool, typer.Option("--record", help="put what is there on record")] = False,
    as_json: JsonOption = False,
):
    """Compare generated data sets with the digests on record for an environment; exit 1 when one differs."""
    from checks.digests import compare_digests, record_digests

    if record:
        record_digests(size, environment)
    rows = compare_digests(size, environment, data_set or ())
    columns = ("data_set", "recorded", "found")
    print_table(columns, [dataclasses.asdict(row) for row in rows], as_json)
    raise typer.Exit(0 if all(row.holds for row in rows) else 1)
