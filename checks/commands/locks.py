"""`encore locks`: the locks of every environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from checks.commands import JsonOption, app, print_problems, print_written
from checks.size import PROJECT
from encore.runtime.refusal import Refusal


@app.command(epilog="Example: [bold]encore locks --check --offline[/]")
def locks(
    write: Annotated[bool, typer.Option("--write/--check", help="make them again, or only report")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="check without asking the package index")
    ] = False,
    root: Annotated[Path, typer.Option(help="folder of locks/", show_default="the project")] = PROJECT,
    as_json: JsonOption = False,
):
    """Make every environment's lock, or check digests, inputs, Dockerfiles and drift; exit 1 on a problem."""
    from checks.locks import check_locks, write_locks

    if write and offline:
        raise Refusal("--write asks the package index: leave out --offline")
    if write:
        print_written(write_locks(root), as_json)
        return
    print_problems(check_locks(root, resolve=not offline), as_json)
