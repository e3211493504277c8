"""The command of the fault suites: what it counts, keeps and ends with."""

from __future__ import annotations

import json
import os

import pytest

import faults.__main__ as command
from encore.runtime.refusal import Refusal
from faults import results, suites
from faults.fault import Row
from faults.table import lines

SURVIVED = Row("kill", "isc_track2_train", "SIGKILL", 20, 20, 3.25)
LOST = Row("kill", "fkd_train", "SIGKILL", 20, 19, 4.0, ("seed 3: other bits",))
SKIPPED = Row("kill", "fkd_train", "disk full (tmpfs)", 0, 0, 0.0, skipped="not allowed to mount")


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """Runs the command over given rows -> (exit status, content of the kept file or None)."""
    kept = tmp_path / "results.json"

    def run(rows, *arguments):
        def suite(name, full, show):
            found = [row for row in rows if row.suite == name]
            for row in found:
                show(row)
            return found, 1.5

        monkeypatch.setattr(command, "run_suite", suite)
        monkeypatch.setattr(suites, "TOGETHER", ())
        monkeypatch.setattr(command, "keep", lambda records: results.keep(records, kept))
        status = command.main(list(arguments))
        return status, json.loads(kept.read_text(encoding="utf-8"))["suites"] if kept.exists() else None

    return run


def test_rows_are_added_up_by_suite_and_kind():
    first, second = lines([SURVIVED, SKIPPED, LOST])
    assert (first.kind, first.places, first.injected, first.survived, first.lost) == ("SIGKILL", 2, 40, 39, 1)
    assert first.seconds == 7.25
    assert (second.kind, second.places, second.injected, second.skipped) == ("disk full (tmpfs)", 0, 0, 1)


def test_a_run_without_a_loss_ends_well_and_is_kept(ran):
    status, kept = ran([SURVIVED, SKIPPED])
    assert status == 0 and set(kept) == set(suites.SUITES)
    rows = kept["kill"]["rows"]
    assert rows[0] == {
        "place": "isc_track2_train",
        "kind": "SIGKILL",
        "injected": 20,
        "survived": 20,
        "lost": 0,
        "seconds": 3.25,
        "losses": [],
        "skipped": "",
        "figures": {},
    }
    assert rows[1]["skipped"] == "not allowed to mount"
    assert set(kept["kill"]["made_with"]) == set(results.MADE_WITH)


def one_row(name, full, show=None):
    row = Row(name, f"full: {full}, process {os.getpid()}", "SIGKILL", 1, 1, 0.5)
    if show is not None:
        show(row)
    return [row], 0.5


def test_suites_of_one_core_run_in_processes_of_their_own():
    begun, shown = [], []
    found = list(suites.run_suites(suites.SUITES, True, begun.append, shown.append, one_row))
    assert sorted(name for name, *_ in found) == sorted(suites.SUITES)
    assert [row for _, rows, _ in found for row in rows] == shown
    own = {name for name, (row,), _ in found if row.place == f"full: True, process {os.getpid()}"}
    assert own == set(suites.SUITES) - set(suites.TOGETHER)
    assert begun == ["kill", "processes", "hostile and cluster and storage and numerical"]


def test_the_command_hands_its_processes_a_function_that_they_find():
    assert command.run_suite.__module__ == "faults.suites"  # a new process has no `faults.__main__`


def test_a_loss_is_told_and_ends_with_status_1(ran, capsys):
    status, kept = ran([SURVIVED, LOST], "kill")
    assert status == 1 and list(kept) == ["kill"] and kept["kill"]["rows"][1]["lost"] == 1
    assert "lost: kill, fkd_train, SIGKILL: seed 3: other bits" in capsys.readouterr().out


def test_a_suite_keeps_its_rows_when_another_runs(ran):
    ran([SURVIVED], "kill")
    _, kept = ran([Row("hostile", "safe_load", "bomb", 3, 3, 0.5)], "hostile")
    assert len(kept["kill"]["rows"]) == len(kept["hostile"]["rows"]) == 1


def test_a_short_run_keeps_nothing(ran):
    assert ran([SURVIVED], "--short") == (0, None)


def test_an_unknown_suite_is_refused():
    with pytest.raises(Refusal, match="no such suite; there are kill, hostile"):
        command.main(["earthquake"])


def test_a_row_that_hides_a_loss_cannot_be_made():
    with pytest.raises(ValueError, match="1 lost, but 0 are told of"):
        Row("kill", "a", "b", 2, 1, 0.0)
    with pytest.raises(ValueError, match="skipped, but 2 injected"):
        Row("kill", "a", "b", 2, 2, 0.0, skipped="no")
