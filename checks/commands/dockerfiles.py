"""`encore dockerfiles`: do the Dockerfiles keep the rules?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from checks.commands import JsonOption, app, print_problems
from checks.size import PROJECT
from encore.runtime.refusal import Refusal


@app.command(epilog="Example: [bold]encore dockerfiles[/]")
def dockerfiles(
    root: Annotated[
        Path, typer.Option(help="folder of the Dockerfiles", show_default="the project")
    ] = PROJECT,
    as_json: JsonOption = False,
):
    """Check that every Dockerfile keeps the rules that let it build years later; exit 1 if one does not."""
    from checks.dockerfiles import dockerfile_problems

    paths = sorted(root.glob("Dockerfile.*"))
    if not paths:
        raise Refusal(f"{root}: there is no Dockerfile.<environment>: name the folder of a project")
    print_problems([problem for path in paths for problem in dockerfile_problems(path)], as_json)
