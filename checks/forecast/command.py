"""The forecast of one size on the given hardware."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from checks.forecast.isc_track1 import Amounts, Hardware, forecast, v100
from checks.forecast.rates import read_rates
from checks.inputs import read_inputs
from checks.recipe import read_parameters
from encore.runtime.refusal import Refusal

SYSTEM = "isc_track1"


def forecast_rows(folder, cores, gpus, gpu_record=None):
    """A row for each stage and one for their sum, as dicts; hours None where no rate was measured."""
    path = Path(folder) / "params.yaml"
    parameters = read_parameters(path).get(SYSTEM)
    if parameters is None:
        raise Refusal(f"{path}: no section {SYSTEM} to make a forecast of")
    amounts = read_amounts(folder)
    try:
        rates = read_rates(gpu_record, anchors=v100(parameters, amounts))
        rows = forecast(parameters, amounts, rates, Hardware(cores=cores, gpus=gpus))
    except KeyError as error:
        raise Refusal(f"{path}: {SYSTEM}: the key {error} is missing") from None
    return [_shown(row) for row in rows] + [_total(rows)]


def read_amounts(folder):
    """How many pictures inputs.yaml states."""
    inputs = read_inputs(Path(folder) / "inputs.yaml")
    return Amounts(*(inputs[name].count for name in ("training_images", "reference_images", "query_images")))


def _shown(row):
    values = dataclasses.asdict(row)
    values["hours"] = None if row.hours is None else round(row.hours, 2)
    values["gigabytes"] = round(row.gigabytes, 1)
    return values


def _total(rows):
    lacking = [row.stage for row in rows if row.hours is None]
    return {
        "stage": "all",
        "amount": None,
        "of": "",
        "hours": round(sum(row.hours or 0 for row in rows), 2),
        "gigabytes": round(sum(row.gigabytes for row in rows), 1),
        "basis": f"without the hours of {', '.join(lacking)}" if lacking else "one stage after the other",
    }
