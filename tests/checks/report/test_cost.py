"""The cost of the published size: summed where there is a forecast, stated where there is none."""

from __future__ import annotations

import pytest

from checks.claims import read_all_claims
from checks.forecast.command import forecast_rows
from checks.report import cost
from checks.report.cost import gigabytes_in, paper_cost
from checks.report.ingredients import Missing
from checks.size import PROJECT
from tests.checks.conftest import claim_row
from tests.checks.report.fabricated import PAPER


def test_a_system_without_a_forecast_has_the_costliest_claim_and_all_metric_files(project):
    other = {"file": "metrics/toy/other.json", "key": "loss", "definition": "a loss"}
    project.set_claims(
        claim_row(id="a", **PAPER),
        claim_row(id="b", **{**PAPER, "hours": 10}),
        claim_row(id="c", **{**PAPER, "hours": 3, "metric": other, "disk": "2 GB", "hardware": "a laptop"}),
    )
    (row,) = paper_cost(read_all_claims(project.claims), project.root).systems
    # a and b are read off one file, whose run takes 24 hours; c takes another 3.
    assert row.hours == (24, 27) and row.disk.startswith("5 GB") and "claims state" in row.basis
    assert row.hardware == "a laptop; one GPU with 12 GB"


def test_without_claims_and_forecast_the_note_says_why(project):
    with pytest.raises(Missing, match="no published size to forecast: .*params.yaml"):
        paper_cost(read_all_claims(project.claims), project.root)


def test_the_totals_of_this_project_are_those_of_the_forecast():
    found = paper_cost(read_all_claims(PROJECT / "claims"), PROJECT)
    systems = {row.system: row for row in found.systems}
    assert {"isc_track2", "isc_track1", "drip", "fkd", "reid"} <= set(systems)
    total = forecast_rows(PROJECT, 20, 4)[-1]
    forecast = [systems[name] for name in ("isc_track2", "isc_overlays", "isc_track1")]
    assert sum(row.hours[0] for row in forecast) == pytest.approx(total["hours"], abs=0.1)
    assert "from the authors' hours" in systems["isc_track1"].basis


def test_a_stage_without_a_rate_is_named(monkeypatch):
    rows = [
        {"stage": "isc_track2 train", "hours": 2.5, "gigabytes": 1, "basis": "published: a day", "amount": 1},
        {"stage": "isc_track2 test", "hours": None, "gigabytes": 2, "basis": "", "amount": 1},
        {"stage": "isc_track2 generate", "hours": 1.5, "gigabytes": 2, "basis": "make bench: a", "amount": 1},
    ]
    monkeypatch.setattr(cost, "forecast_rows", lambda *arguments: rows)
    (row,) = paper_cost([], PROJECT).systems
    assert row.hours == (4, 4) and row.disk == "5 GB written"
    assert row.basis == (
        "2.5 h from the authors' hours, 1.5 h from rates measured by make bench; "
        "without test, whose rate nobody has measured"
    )


@pytest.mark.parametrize(
    ("text", "gigabytes"),
    [("5 GB of a, 1.5 TB of b", 1505), ("about 50 GB", 50), ("not stated", 0)],
)
def test_gigabytes_are_added_up(text, gigabytes):
    assert gigabytes_in(text) == gigabytes
