"""`encore forecast`: what will a run take?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from checks.commands import FolderArgument, JsonOption, app, print_json, print_table


@app.command(epilog="Example: [bold]encore forecast . --cores 20 --gpus 33[/]")
def forecast(
    folder: FolderArgument = Path("."),
    cores: Annotated[int, typer.Option(min=1, help="CPU cores to use at a time")] = 20,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs to use at a time; 0: networks on the CPU")] = 4,
    gpu_record: Annotated[
        Optional[Path],
        typer.Option(help="record of `make gpu-check`", show_default="a V100, as the authors' hours imply"),
    ] = None,
    search_share: Annotated[
        float, typer.Option(help="share of the recorded GPU's peak that the search is assumed to reach")
    ] = 0.25,
    against: Annotated[
        bool,
        typer.Option("--against", help="compare with what the stages of a run recorded"),
    ] = False,
    as_json: JsonOption = False,
):
    """Say before a run what it will take: pictures, hours, gigabytes, memory, DVC objects of every stage.

    low and high: the 95 % interval of hours that rest on measured growth (benchmarks/growth.json). memory: of
    the processes of a stage, in gigabytes.
    """
    from checks.forecast.command import forecast_rows, stage_rows

    hardware = folder, cores, gpus, gpu_record, search_share
    if against:
        _compare(folder, stage_rows(*hardware, further=True)[0], as_json)
        return
    rows = forecast_rows(*hardware, further=True)
    columns = ("stage", "amount", "of", "hours", "low", "high", "gigabytes", "memory", "objects", "basis")
    print_table(columns, rows, as_json)


def _compare(folder, rows, as_json):
    from checks.forecast.against import compare, recorded, summary

    compared, left = compare(rows, recorded(folder))
    shown = [
        {
            "stage": row.stage,
            "runs": row.runs,
            "forecast_seconds": None if row.forecast is None else round(row.forecast, 2),
            "measured_seconds": round(row.measured, 2),
            "measured_over_forecast": None if row.factor is None else round(row.factor, 2),
        }
        for row in compared
    ]
    found = summary(compared)
    if as_json:
        print_json({"rows": shown, "summary": found, "without_a_row": left})
        return
    print_table(list(shown[0]) if shown else ["stage"], shown)
    print("without a row of the forecast: " + (", ".join(left) or "none"))
    for name, value in found.items():
        print(f"{name}: {value:.2f}" if isinstance(value, float) else f"{name}: {value}")
