"""Whole runs of classifiers: killed and resumed, their updates by hand, what they write, what they refuse."""

import copy
import dataclasses
import json
import pathlib
import signal
import types

import pytest
import torch
import torch.nn.functional as F

from encore.data.class_folders import ClassFolders
from encore.data.training_transform import normalised
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.systems.fkd import student_checkpoints as checkpoints
from encore.systems.fkd.classification import (
    Classification,
    train_classifier,
    validated,
    write_result,
    write_weights,
)
from encore.systems.fkd.classifier_batches import LabelledBatch
from encore.systems.fkd.classifier_recipe import Distillation, OptimizerValues, Schedule
from encore.systems.fkd.distilled_batches import mixed_inputs
from encore.systems.fkd.mixing import draw_mix
from encore.systems.fkd.networks import NetworkShape, build, load_weights
from encore.training.replay_step import VARIABLE
from tests.encore import killed_run
from tests.encore.killed_run import assert_same_bits
from tests.encore.systems.fkd import tiny_classifier_run
from tests.encore.systems.fkd.digit_folders import write_class_folders
from tests.encore.systems.fkd.tiny_classifier_run import (
    ONLINE,
    RECIPE,
    RESULT,
    SHAPE,
    UPDATES,
    train_here,
)

KD = dataclasses.replace(RECIPE, **ONLINE)
DIGITS = pathlib.Path(__file__).parents[4] / "mini" / "digits.tar"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    write_class_folders(folder / "train", copies=10)
    write_class_folders(folder / "test", copies=4, seed=1)
    return folder


def test_an_update_that_is_only_looked_at_leaves_no_file(pictures, tmp_path, monkeypatch):
    recipe = dataclasses.replace(RECIPE, validate_every=1)
    monkeypatch.setenv(VARIABLE, "1:0")  # after the validation of an epoch
    with pytest.raises(SystemExit) as ended:
        train_here(tmp_path / "folder", pictures, recipe)
    assert ended.value.code == 0 and list((tmp_path / "folder").iterdir()) == []


def finish(folder, pictures, **options):
    return killed_run.finish(killed_run.start(tiny_classifier_run.run, folder, pictures, **options))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, pictures):
    folders = {}
    for name, recipe in (("labels", RECIPE), ("online", KD)):
        folders[name] = tmp_path_factory.mktemp(name)
        tiny_classifier_run.run(folders[name], pictures, recipe)
    return folders


def assert_same_outcome(folder, whole):
    found, expected = (checkpoints.load(str(place / checkpoints.NAME)) for place in (folder, whole))
    assert_same_bits(found, expected)
    assert (folder / "history.jsonl").read_text() == (whole / "history.jsonl").read_text()
    assert (folder / RESULT).read_bytes() == (whole / RESULT).read_bytes()
    assert not list(folder.glob("work_*.tar"))


@pytest.mark.parametrize("first", [(0, 0), (1, 1), (1, UPDATES - 1)])
def test_a_killed_and_resumed_run_ends_in_the_same_bits(uninterrupted, pictures, tmp_path, first):
    assert finish(tmp_path, pictures, kill_after=first) == -signal.SIGKILL
    assert finish(tmp_path, pictures, kill_in_save=1) == -signal.SIGKILL
    tiny_classifier_run.run(tmp_path, pictures, dataclasses.replace(RECIPE, workers=1))
    assert_same_outcome(tmp_path, uninterrupted["labels"])


@pytest.mark.parametrize("first", [(0, 2), (1, UPDATES - 1)])
def test_a_killed_online_run_ends_in_the_same_bits(uninterrupted, pictures, tmp_path, first):
    assert finish(tmp_path, pictures, recipe=KD, kill_after=first) == -signal.SIGKILL
    tiny_classifier_run.run(tmp_path, pictures, KD)
    assert_same_outcome(tmp_path, uninterrupted["online"])


def test_a_finished_run_has_nothing_to_do(uninterrupted, pictures):
    trained = train_here(uninterrupted["labels"], pictures)
    assert (trained.done, trained.steps) == (0, 12)
    rows = [json.loads(line) for line in (uninterrupted["labels"] / "history.jsonl").read_text().splitlines()]
    assert [row["train/lr"] for row in rows] == [RECIPE.rate(epoch) for epoch in range(3)]
    assert ["val/top1" in row for row in rows] == [True, False, True]
    assert trained.top1 == rows[2]["val/top1"] and trained.train_loss == rows[2]["train/loss"]
    assert trained.best_top1 == max(rows[0]["val/top1"], rows[2]["val/top1"])


def test_the_result_is_the_best_or_the_last_network_in_its_layout(uninterrupted, pictures, tmp_path):
    folder = uninterrupted["labels"]
    content = safe_load(str(folder / RESULT))
    assert list(content) == ["state_dict", "acc", "epoch"]
    assert all(key.startswith("module.") for key in content["state_dict"])
    found = load_weights(build(SHAPE, 0, 8), str(folder / RESULT))
    trained = train_here(folder, pictures)
    top1 = validated(RECIPE, found, ClassFolders(str(pictures / "test")), CPU)["top1"]
    assert top1 == content["acc"] == trained.best_top1
    best, last = (checkpoints.load(str(folder / name)) for name in (checkpoints.BEST, checkpoints.NAME))
    assert content["epoch"] == best["epoch"] - 1
    assert torch.equal(found.fc.weight, best["state_dict"]["module.fc.weight"])
    last_kept = dataclasses.replace(RECIPE, keep_best=False, layout="model")
    path = str(tmp_path / "last.pth")
    write_result(path, trained._replace(checkpoint=str(folder / checkpoints.NAME)), last_kept)
    network = load_weights(build(SHAPE, 0, 8), path)
    assert torch.equal(network.fc.weight, last["state_dict"]["module.fc.weight"])


@pytest.mark.parametrize("layout", ["bare", "model", "state_dict"])
def test_each_published_layout_is_written_and_read(tmp_path, layout):
    network, path = build(SHAPE, 1, 8), str(tmp_path / "weights.pth")
    write_weights(path, network.state_dict(), layout, 4, 78.5)
    written = safe_load(path)
    state = network.state_dict()
    if layout == "bare":
        assert_same_bits(dict(written), dict(state))
    if layout == "model":
        assert list(written) == ["model"] and list(written["model"]) == list(state)
    if layout == "state_dict":
        assert (written["acc"], written["epoch"]) == (78.5, 4)
        torch.nn.DataParallel(build(SHAPE, 2, 8)).load_state_dict(written["state_dict"])
    assert_same_bits(dict(load_weights(build(SHAPE, 2, 8), path).state_dict()), dict(state))


@pytest.mark.parametrize("keys", [("model", "optimizer", "lr_scheduler", "epoch"), ("state_dict", "acc")])
def test_published_files_are_read(tmp_path, keys):
    """A checkpoint of torchvision's reference (Tiny-ImageNet) and one of CIFAR-100, with their other
    entries."""
    network = build(SHAPE, 1, 8)
    content = dict.fromkeys(keys, 0)
    if keys[0] == "model":
        content["model"] = network.state_dict()
        content["optimizer"] = torch.optim.SGD(network.parameters(), lr=0.1).state_dict()
    else:
        content["state_dict"] = torch.nn.DataParallel(network).state_dict()
    torch.save(content, str(tmp_path / "published.pth"))
    found = load_weights(build(SHAPE, 2, 8), str(tmp_path / "published.pth"))
    assert_same_bits(dict(found.state_dict()), dict(network.state_dict()))


class Plain(torch.nn.Module):
    """Without BatchNorm: the gradient of a batch is the mean over its pictures."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.fc = torch.nn.Linear(3 * 64, 3)

    def forward(self, pixels):
        return self.fc(pixels.flatten(1))


def training(recipe, network, teacher=None):
    batches = types.SimpleNamespace(batches=UPDATES)
    return Classification(recipe, network, batches, {}, CPU, teacher)


def labelled(rows, seed=2):
    draws = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (rows, 3, 8, 8), generator=draws).to(torch.uint8)
    return LabelledBatch(pixels, torch.randint(0, 3, (rows,), generator=draws))


def test_accumulated_batches_are_one_effective_batch():
    whole = dataclasses.replace(RECIPE, batch=16, replicas=1)
    pieces = dataclasses.replace(RECIPE, batch=4, replicas=1, accumulation=4)
    assert whole.update == pieces.update == 16
    for rows in (16, 10):  # the last update of an epoch may be short
        one, other = Plain(), Plain()
        batch = labelled(rows)
        first = training(whole, one).step(1, 0, batch)
        second = training(pieces, other).step(1, 0, batch)
        assert first.loss == pytest.approx(second.loss, rel=1e-6)
        assert list(second.terms) == ["batch_%d" % place for place in range(-(-rows // 4))]
        assert torch.allclose(one.fc.weight.grad, other.fc.weight.grad, rtol=1e-5, atol=1e-7)
        assert torch.allclose(one.fc.weight, other.fc.weight, rtol=1e-6, atol=1e-8)
        expected = F.cross_entropy(Plain()(normalised(batch.pixels)), batch.targets)
        assert first.loss == pytest.approx(expected.item(), rel=1e-6)


def test_an_update_with_sgd_is_the_textbook_one():
    recipe = dataclasses.replace(RECIPE, replicas=1, optimizer=OptimizerValues("sgd", 0.5, 0.9, 0.1))
    network, reference = Plain(), Plain()
    run = training(recipe, network)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1)
    for number, epoch in enumerate((0, 1, 2)):
        batch = labelled(8, number)
        optimizer.param_groups[0]["lr"] = 0.5 * recipe.factor(epoch)
        optimizer.zero_grad()
        F.cross_entropy(reference(normalised(batch.pixels)), batch.targets).backward()
        optimizer.step()
        result = run.step(epoch, 0, batch)
        assert result.learning_rate == optimizer.param_groups[0]["lr"]
        assert torch.allclose(network.fc.weight, reference.fc.weight, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["cutmix", "mixup", "none"])
def test_a_distillation_shows_both_networks_the_same_mixed_pictures(kind):
    values = Distillation(temperature=5.0, mix=kind)
    recipe = dataclasses.replace(RECIPE, replicas=1, batch=4, accumulation=2, distillation=values)
    teacher = build(SHAPE, 3, 8)
    network, batch = Plain(), labelled(8)
    result = training(recipe, network, teacher).step(2, 1, batch)
    teacher.eval()
    total = 0.0
    for place in (0, 1):
        mix = draw_mix(kind, 4, 8, values.alpha, recipe.seed, 2, 2 + place)
        shown = mixed_inputs(batch.pixels[4 * place : 4 * place + 4], mix)
        student, answers = Plain()(shown), teacher(shown)
        log_ratio = F.log_softmax(answers / 5, 1) - F.log_softmax(student / 5, 1)
        total += (F.softmax(answers / 5, 1) * log_ratio).sum(1).mean().item() / 2
    assert result.loss == pytest.approx(total, rel=1e-4)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_the_teacher_stays_as_it_is():
    teacher = build(SHAPE, 3, 8)
    before = copy.deepcopy(teacher.state_dict())
    run = training(dataclasses.replace(KD, replicas=1), Plain(), teacher)
    run.step(0, 0, labelled(8))
    assert_same_bits(dict(teacher.state_dict()), dict(before))


def test_the_square_of_the_temperature_scales_the_gradient():
    gradients = []
    for squared in (False, True):
        values = Distillation(temperature=20.0, squared=squared, mix="none")
        network = Plain()
        training(dataclasses.replace(KD, replicas=1, distillation=values), network, build(SHAPE, 3, 8)).step(
            0, 0, labelled(8)
        )
        gradients.append(network.fc.weight.grad)
    assert gradients[0].abs().max() > 0
    assert torch.allclose(gradients[1], 400 * gradients[0], rtol=1e-3, atol=1e-5)


def test_replicas_have_statistics_of_their_own_and_the_first_keeps_them():
    recipe = dataclasses.replace(RECIPE, batch=8, replicas=2)
    network, batch = build(SHAPE, 1, 8), labelled(8)
    reference = copy.deepcopy(network).train()
    result = training(recipe, network).step(1, 0, batch)
    pixels = normalised(batch.pixels)
    losses = [
        F.cross_entropy(reference(pixels[rows]), batch.targets[rows]) for rows in (slice(4), slice(4, 8))
    ]
    assert result.loss == pytest.approx(sum(losses).item() / 2, rel=1e-5)
    alone = build(SHAPE, 1, 8).train()
    alone(pixels[:4])
    assert torch.equal(network.bn1.running_mean, alone.bn1.running_mean)
    assert int(network.bn1.num_batches_tracked) == 1


def test_digits_are_learned(tmp_path):
    """Hard labels on a part of the embedded digits: far above chance within a few updates."""
    train, test = (ClassFolders("%s#%s" % (DIGITS, name)) for name in ("train", "test"))
    recipe = dataclasses.replace(
        RECIPE,
        size=16,
        mean=(0.3,) * 3,
        deviation=(0.35,) * 3,
        epochs=6,
        batch=25,
        replicas=1,
        schedule=Schedule("cosine"),
        optimizer=OptimizerValues(learning_rate=0.1),
        validation_resize=16,
        validation_limit=100,
        validate_every=100,
    )
    recipe = dataclasses.replace(recipe, augmentation=dataclasses.replace(recipe.augmentation, flip=0.0))
    network = build(NetworkShape("resnet18", 10, True, 4, (1, 1, 1, 1)), 0, 16)
    trained = train_classifier(recipe, network, train.first_per_class(20), test, str(tmp_path), device="cpu")
    assert trained.top1 > 45


def test_runs_that_do_not_fit_are_refused(uninterrupted, pictures, tmp_path):
    other = dataclasses.replace(RECIPE, schedule=Schedule("linear"))
    with pytest.raises(Refusal, match="was written with other values of schedule"):
        train_here(uninterrupted["labels"], pictures, other)
    with pytest.raises(Refusal, match="other values of teacher .that one, now another"):
        train_here(uninterrupted["online"], pictures, KD, teacher_digest="another")
    with pytest.raises(Refusal, match="a distillation needs a teacher, and labels none"):
        train_here(tmp_path, pictures, KD, teacher=None)
    with pytest.raises(Refusal, match="a distillation needs a teacher, and labels none"):
        train_here(tmp_path, pictures, RECIPE, teacher=build(SHAPE, 0, 8))


def test_folders_of_other_classes_and_a_broken_loss_are_refused(pictures, tmp_path):
    train = ClassFolders(str(pictures / "train"))
    network = build(SHAPE, 0, 8)
    fewer = write_class_folders(tmp_path / "fewer", classes=2)
    with pytest.raises(Refusal, match=r"train holds 3 classes, .*fewer other ones \(2\)"):
        train_classifier(RECIPE, network, train, fewer, str(tmp_path / "out"), device="cpu")
    with pytest.raises(Refusal, match="keep_best needs validation pictures"):
        train_classifier(RECIPE, network, train, None, str(tmp_path / "out"), device="cpu")
    with torch.no_grad():
        network.fc.bias.fill_(float("nan"))
    last = dataclasses.replace(RECIPE, keep_best=False)
    with pytest.raises(Refusal, match="epoch 0, step 0: the loss is nan"):
        train_classifier(last, network, train, None, str(tmp_path / "out"), device="cpu")


def test_a_single_picture_for_batch_norm_is_refused():
    run = training(dataclasses.replace(RECIPE, batch=4, replicas=4), build(SHAPE, 0, 8))
    with pytest.raises(Refusal, match="a single picture for BatchNorm .* choose another batch"):
        run.step(0, 0, labelled(4))


def test_recovered_folders_of_other_names_are_the_same_classes(pictures, tmp_path):
    write_class_folders(tmp_path / "train", copies=8)
    for number in range(3):
        (tmp_path / "train" / ("class%d" % number)).rename(tmp_path / "train" / ("new%03d" % number))
    write_class_folders(tmp_path / "test", copies=2, seed=1)
    recipe = dataclasses.replace(RECIPE, epochs=2, schedule=Schedule("linear"))
    assert train_here(tmp_path / "out", tmp_path, recipe).done == 6
