"""States, order and counts of the verdicts on the page, and how it writes numbers."""

from __future__ import annotations

import pytest

from checks.report.page import agreement_text, hours_text, seconds_text, ticked
from checks.report.systems import SYSTEMS, SystemSection
from checks.report.verdicts import counted, filters, in_order, state_of


def row(system, verdict, gating=True):
    return {"system": system, "verdict": verdict, "gating": gating}


ROWS = [
    row("a", "deviates", False),
    row("b", "reproduced"),
    row("a", "reproduced", False),
    row("c", "better"),
]


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        ("reproduced", "good"),
        ("verified from artefacts", "good"),
        ("deviates", "bad"),
        ("blocked (data)", "open"),
        ("blocked (hardware)", "open"),
        ("blocked (licence)", "open"),
        ("not attempted", "open"),
        ("blocked", None),
        ("wonderful", None),
        (None, None),
    ],
)
def test_each_verdict_has_a_state_and_other_texts_have_none(verdict, state):
    assert state_of(verdict) == state


def test_verdicts_that_no_gating_claim_has_are_counted_as_informative():
    assert counted(ROWS) == {("reproduced", ""): 2, ("better", ""): 1, ("deviates", "informative"): 1}
    assert counted(None) == {}


def test_rows_stand_in_the_order_of_the_systems_and_filters_in_that_of_the_rows():
    found = in_order(ROWS, ["b", "a"])
    assert [row["system"] for row in found] == ["b", "a", "a", "c"]
    assert filters(found) == (["b", "a", "c"], ["reproduced", "deviates", "better"])


def test_a_system_says_how_many_of_its_own_claims_hold_and_when_nothing_of_it_is_there():
    system = next(system for system in SYSTEMS if system.name == "fkd")
    verdicts = [row("fkd", "reproduced"), row("fkd", "deviates"), row("drip", "deviates")]
    notes = {"synthesis": "no pictures", "students": "no students"}
    section = SystemSection.of(system, verdicts, notes)
    assert section.held == ("bad", "1 of 2 gating claims hold, 1 deviates.") and section.empty == ""
    section = SystemSection.of(system, None, {**notes, "distillation": "no curves"})
    assert section.held is None and section.empty.endswith("no pictures; no curves; no students.")


def test_durations_hours_and_agreements_as_people_read_them():
    assert [seconds_text(value) for value in (None, 0.04, 59.9, 184, 7500)] == [
        "–",
        "0.0\xa0s",
        "59.9\xa0s",
        "3 min 4 s",
        "2 h 5 min",
    ]
    assert [hours_text(value) for value in (None, 0, 4, 0.01, 0.1, 9.94, 2712.5)] == [
        "–",
        "0",
        "4",
        "under 0.1",
        "0.1",
        "9.9",
        "2,712",
    ]
    assert agreement_text("exact", 2000000) == "2,000,000"
    assert agreement_text("± 0.0100", 0.5) == "0.5000 ± 0.0100"
    assert agreement_text("≥ 0.1500", 0.15) == "≥ 0.1500"


def test_what_stands_between_backticks_is_code_and_the_rest_is_escaped():
    assert ticked("see `encore data` <now>") == "see <code>encore data</code> &lt;now&gt;"
    assert ticked("`<b>` and one ` alone") == "<code>&lt;b&gt;</code> and one ` alone"
