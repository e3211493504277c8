"""The forecast of one size on the given hardware."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from checks.forecast import isc_overlays, isc_track1, isc_track2
from checks.forecast.rates import SEARCH_SHARE, read_rates
from checks.forecast.rows import Amounts, Hardware
from checks.raw_data.inputs import read_inputs
from checks.recipe import read_parameters
from checks.size import PROJECT
from encore.runtime.refusal import Refusal

SYSTEMS = {
    "isc_track2": isc_track2.forecast,
    "isc_overlays": isc_overlays.forecast,
    "isc_track1": isc_track1.forecast,
}
INPUTS = ("training_images", "reference_images", "query_images", "face_images", "pair_queries")
PUBLISHED_RECIPE = PROJECT / "claims" / "published_params.yaml"
PUBLISHED_AMOUNTS = Amounts(
    training=1000000, references=1000000, queries=50000, face_candidates=1000000, pair_queries=50000
)


def forecast_rows(folder, cores, gpus, gpu_record=None, search_share=SEARCH_SHARE):
    """A row for each stage of each system and one for their sum, as dicts; hours None where no rate was
    measured.

    search_share: of a recorded GPU's peak, that the search is assumed to reach. Raises Refusal for parameters
    of none of the systems or without a key that is needed, and for records that cannot be read.
    """
    path = Path(folder) / "params.yaml"
    parameters = read_parameters(path)
    systems = [system for system in SYSTEMS if parameters.get(system)]
    if not systems:
        raise Refusal(f"{path}: no section {', '.join(SYSTEMS)} to make a forecast of")
    rates = read_rates(gpu_record, anchors=_v100(), search_share=search_share)
    hardware, rows = Hardware(cores=cores, gpus=gpus), []
    amounts = read_amounts(folder, parameters)
    for system in systems:
        try:
            made = SYSTEMS[system](parameters[system], amounts, rates, hardware)
        except KeyError as error:
            raise Refusal(f"{path}: {system}: the key {error} is missing") from None
        rows += [dataclasses.replace(row, stage=f"{system} {row.stage}") for row in made]
    return [_shown(row) for row in rows] + [_total(rows)]


def read_amounts(folder, parameters):
    """How many pictures inputs.yaml states; of queries that are made of them as many as `parameters` say."""
    path = Path(folder) / "inputs.yaml"
    inputs = read_inputs(path)
    lacking = [name for name in INPUTS if name not in inputs]
    if lacking:
        raise Refusal(f"{path}: no entry {lacking[0]}: state how many pictures there are")
    counts = [inputs[name].count for name in INPUTS]
    amounts = Amounts(*counts)
    held_out = ((parameters.get("isc_track2") or {}).get("queries") or {}).get("held_out")
    if not held_out:
        return amounts
    of_references = held_out["per_reference"] * amounts.references
    made = of_references + held_out["per_distractor"] * amounts.queries
    return dataclasses.replace(amounts, queries=made)


def _v100():
    """The authors' hours belong to the published run, not to the one that is forecast."""
    return isc_track1.v100(read_parameters(PUBLISHED_RECIPE)["isc_track1"], PUBLISHED_AMOUNTS)


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
