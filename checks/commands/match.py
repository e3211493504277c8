"""`encore match`: which pictures of one folder are copies of another's?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from checks.commands import JsonOption, app, print_json


@app.command(epilog="Example: [bold]encore match photos/new photos/archive --output found --top 5[/]")
def match(
    queries: Annotated[Path, typer.Argument(help="folder of pictures that may be copies")],
    references: Annotated[Path, typer.Argument(help="folder of pictures they may be copies of")],
    weights: Annotated[
        Optional[Path],
        typer.Option(
            help="trained weights: of isc_track2 or isc_track1 (stripped, ours or published, or a checkpoint "
            "of training), or a checkpoint of drip (.ckpt)",
            show_default="the mini weights",
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="folder to write")] = Path("encore-match"),
    top: Annotated[int, typer.Option(min=1, help="references to list for each query")] = 5,
    normalise_with: Annotated[
        Optional[Path],
        typer.Option(
            help="folder of pictures unlike both: what a query shares with them is taken off its scores",
            show_default=False,
        ),
    ] = None,
    top_training: Annotated[int, typer.Option(min=1, help="nearest of those pictures that count")] = 10,
    factor: Annotated[float, typer.Option(help="how often their mean similarity is taken off")] = 2.0,
    scales: Annotated[
        Optional[list[int]],
        typer.Option(
            min=8,
            help="side in pixels that pictures are resized to; give it once a scale",
            show_default="those that the weights were tested at",
        ),
    ] = None,
    max_rows: Annotated[int, typer.Option(min=1, help="pairs in matches.csv at most")] = 500_000,
    threads: Annotated[
        Optional[int], typer.Option(min=1, help="threads that decode", show_default="all cores")
    ] = None,
    as_json: JsonOption = False,
):
    """Find the best matches of one folder of pictures in another: matches.csv and gallery.html.

    Folders are read with all folders below them. A killed run goes on with the same command.
    """
    from checks.match import MatchOptions, lines, match_folders

    options = MatchOptions(
        top, weights, tuple(scales or ()), normalise_with, top_training, factor, max_rows, threads
    )
    found = match_folders(queries, references, output, options)
    if as_json:
        print_json(found)
    else:
        print("\n".join(lines(found)))
