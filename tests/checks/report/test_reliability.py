"""The reliability section: sums, losses and what was skipped, of the faults that were kept."""

from __future__ import annotations

import json

import pytest
import yaml

from checks.report.ingredients import Missing
from checks.report.page import write_report
from checks.report.reliability import PROMISES, SUITES, reliability
from checks.size import PROJECT
from encore.runtime.refusal import Refusal
from tests.checks.report.fabricated import FAULTS, fault_row, fault_suite


@pytest.fixture
def kept(tmp_path):
    """Writes suites as `make faults` keeps them -> their Reliability."""

    def write(suites):
        (tmp_path / "faults").mkdir(exist_ok=True)
        (tmp_path / "faults" / "results.json").write_text(json.dumps({"suites": suites}), encoding="utf-8")
        return reliability(tmp_path)

    return write


def test_rows_are_added_up_by_kind_and_suites_come_in_their_order(kept):
    found = kept(FAULTS["suites"])
    assert [suite.name for suite in found.suites] == ["kill", "hostile"]
    first, second = found.suites[0].faults
    assert (first.kind, first.places, first.injected, first.survived, first.lost) == ("SIGKILL", 2, 40, 40, 0)
    assert first.seconds == 4.0 and first.skipped == ()
    assert (second.places, second.injected, second.skipped) == (0, 0, ("not root",))
    assert (found.injected, found.lost, found.seconds) == (45, 0, 180.0)
    assert [(row["place"], row["figures"]["inputs"]) for row in found.fuzzed] == [("reader", 1500.0)]


def test_a_loss_is_counted_and_told(kept):
    row = fault_row("toy_train", "SIGKILL", survived=19, lost=1, losses=["seed 3: other bits"])
    found = kept({"kill": fault_suite(row)})
    assert found.lost == 1
    assert found.suites[0].losses == [("toy_train", "SIGKILL", "seed 3: other bits")]


def test_every_suite_has_a_title_and_says_what_surviving_means():
    assert list(SUITES) == list(PROMISES)
    from faults.suites import SUITES as run

    assert set(run) == set(SUITES)


@pytest.mark.parametrize("content", ["{", "[]", '{"suites": {"kill": {}}}', '{"suites": {"kill": 3}}'])
def test_a_damaged_record_is_refused(tmp_path, content):
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "results.json").write_text(content, encoding="utf-8")
    with pytest.raises(Refusal, match="not what `make faults` writes .*: run it again"):
        reliability(tmp_path)


def test_without_a_record_the_note_says_what_writes_it(tmp_path):
    with pytest.raises(Missing, match="`make faults` writes it"):
        reliability(tmp_path)


def test_the_page_shows_the_table_and_each_loss(project):
    row = fault_row("toy_train", "SIGKILL", survived=19, lost=1, losses=["seed 3: other bits"])
    project.write("faults/results.json", json.dumps({"suites": {"kill": fault_suite(row)}}))
    text = write_report(project.size()).read_text(encoding="utf-8")
    assert "20 faults injected, 1 lost" in text and "toy_train, SIGKILL: seed 3: other bits" in text


def test_the_kept_record_of_this_project_has_every_suite_and_lost_nothing():
    found = reliability(PROJECT)
    assert [suite.name for suite in found.suites] == list(SUITES)
    assert found.injected > 1000 and found.lost == 0
    assert found.fuzzed and not any(row["figures"]["crashes"] for row in found.fuzzed)


def test_every_stage_of_this_project_was_killed_as_often_as_promised():
    rows = json.loads((PROJECT / "faults/results.json").read_text(encoding="utf-8"))["suites"]["kill"]["rows"]
    pipeline = yaml.safe_load((PROJECT / "mini/dvc.yaml").read_text(encoding="utf-8"))["stages"]
    found = {(row["place"].split("@")[0], row["kind"]): row["injected"] for row in rows}
    for stage in pipeline:
        assert found[stage, "SIGKILL"] >= 20, stage
        for kind in ("SIGKILL inside a write", "SIGTERM", "Ctrl-C"):
            assert found[stage, kind] >= 1, (stage, kind)
        for kind in ("disk full (new files)", "read-only output (new files)"):
            assert found[stage, kind] >= 1, (stage, kind)
