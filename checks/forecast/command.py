"""The forecast of one size on the given hardware."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from checks.forecast import drip, fkd, isc_overlays, isc_track1, isc_track2, reid
from checks.forecast.curves import read_curves
from checks.forecast.identities import identities_of
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
"""Those of ISC 2021, of which every stage has a figure; the report adds theirs up."""
FURTHER_SYSTEMS = {"fkd": fkd.forecast, "drip": drip.forecast, "reid": reid.forecast}
INPUTS = ("training_images", "reference_images", "query_images", "face_images", "pair_queries")
FURTHER_INPUTS = {
    "fkd": ("labelled_training",),
    "drip": ("drip_training", "drip_references", "drip_queries"),
    "reid": ("reid_training", "reid_query", "reid_gallery"),
}
PUBLISHED_RECIPE = PROJECT / "claims" / "published_params.yaml"
PUBLISHED_AMOUNTS = Amounts(
    training=1000000, references=1000000, queries=50000, face_candidates=1000000, pair_queries=50000
)


def forecast_rows(folder, cores, gpus, gpu_record=None, search_share=SEARCH_SHARE, further=False):
    """A row for each stage of each system and one for their sum, as dicts; hours None where no rate was
    measured.

    search_share: of a recorded GPU's peak, that the search is assumed to reach. further: fkd, drip and reid,
    too. Raises Refusal for parameters of none of the systems or without a key that is needed, and for records
    that cannot be read.
    """
    rows, curves = stage_rows(folder, cores, gpus, gpu_record, search_share, further)
    starts = curves.start_seconds or 0.0
    return [_shown(row) for row in rows] + [_total(rows, starts)]


def stage_rows(folder, cores, gpus, gpu_record=None, search_share=SEARCH_SHARE, further=False):
    """(the Rows of all systems, each stage behind its system's name; the Curves), as for forecast_rows."""
    path = Path(folder) / "params.yaml"
    parameters = read_parameters(path)
    known = {**SYSTEMS, **(FURTHER_SYSTEMS if further else {})}
    systems = [system for system in known if parameters.get(system)]
    if not systems:
        raise Refusal(f"{path}: no section {', '.join(known)} to make a forecast of")
    curves = read_curves()
    rates = read_rates(
        gpu_record, anchors=_v100(), search_share=search_share, curves=curves, on_cpu=gpus == 0
    )
    hardware, rows = Hardware(cores=cores, gpus=gpus), []
    amounts = read_amounts(folder, parameters) if set(systems) & set(SYSTEMS) else None
    for system in systems:
        counts = amounts if system in SYSTEMS else _further_counts(folder, system)
        try:
            made = known[system](parameters[system], counts, rates, hardware)
        except KeyError as error:
            raise Refusal(f"{path}: {system}: the key {error} is missing") from None
        rows += [dataclasses.replace(row, stage=f"{system} {row.stage}") for row in made]
    return rows, curves


def _further_counts(folder, system):
    counts = read_counts(folder, FURTHER_INPUTS[system])
    if system == "reid":
        training = read_inputs(Path(folder) / "inputs.yaml")["reid_training"]
        counts["reid_identities"] = identities_of(folder, training)
    return counts


def read_counts(folder, names):
    """{data set: how many pictures inputs.yaml states} of `names`; Refusal where one is not stated."""
    path = Path(folder) / "inputs.yaml"
    inputs = read_inputs(path)
    lacking = [name for name in names if name not in inputs or inputs[name].count is None]
    if lacking:
        raise Refusal(f"{path}: no entry {lacking[0]}: state how many pictures there are")
    return {name: inputs[name].count for name in names}


def read_amounts(folder, parameters):
    """How many pictures inputs.yaml states; of queries that are made of them as many as `parameters` say."""
    amounts = Amounts(*read_counts(folder, INPUTS).values())
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
    for name, digits in (("hours", 2), ("gigabytes", 1), ("low", 2), ("high", 2), ("memory", 2)):
        values[name] = None if values[name] is None else round(values[name], digits)
    return values


def _total(rows, start_seconds):
    lacking = [row.stage for row in rows if row.hours is None]
    starts = sum(row.starts for row in rows)
    hours = sum(row.hours or 0 for row in rows) + starts * start_seconds / 3600
    basis = f"without the hours of {', '.join(lacking)}" if lacking else "one stage after the other"
    if start_seconds:
        basis += f"; with {starts} processes that start in {start_seconds:.1f} s each"
    return {
        "stage": "all",
        "amount": None,
        "of": "",
        "hours": round(hours, 2),
        "gigabytes": round(sum(row.gigabytes for row in rows), 1),
        "basis": basis,
        "low": None,
        "high": None,
        "memory": max((round(row.memory, 2) for row in rows if row.memory is not None), default=None),
        "objects": sum(row.objects or 0 for row in rows),
        "starts": starts,
    }
