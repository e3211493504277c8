"""The gradients of one step of the drip on two and four processes beside those of one."""

import os
import socket

import pytest
import torch

from encore.systems.drip.backbone_start import StartParameters, write_start
from encore.systems.drip.stage_data import Places, open_stage_data
from encore.systems.drip.stage_run import StageRun
from encore.systems.drip.stage_values import DripStageValues, StopRule
from encore.systems.drip.start_weights import StartWeights
from encore.systems.drip.training_steps import DripTraining
from encore.training.distributed import join_processes
from tests.encore import killed_run
from tests.encore.systems.drip.tiny_drip import RECIPE, SHAPE, draw_pictures

BOUND = 1e-5
"""What `train_stage` states, of the largest gradient of each tensor."""
VALUES = DripStageValues("start", 10, 0, 0, 4, 0.5, stop=StopRule(max_epochs=1))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drip")
    draw_pictures(folder / "pictures")
    write_start(str(folder / "backbone.pth"), SHAPE, StartParameters())
    return folder


def one_step(place, environment, path):
    """Write {"loss", gradients by name before clipping} of the first step; the kernel's as one."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    processes, device = join_processes("cpu")
    start = StartWeights(str(place / "backbone.pth"))
    data = open_stage_data(VALUES, RECIPE, Places(str(place / "pictures")))
    training = DripTraining(StageRun(RECIPE, VALUES, SHAPE, start, "digest", data), processes, device)
    start.load(training.network)
    training.to_device()
    seen = {}

    def keep(value, terms, pictures):
        seen.update((name, p.grad.clone()) for name, p in training.network.named_parameters())

    training._check = keep
    result = training.step(0, 0, next(iter(data.batches.training(0, 0, 0, training.shares.rows))))
    seen["criterion.kernel"] = processes.gather(seen["criterion.kernel"], dim=1)
    if processes.is_first:
        torch.save(dict(seen, loss=torch.tensor([result.loss])), str(path))


def on(count, place, path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, WORLD_SIZE=str(count))
    runs = [
        killed_run.start(one_step, place, dict(shared, RANK=str(rank), LOCAL_RANK=str(rank)), path)
        for rank in range(count)
    ]
    assert [killed_run.finish(run) for run in runs] == [0] * count
    return torch.load(str(path))


def test_several_processes_give_the_gradients_of_one(place, tmp_path):
    alone = on(1, place, tmp_path / "1")
    for count in (2, 5):  # five: some have no view of the four
        several = on(count, place, tmp_path / str(count))
        assert list(several) == list(alone)
        for name, expected in alone.items():
            assert (several[name] - expected).abs().max() <= BOUND * expected.abs().max(), (count, name)
    two = on(2, place, tmp_path / "again")
    assert all(torch.equal(two[name], tensor) for name, tensor in torch.load(str(tmp_path / "2")).items())
