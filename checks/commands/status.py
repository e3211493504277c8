"""`encore status`: how far has a size come, and what to run next?"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from checks.commands import FolderArgument, JsonOption, app, print_json, print_table


@app.command(epilog="Examples: [bold]encore status mini[/] | [bold]encore status mini --stages[/]")
def status(
    folder: FolderArgument = Path("."),
    stages: Annotated[bool, typer.Option("--stages", help="list every stage that is not done")] = False,
    dvc: Annotated[bool, typer.Option("--dvc", help="ask `dvc status`, which reads every file")] = False,
    as_json: JsonOption = False,
):
    """Say which stages of each system are done, stale or not run, how its claims stand, and what is next."""
    from checks.status import DONE, ask_dvc, next_step, stage_states, system_rows

    states = stage_states(folder)
    if dvc:
        states = ask_dvc(folder, states)
    rows, todo = system_rows(folder, states), next_step(folder, states)
    if as_json:
        print_json({"systems": rows, "stages": [dataclasses.asdict(row) for row in states], "next": todo})
        return
    shown = [
        {**row, "verdicts": ", ".join(f"{count} {word}" for word, count in row["verdicts"].items()) or None}
        for row in rows
    ]
    print_table(("system", "done", "stale", "not run", "verdicts"), shown)
    for row in () if stages else rows:
        if row["first"]:
            print(f"{row['system']}: {row['first']}")
    for row in states if stages else ():
        if row.state != DONE:
            print(f"{row.stage}: {row.state}: {row.why}")
    print(f"next: {todo}")
