"""The detector's training on two and four processes beside one: gradients, refusals, another number."""

import dataclasses
import os
import socket

import pytest
import torch
from overlay_pictures import picture_folders, small_set

from encore.detection.retina_net import RetinaNetShape
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.systems.isc_overlays.recipe import DetectorRecipe
from encore.systems.isc_overlays.training import CHECKPOINT, DETECTOR, OverlayTraining, own_rows, train
from encore.systems.isc_overlays.training_set import read_overlay_set
from encore.training.distributed import Processes, join_processes
from tests.encore import killed_run

SHAPE = RetinaNetShape((1, 1, 1, 1), 4, 8, (12, 24, 40), 64)
RECIPE = DetectorRecipe(SHAPE, batch=4, epochs=2, warm_up_epochs=1, learning_rate=0.002, workers=0, zoom=0.3)
BOUND = 1e-4
"""What `train` states, of the largest gradient of each tensor."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("overlays")
    picture_folders(made)
    small_set(made)
    return made


def one_step(folder, environment, path):
    """Write {"loss", gradients by name} of the first step, and the buffers after it."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    processes, device = join_processes("cpu")
    labelled = read_overlay_set(folder / "set")
    training = OverlayTraining(RECIPE, labelled["training"], device, processes)
    result = training.step(0, 0, training.frames[0, 0])
    found = {name: p.grad for name, p in training.network.named_parameters()}
    found.update((name, b.float()) for name, b in training.network.named_buffers() if b.numel())
    if processes.is_first:
        torch.save(dict(found, loss=torch.tensor([result.loss])), str(path))


def whole_run(folder, environment, path):
    os.environ.update(environment)
    torch.set_num_threads(1)
    train(RECIPE, read_overlay_set(folder / "set"), str(path), "cpu")


def on(count, work, folder, path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, WORLD_SIZE=str(count))
    runs = [
        killed_run.start(work, folder, dict(shared, RANK=str(rank), LOCAL_RANK=str(rank)), path)
        for rank in range(count)
    ]
    assert [killed_run.finish(run) for run in runs] == [0] * count


def test_several_processes_give_the_gradients_and_statistics_of_one(folder, tmp_path):
    for count in (1, 2, 4):
        on(count, one_step, folder, tmp_path / str(count))
    alone = torch.load(str(tmp_path / "1"))
    for count in (2, 4):
        several = torch.load(str(tmp_path / str(count)))
        assert list(several) == list(alone)
        for name, expected in alone.items():
            assert (several[name] - expected).abs().max() <= BOUND * expected.abs().max(), (count, name)


def test_another_number_of_processes_goes_on_and_only_the_first_writes(folder, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    train(dataclasses.replace(RECIPE), read_overlay_set(folder / "set"), str(one), "cpu")
    on(2, whole_run, folder, two)
    histories = [(path / "history.jsonl").read_text().splitlines() for path in (one, two)]
    assert len(histories[0]) == len(histories[1])
    weights = [safe_load(str(path / DETECTOR))["state_dict"] for path in (one, two)]
    assert list(weights[0]) == list(weights[1])
    before = safe_load(str(two / CHECKPOINT))
    done = train(RECIPE, read_overlay_set(folder / "set"), str(two), "cpu")  # one process takes what two left
    assert done.steps == 0 and done.resumed_at == (2, 0)
    after = safe_load(str(two / DETECTOR))["state_dict"]
    assert all(torch.equal(after[name], tensor) for name, tensor in before["state_dict"].items())


def test_a_batch_that_does_not_divide_is_refused():
    assert [own_rows(6, Processes(rank, 3)) for rank in range(3)] == [slice(0, 2), slice(2, 4), slice(4, 6)]
    with pytest.raises(Refusal, match="a batch of 5 pictures cannot be shared by 2 processes"):
        own_rows(5, Processes(0, 2))
