"""fkd on several processes: by torchrun once, else in forks, and against a run that is not the same."""

import re

import pytest

from encore.systems.fkd import shared_update
from faults import tiny_fkd
from faults.processes.fkd import BOUND, Projects, ended_well, equal_row, largest_difference, lost_one

STAGE = "fkd_train"


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    return Projects(tmp_path_factory.mktemp("projects"))


def forked(projects, name, processes, **options):
    place = projects.new(name)
    statuses, said = tiny_fkd.run_forked(place, STAGE, processes=processes, **options)
    return place, statuses, said


def test_two_processes_of_torchrun_end_in_the_bits_of_one(projects):
    found = equal_row(projects, STAGE, 2)
    assert (found.injected, found.lost, found.losses) == (1, 0, ())


def test_four_processes_that_share_chunks_end_close_to_one(projects):
    place, statuses, said = forked(projects, "four", 4)
    assert statuses == [0] * 4, said
    assert 0 < largest_difference(place, projects.alone(STAGE), STAGE) < BOUND / 10


def test_a_lost_worker_ends_all_and_one_process_goes_on_to_the_same_bits(projects):
    place, statuses, said = forked(projects, "lost", 2, poison="kill@1:1:1")
    assert statuses == [2, -9] and lost_one(place) == []
    assert "encore: another process of this run has ended" in said[0]
    statuses, said = tiny_fkd.run_forked(place, STAGE)
    assert statuses == [0], said
    assert tiny_fkd.outcome(place, STAGE) == tiny_fkd.outcome(projects.alone(STAGE), STAGE)


def test_a_fault_that_one_process_sees_ends_both_with_one_message(projects):
    place, statuses, said = forked(projects, "fault", 2, poison="nan@1:1:1")
    lines = {line for text in said for line in re.findall("encore: .*", text)}
    assert statuses == [2, 2] and len(lines) == 1
    assert "epoch 1, step 1: the loss is nan" in lines.pop() and list(place.glob(".work/*/*/work_1_1.*"))


def test_the_suite_sees_gradients_that_are_a_little_too_large(projects, monkeypatch):
    tree_sum = shared_update.tree_sum
    monkeypatch.setattr(shared_update, "tree_sum", lambda parts: tree_sum(parts) * 1.01)
    place, statuses, said = forked(projects, "other", 2)
    assert statuses == [0, 0], said
    assert tiny_fkd.outcome(place, STAGE) != tiny_fkd.outcome(projects.alone(STAGE), STAGE)
    assert largest_difference(place, projects.alone(STAGE), STAGE) > 0


def test_a_run_that_did_not_end_well_and_a_kill_that_did_not_happen_are_losses(tmp_path):
    assert lost_one(tmp_path) == ["no worker was killed"]

    class Failed:
        returncode, stderr = 1, "encore: no"

    assert ended_well(Failed) == ["status 1: encore: no"]
