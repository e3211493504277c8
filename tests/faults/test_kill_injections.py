"""Where faults are injected, and what the end of a run that they hit is taken for."""

import json
import random
from types import SimpleNamespace

import pytest

from encore.runtime.refusal import Refusal
from faults.kill.__main__ import main
from faults.kill.injection import (
    DISK_FULL,
    DRAWN,
    IN_WRITE,
    INTERRUPTED,
    KILLED,
    drawn,
    passes,
    refusal_problems,
    wrong_ending,
)
from faults.kill.inside import Event, Seen, read_record
from faults.kill.plan import Planned
from faults.kill.stage_faults import NUMBERS, SPARES, StageFaults, with_workers

SEEN = [Seen(Event("open", f"part-{n}.tmp-N", 1), True, 1000) for n in range(9)]
SEEN += [Seen(Event("os.rename", "part-0", 1), True), Seen(Event("fork", "", 1), False)]
STAGE = Planned("demo", ("python", "-m", "stages.demo.make"), (), (), ())
CHECK = Planned("inputs", ("python", "-m", "checks", "data"), (), (), ())
FULL = "encore: x: the disk is full: make room; then run the same command again to go on\n"


def test_the_same_seed_draws_the_same_points_in_every_count():
    found = drawn(random.Random(1), SEEN, 2.0, DRAWN)
    assert found == drawn(random.Random(1), SEEN, 2.0, DRAWN)
    assert [one.number for one in found] == list(range(sum(DRAWN.values())))
    assert {kind: sum(one.kind == kind for one in found) for kind in DRAWN} == DRAWN
    assert any(one.seconds for one in found if one.kind == KILLED)
    assert all(one.size < 1000 and one.event.what == "open" for one in found if one.kind == IN_WRITE)
    assert all(one.event.what != "os.rename" for one in found if one.kind == DISK_FULL)


@pytest.mark.parametrize("number", [-1, NUMBERS, 99999])
def test_a_number_of_no_fault_is_refused_before_anything_runs(monkeypatch, number):
    monkeypatch.setattr("faults.kill.__main__.Suite", lambda lanes: pytest.fail("the suite is made"))
    with pytest.raises(Refusal, match=f"--number {number}: no such fault: they are numbered from 0 to"):
        main(["isc_track2_generate", "--number", str(number)])


def test_all_faults_at_a_point_of_a_run_have_a_number():
    stage = StageFaults.__new__(StageFaults)
    stage.full, stage.seed, stage.planned = True, 0, STAGE
    stage.bench = SimpleNamespace(seen=SEEN, seconds=2.0)
    chosen, spares = stage.injections()
    assert [one.number for one in chosen + spares] == list(range(NUMBERS))
    assert len(spares) == SPARES * len(DRAWN)


def test_passes_have_every_injection_once_and_go_forward():
    found = drawn(random.Random(2), SEEN, 2.0, DRAWN)
    runs = passes(found)
    assert sorted(one.number for run in runs for one in run) == [one.number for one in found]
    assert all(run == sorted(run, key=lambda one: one.position) for run in runs)


def test_a_file_is_as_large_as_when_it_was_renamed():
    rows = [["open", "a.tmp-N", 1, True, None], ["os.rename", "a", 1, True, 77], ["fork", "", 1, False, None]]
    seen = read_record("\n".join(map(json.dumps, rows)))
    assert [row.size for row in seen] == [77, None, None]


def test_a_killed_run_must_be_ended_by_the_signal():
    assert wrong_ending(KILLED, -9, "", STAGE) == []
    assert wrong_ending(KILLED, 1, "Traceback", STAGE) == ["ended with status 1: Traceback"]
    assert wrong_ending(KILLED, None, "", STAGE) == ["the run did not end"]


def test_a_write_that_is_cut_may_be_a_worker_s():
    assert wrong_ending(IN_WRITE, -25, "", STAGE) == []
    assert wrong_ending(IN_WRITE, 2, "encore: a worker process was killed; run again\n", STAGE) == []
    assert wrong_ending(IN_WRITE, 2, FULL, STAGE) != []


def test_a_refusal_is_one_line_of_the_right_words():
    assert wrong_ending(DISK_FULL, 2, FULL, STAGE) == [] == wrong_ending(DISK_FULL, 3, FULL, CHECK)
    assert wrong_ending(DISK_FULL, 2, FULL + FULL, STAGE) != []
    assert wrong_ending(DISK_FULL, 2, "encore: something else\n", STAGE) != []
    assert wrong_ending(DISK_FULL, 2, "Traceback (most recent call last):\n" + FULL, STAGE) != []
    assert wrong_ending(DISK_FULL, 1, FULL, STAGE) != []
    assert refusal_problems(2, "encore: warning: other\n  50%|##  |\r" + FULL, "disk is full") == []


def test_ctrl_c_ends_with_130():
    said = "encore: interrupted; run the same command again to go on\n"
    assert wrong_ending(INTERRUPTED, 130, said, STAGE) == [] == wrong_ending(INTERRUPTED, 130, "", CHECK)
    assert wrong_ending(INTERRUPTED, 130, "", STAGE) != [] != wrong_ending(INTERRUPTED, 2, said, STAGE)


def test_only_where_there_are_no_workers_they_are_added():
    assert with_workers({"a": [{"workers": 0}], "b": {"workers": 3}, "c": 0}) == {
        "a": [{"workers": 2}],
        "b": {"workers": 3},
        "c": 0,
    }
