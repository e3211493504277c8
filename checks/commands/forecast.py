"""`encore forecast`: what will a run take?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from checks.commands import FolderArgument, JsonOption, app, print_table


@app.command(epilog="Example: [bold]encore forecast . --cores 20 --gpus 33[/]")
def forecast(
    folder: FolderArgument = Path("."),
    cores: Annotated[int, typer.Option(min=1, help="CPU cores to use at a time")] = 20,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs to use at a time")] = 4,
    gpu_record: Annotated[
        Optional[Path],
        typer.Option(help="record of `make gpu-check`", show_default="a V100, as the authors' hours imply"),
    ] = None,
    search_share: Annotated[
        float, typer.Option(help="share of the recorded GPU's peak that the search is assumed to reach")
    ] = 0.25,
    as_json: JsonOption = False,
):
    """Say before a run what it will take: pictures, hours and gigabytes of every stage of ISC 2021."""
    from checks.forecast.command import forecast_rows

    rows = forecast_rows(folder, cores, gpus, gpu_record, search_share)
    print_table(("stage", "amount", "of", "hours", "gigabytes", "basis"), rows, as_json)
