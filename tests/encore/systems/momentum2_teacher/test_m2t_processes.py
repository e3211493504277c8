"""Momentum²-Teacher on several processes."""

import dataclasses

import pytest
import torch

from encore.runtime.refusal import Refusal
from encore.systems.momentum2_teacher import checkpoints, pretraining
from encore.training.distributed import Processes
from tests.encore.gloo_processes import run_on
from tests.encore.killed_run import assert_same_bits, die
from tests.encore.systems.momentum2_teacher import tiny_m2t_run
from tests.encore.systems.momentum2_teacher.tiny_m2t_run import EXPORT, images

RECIPE = dataclasses.replace(tiny_m2t_run.RECIPE, replicas=4, epochs=2, save_every=2)


def run(folder, kill_after=None):
    """Each process names another folder: the first one's counts."""

    def on_step(epoch, step, result):
        if (epoch, step) == kill_after:
            die()

    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    own = str(folder) if not rank else "not looked at"
    pretraining.pretrain(RECIPE, images(), own, str(folder / EXPORT), device="cpu", on_step=on_step)


def left(folder):
    content = checkpoints.load(str(folder / checkpoints.NAME))
    return content, (folder / EXPORT).read_bytes(), (folder / "history.jsonl").read_text()


def assert_same(found, expected):
    assert_same_bits(found[0], expected[0])
    assert found[1:] == expected[1:]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    assert run_on(1, run, folder) == [0]
    return left(folder)


def test_two_and_four_processes_end_in_the_bits_of_one(alone, tmp_path):
    """Killed on two within the second epoch and gone on with on four."""
    assert not any(status == 0 for status in run_on(2, run, tmp_path, (1, 2)))
    assert list(tmp_path.glob("work_1_2*")) and not (tmp_path / EXPORT).exists()
    assert run_on(4, run, tmp_path) == [0] * 4
    assert_same(left(tmp_path), alone)


def test_replicas_that_cannot_be_shared_are_refused():
    uneven, two = dataclasses.replace(RECIPE, batch=12, replicas=3), Processes(0, 2, "--nproc_per_node")
    with pytest.raises(Refusal, match="3 replicas .* cannot be shared by 2 processes.*--nproc_per_node"):
        pretraining.Training(uneven, 5, torch.device("cpu"), two)
