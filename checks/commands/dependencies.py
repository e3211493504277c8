"""`encore dependencies`: does every stage depend on the files it imports?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from checks.commands import app
from checks.size import PROJECT


@app.command(epilog="Example: [bold]encore dependencies --write[/]")
def dependencies(
    write: Annotated[bool, typer.Option("--write/--check", help="rewrite, or only report")] = False,
    root: Annotated[Path, typer.Option(help="folder of dvc.yaml", show_default="the project")] = PROJECT,
):
    """Check that every DVC stage depends on exactly the first-party files it imports; exit 1 when stale."""
    from checks.dependencies import copy_to_mini, load, mini_problem, stale_stages, update

    path = root / "dvc.yaml"
    if write:
        for name in update(path, root):
            print(f"{name}: rewritten")
        if copy_to_mini(root):
            print("mini/dvc.yaml: rewritten")
        return
    stale = stale_stages(root, load(path))
    for name, (has, wanted) in stale.items():
        print(
            f"{name}: stale: lacks {sorted(set(wanted) - set(has)) or 'nothing'}, "
            f"has too much {sorted(set(has) - set(wanted)) or 'nothing'}; run `encore dependencies --write`"
        )
    problem = mini_problem(root)
    if problem:
        print(problem)
    raise typer.Exit(1 if stale or problem else 0)
