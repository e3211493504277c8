"""`encore compare`: do two runs agree, and if not, where do they part and why?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from checks.commands import JsonOption, app, print_json, print_table

RUN = "a run: the folder of a size, or a record that `encore reference` wrote"


@app.command(epilog="Example: [bold]encore compare mini claims/reference/mini.json[/]")
def compare(
    first: Annotated[Path, typer.Argument(help=RUN)],
    second: Annotated[Path, typer.Argument(help=RUN)],
    as_json: JsonOption = False,
):
    """Compare two runs stage by stage and name the first that differs: data, recipe, code, environment,
    hardware or chance; exit 1 when they differ."""
    from checks.runs.compare import compare as compare_runs
    from checks.runs.compare import remarks, table

    found = compare_runs(first, second)
    if as_json:
        print_json(found.as_json())
    else:
        print_table(("stage", "outputs", "what differs", "what went in"), table(found))
        for line in remarks(found):
            print(line)
        print(found.sentence)
    raise typer.Exit(0 if found.same else 1)
