"""`encore data`: are the raw data there?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from checks.commands import JsonOption, app, print_table


@app.command(epilog="Example: [bold]encore data --size mini[/]")
def data(
    size: Annotated[Path, typer.Option(help="folder with inputs.yaml")] = Path("."),
    dataset: Annotated[Optional[list[str]], typer.Option(help="only this data set (may be repeated)")] = None,
    used_by: Annotated[
        Optional[str], typer.Option(help="only what one family starts from: isc, fkd, drip or reid")
    ] = None,
    as_json: JsonOption = False,
):
    """Check that the raw data are there, complete and under the expected names; write inputs/*.json."""
    from checks.data import check_data

    rows = check_data(size, dataset or (), used_by)
    print_table(("dataset", "count", "bytes", "path"), rows, as_json)
