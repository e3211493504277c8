"""Whole training runs: on one, two and four processes, killed and resumed, refused."""

import dataclasses
import io
import json
import random
import shutil
import signal
import socket

import numpy as np
import pytest
import torch
from PIL import Image

from encore.data.training_transform import normalised
from encore.models.isc_network import IscShape
from encore.runtime.refusal import Refusal
from encore.systems.isc.recipe import TrainingRecipe
from encore.systems.isc.training import IscTraining, train
from encore.training import checkpoint
from encore.training.distributed import Processes
from tests.encore import killed_run
from tests.encore.in_memory_set import InMemorySet
from tests.encore.killed_run import assert_same_bits, finish
from tests.encore.systems.isc import tiny_run
from tests.encore.systems.isc.tiny_run import RECIPE

LAST = "checkpoint_1.pth.tar"


def start(logs, **options):
    return killed_run.start(tiny_run.run, logs, **options)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    logs = tmp_path_factory.mktemp("uninterrupted")
    assert finish(start(logs)) == 0
    return logs


def finish_together(folders):
    """Statuses of the processes of one run, a process for each folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, WORLD_SIZE=str(len(folders)))
    processes = [
        start(folder, environment=dict(shared, RANK=str(rank), LOCAL_RANK=str(rank)))
        for rank, folder in enumerate(folders)
    ]
    return [finish(process) for process in processes]


@pytest.mark.parametrize("count", [2, 4])
def test_two_and_four_processes_give_the_bits_of_one(uninterrupted, tmp_path, count):
    # Asked for: 1e-6. Adam makes any such bound on parameters false unless sums are taken in one order, since
    # the last bit of a gradient near zero decides the sign of a whole step; in one order the difference is
    # exactly 0.
    assert finish_together([tmp_path] * count) == [0] * count
    assert_same_bits(checkpoint.load(str(tmp_path / LAST)), checkpoint.load(str(uninterrupted / LAST)))
    assert (tmp_path / "history.jsonl").read_text() == (uninterrupted / "history.jsonl").read_text()


def test_a_killed_and_resumed_run_ends_in_the_same_bits(uninterrupted, tmp_path):
    places = [(epoch, step) for epoch in range(RECIPE.epochs) for step in range(RECIPE.iterations)]
    first = random.choice(places[:-1])
    assert finish(start(tmp_path, kill_after=first)) == -signal.SIGKILL, first
    assert finish(start(tmp_path, kill_in_save=1)) == -signal.SIGKILL, first
    assert not (tmp_path / LAST).exists() or first[0] == 1
    assert finish(start(tmp_path)) == 0
    # contents, not bytes of the file: torch 1.7.1 names the entries of the archive by memory addresses
    assert_same_bits(checkpoint.load(str(tmp_path / LAST)), checkpoint.load(str(uninterrupted / LAST)))
    assert (tmp_path / "history.jsonl").read_text() == (uninterrupted / "history.jsonl").read_text(), first
    assert not list(tmp_path.glob("work_*.tar"))


def test_all_processes_go_on_where_the_first_one_stopped(uninterrupted, tmp_path):
    first, elsewhere = tmp_path / "first", tmp_path / "elsewhere"
    first.mkdir()
    elsewhere.mkdir()
    assert finish(start(first, kill_after=(1, 3))) == -signal.SIGKILL
    shutil.copy(str(first / "checkpoint_0.pth.tar"), str(elsewhere))  # behind work_1_2.pth.tar of the first
    assert finish_together([first, elsewhere]) == [0, 0]
    assert_same_bits(checkpoint.load(str(first / LAST)), checkpoint.load(str(uninterrupted / LAST)))
    assert (first / "history.jsonl").read_text() == (uninterrupted / "history.jsonl").read_text()
    assert [path.name for path in elsewhere.iterdir()] == ["checkpoint_0.pth.tar"]


@pytest.mark.parametrize("system", ["isc_track1", "isc_track2"])
def test_a_launcher_s_wrong_number_of_processes_names_the_system_s_parameter(system, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    recipe = dataclasses.replace(RECIPE, system=system)
    with pytest.raises(Refusal, match=r"found 3: set {}\.train\.processes, or what the".format(system)):
        train(recipe, InMemorySet(), None, str(tmp_path), device="cpu")


def test_the_record_holds_a_line_per_logged_step(uninterrupted):
    history = [json.loads(line) for line in (uninterrupted / "history.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in history] == [(e, s) for e in range(2) for s in range(5)]
    assert history[0]["learning_rate"] == pytest.approx(0.01 * 0.01)
    log = (uninterrupted / "log.txt").read_text().splitlines()
    assert log[0].startswith("Epoch: [0][1/5]\tLR 0.00010000\tTime ")
    assert [field.split(" ")[0] for field in log[0].split("\t")] == [
        "Epoch:",
        "LR",
        "Time",
        "Data",
        "Loss_ce",
        "Loss_ce_1",
        "Loss_ce_soft",
        "Loss_tr",
        "Prec",
        "Prec_1",
    ]
    assert list(uninterrupted.glob("events.out.tfevents.*"))


def test_a_finished_run_has_nothing_to_do(uninterrupted):
    before = (uninterrupted / LAST).read_bytes()
    done = train(RECIPE, InMemorySet(), None, str(uninterrupted), auto_resume=True, device="cpu")
    assert done.steps == 0 and done.checkpoint == str(uninterrupted / LAST)
    assert (uninterrupted / LAST).read_bytes() == before


def test_resuming_with_another_value_is_refused_by_its_name(uninterrupted, tmp_path):
    changed = dataclasses.replace(RECIPE, learning_rate=0.02)
    with pytest.raises(Refusal, match="learning_rate .0.01, now 0.02"):
        train(changed, InMemorySet(), None, str(tmp_path), resume=str(uninterrupted / LAST), device="cpu")


def test_a_published_checkpoint_goes_on_at_its_epoch(uninterrupted, tmp_path):
    content = checkpoint.load(str(uninterrupted / "checkpoint_0.pth.tar"))
    del content["encore"]
    torch.save(content, str(tmp_path / "checkpoint_0.pth.tar"))
    done = train(RECIPE, InMemorySet(), None, str(tmp_path), auto_resume=True, device="cpu")
    assert done.steps == RECIPE.iterations
    ours, theirs = (checkpoint.load(str(folder / LAST)) for folder in (tmp_path, uninterrupted))
    assert_same_bits(ours, theirs)


def test_a_loss_that_is_not_finite_stops_before_the_update(tmp_path):
    # the published factor of epoch 0 is 0.01; a rate of 1e36 sends the first update beyond float32
    wild = dataclasses.replace(RECIPE, learning_rate=1e36)
    with pytest.raises(Refusal, match="isc_track2 training: epoch 0, step 1: the loss is nan"):
        train(wild, InMemorySet(), None, str(tmp_path), device="cpu")
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert len(lines) == 1


def test_only_the_last_checkpoint_is_kept_where_asked_for(uninterrupted, tmp_path):
    short = dataclasses.replace(RECIPE, keep_checkpoints="last")
    train(short, InMemorySet(), None, str(tmp_path), device="cpu")
    assert [path.name for path in tmp_path.glob("*.pth.tar")] == [LAST]
    ours, theirs = (checkpoint.load(str(folder / LAST)) for folder in (tmp_path, uninterrupted))
    assert_same_bits(ours["state_dict"], theirs["state_dict"])  # only what stays differs
    # and it may be resumed with all of them kept
    done = train(RECIPE, InMemorySet(), None, str(tmp_path), auto_resume=True, device="cpu")
    assert done.steps == 0


def test_a_plain_run_only_resizes():
    plain = IscTraining(
        dataclasses.replace(RECIPE, plain=True), InMemorySet(), Processes(), torch.device("cpu")
    )
    images, _ = plain.batches[(0, 0)]
    names = plain.batches.names(0, 0)
    files = InMemorySet()
    for image, name in zip(images, names):
        picture = Image.open(io.BytesIO(files.read(files.names.index(name))))
        pixels = torch.from_numpy(np.array(picture).transpose(2, 0, 1)[None].copy())
        assert torch.equal(image, normalised(pixels)[0])
    varied, _ = IscTraining(RECIPE, InMemorySet(), Processes(), torch.device("cpu")).batches[(0, 0)]
    assert not torch.equal(varied, images)


def test_every_step_and_replica_has_bands_of_its_own():
    training = IscTraining(RECIPE, InMemorySet(), Processes(), torch.device("cpu"))
    training.to_device()
    seen = []

    def gradients(images, labels, rngs):
        seen.extend(rng.random() for rng in rngs)
        for parameter in training.network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        return torch.tensor(1.0), {}

    training.gradients.gradients = gradients
    for epoch, step in ((0, 0), (0, 1), (1, 0)):
        training.step(epoch, step, training.batches[(epoch, step)])
    assert len(set(seen)) == 3 * RECIPE.replicas


def test_a_damaged_image_is_named(tmp_path):
    images = InMemorySet()
    for i in range(len(images)):
        images.damage(i)
    with pytest.raises(Refusal, match=r"training image \d+_\d\.jpg cannot be read"):
        train(RECIPE, images, None, str(tmp_path), device="cpu")


@pytest.mark.parametrize("classes", [18, 17])
def test_classes_that_do_not_divide_by_four_are_refused(classes, tmp_path):
    with pytest.raises(Refusal, match="multiple of 4"):
        train(RECIPE, InMemorySet(classes), None, str(tmp_path), device="cpu")


@pytest.mark.parametrize(
    "values, named",
    [
        (dict(batch=130), r"batch \(130\)"),
        (dict(learning_rate=0.0), "learning_rate"),
        (dict(batch=4), r"batch \(4\)"),
        (dict(epochs=0), "epochs"),
    ],
)
def test_bad_values_are_refused_by_name(values, named):
    with pytest.raises(Refusal, match=named):
        TrainingRecipe(**values)


def test_published_values_are_the_defaults():
    recipe = TrainingRecipe()
    assert (recipe.epochs, recipe.iterations, recipe.batch, recipe.instances, recipe.replicas) == (
        25,
        8000,
        128,
        4,
        4,
    )
    assert recipe.shape == IscShape((3, 4, 6, 3), 64, 4096, 8192, 256)
    assert recipe.loss.__class__.__name__ == "IscLoss" and recipe.loss.cross_entropy == 10.0
    assert recipe.rate(0) == pytest.approx(3.5e-6)
