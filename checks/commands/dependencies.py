"""`encore dependencies`: does every stage depend on the files it imports?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from checks.commands import JsonOption, app, print_problems, print_written
from checks.size import PROJECT


@app.command(epilog="Example: [bold]encore dependencies --write[/]")
def dependencies(
    write: Annotated[bool, typer.Option("--write/--check", help="rewrite, or only report")] = False,
    root: Annotated[Path, typer.Option(help="folder of dvc.yaml", show_default="the project")] = PROJECT,
    as_json: JsonOption = False,
):
    """Check that every DVC stage depends on exactly the first-party files it imports; exit 1 when stale."""
    from checks.dependencies import copy_to_mini, load, mini_problem, stale_stages, update

    path = root / "dvc.yaml"
    if write:
        print_written(update(path, root) + ["mini/dvc.yaml"] * copy_to_mini(root), as_json)
        return
    stale = stale_stages(root, load(path))
    problems = [
        f"{name}: stale: lacks {sorted(set(wanted) - set(has)) or 'nothing'}, "
        f"has too much {sorted(set(has) - set(wanted)) or 'nothing'}; run `encore dependencies --write`"
        for name, (has, wanted) in stale.items()
    ]
    print_problems(problems + list(filter(None, [mini_problem(root)])), as_json)
