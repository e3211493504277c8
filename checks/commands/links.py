"""`encore links`: do the documents' links lead anywhere?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from checks.commands import JsonOption, app, print_problems
from checks.size import PROJECT


@app.command(epilog="Example: [bold]encore links --online[/]")
def links(
    online: Annotated[
        bool, typer.Option("--online", help="ask for http addresses too, not only for files of the project")
    ] = False,
    root: Annotated[Path, typer.Option(help="folder of README.md", show_default="the project")] = PROJECT,
    as_json: JsonOption = False,
):
    """List every broken link of README, REPRODUCE, claims, inputs and CITATION; exit 1 when there is one."""
    from checks.links import broken_links

    print_problems(broken_links(root, online), as_json)
