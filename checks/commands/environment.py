"""`encore environment`: is an environment what its definition says?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Optional

import typer

from checks.commands import JsonOption, app, print_table


@app.command(epilog="Example: [bold]encore environment cuda101 --python .envs/cuda101/bin/python[/]")
def environment(
    name: Annotated[str, typer.Argument(help="a name in locks/environments.yaml: cuda101, cuda118, …")],
    python: Annotated[
        Optional[Path],
        typer.Option(help="interpreter to check", show_default="ENCORE_PYTHON, else that of the image"),
    ] = None,
    canary: Annotated[bool, typer.Option("--canary", help="also run the numerical canary there")] = False,
    as_json: JsonOption = False,
):
    """Compare an environment with its definition: Python, libraries, CUDA, GPU; exit 1 if it deviates."""
    from checks.environment import check_environment, run_canary

    status, rows = check_environment(name, python)
    if rows is None:
        raise typer.Exit(status)
    canary_status, output = run_canary(name, python, as_json) if canary else (0, "")
    if as_json:
        value = {"environment": rows, "canary": json.loads(output)} if canary else rows
        print(json.dumps(value, indent=1, ensure_ascii=False))
    else:
        shown = [row for row in rows if row["stated"] or row["state"] != "ok"]
        print_table(("what", "wanted", "found", "state"), shown, as_json)
        print(output, end="")
    raise typer.Exit(max(status, canary_status))
