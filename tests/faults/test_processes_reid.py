"""The stage of re-identification on two processes, with the variables that a launcher gives them."""

import os
import sys

from faults.numerical.refused_run import same_bits
from faults.processes import reid
from stages.reid import train
from tests.encore.gloo_processes import run_on


def as_stage(folder):
    os.chdir(str(folder))
    sys.argv = ["train", *reid.STAGE.arguments]
    train.main()


def test_two_processes_leave_what_one_leaves(tmp_path):
    made = []
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        reid.prepare(folder)
        assert run_on(count, as_stage, folder) == [0] * count
        made.append(reid.left(folder))
    assert same_bits(*made)


def test_the_launcher_is_for_the_whole_suite():
    assert list(reid.rows(full=False)) == []
