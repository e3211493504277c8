"""`encore match`: which pictures of one folder are copies of another's?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from checks.commands import app


@app.command(epilog="Example: [bold]encore match photos/new photos/archive --output found --top 5[/]")
def match(
    queries: Annotated[Path, typer.Argument(help="folder of pictures that may be copies")],
    references: Annotated[Path, typer.Argument(help="folder of pictures they may be copies of")],
    weights: Annotated[
        Optional[Path], typer.Option(help="trained weights", show_default="the mini weights")
    ] = None,
    output: Annotated[Path, typer.Option(help="folder to write")] = Path("encore-match"),
    top: Annotated[int, typer.Option(min=1, help="references to list for each query")] = 5,
    scales: Annotated[
        Optional[list[int]],
        typer.Option(
            min=8,
            help="side in pixels that pictures are resized to; give it once a scale",
            show_default=False,
        ),
    ] = None,
):
    """Find the best matches of one folder of pictures in another: matches.csv and gallery.html."""
    from checks.match import match_folders

    print(match_folders(queries, references, output, top, weights, scales or ()))
