"""Whole Momentum²-Teacher runs: learning, killed and resumed, resumed as published, refused."""

import dataclasses
import json
import pathlib
import random
import signal

import pytest
import torch
import torch.nn.functional as F

from encore.data.image_source import open_source
from encore.data.training_transform import normalised
from encore.models.isc_network import IscNetwork, IscShape
from encore.models.resnet import ResNet
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.systems.isc.start_weights import load_start_weights
from encore.systems.momentum2_teacher import checkpoints, pretraining
from encore.systems.momentum2_teacher.data_order import view_batches
from encore.systems.momentum2_teacher.pretraining import Training, pretrain
from encore.systems.momentum2_teacher.published_files import check_backbone, read_backbone
from encore.systems.momentum2_teacher.recipe import Momentum2Recipe
from encore.training.checkpoint_files import Position
from encore.training.numerical_fault import NumericalFault
from tests.encore import killed_run
from tests.encore.in_memory_set import InMemorySet
from tests.encore.killed_run import assert_same_bits
from tests.encore.systems.momentum2_teacher import tiny_m2t_run
from tests.encore.systems.momentum2_teacher.tiny_m2t_run import EXPORT, ITERATIONS, RECIPE, images

PHOTOS = pathlib.Path(__file__).parents[4] / "mini" / "photos.tar"
LOSSY = dataclasses.replace(RECIPE, lossy_resume=True)


def finish(folder, **options):
    return killed_run.finish(killed_run.start(tiny_m2t_run.run, folder, **options))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert finish(folder) == 0
    return folder


def checkpoint_of(folder):
    return checkpoints.load(str(folder / checkpoints.NAME))


def run_here(recipe, folder, **options):
    return pretrain(recipe, images(), str(folder), str(folder / EXPORT), device="cpu", **options)


def test_a_killed_and_resumed_run_ends_in_the_same_bits(uninterrupted, tmp_path):
    places = [(epoch, step) for epoch in range(RECIPE.epochs) for step in range(ITERATIONS)]
    first = random.choice(places[:-1])
    assert finish(tmp_path, kill_after=first) == -signal.SIGKILL, first
    assert finish(tmp_path, kill_in_save=1) == -signal.SIGKILL, first
    assert finish(tmp_path, kill_before_export=True) == -signal.SIGKILL, first
    assert not (tmp_path / EXPORT).exists()
    assert finish(tmp_path) == 0
    assert_same_bits(checkpoint_of(tmp_path), checkpoint_of(uninterrupted))
    assert (tmp_path / "history.jsonl").read_text() == (uninterrupted / "history.jsonl").read_text(), first
    assert (tmp_path / EXPORT).read_bytes() == (uninterrupted / EXPORT).read_bytes()
    assert not list(tmp_path.glob("work_*.tar"))


def test_a_finished_run_has_nothing_to_do_and_keeps_its_losses(uninterrupted):
    before = (uninterrupted / EXPORT).read_bytes()
    done = run_here(RECIPE, uninterrupted)
    assert (done.steps, done.done) == (15, 0)
    history = [json.loads(line) for line in (uninterrupted / "history.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in history] == [(e, s) for e in range(3) for s in range(5)]
    assert (done.first_loss, done.last_loss) == (history[0]["loss"], history[-1]["loss"])
    assert history[0]["learning_rate"] == 1e-6 and history[0]["teacher_momentum"] == pytest.approx(0.99)
    assert done.resumed_from == str(uninterrupted / checkpoints.NAME)
    assert (uninterrupted / EXPORT).read_bytes() == before


def test_the_checkpoint_has_the_published_entries(uninterrupted):
    content = checkpoint_of(uninterrupted)
    assert list(content)[:3] == ["start_epoch", "model", "optimizer"] and content["start_epoch"] == 3
    heads = {".".join(key.split(".")[:2]) for key in content["model"]}
    assert heads == {"module.student_encoder", "module.teacher_encoder"}
    (group,) = content["optimizer"]["param_groups"]
    assert sorted(group) == ["dampening", "lr", "momentum", "nesterov", "params", "weight_decay"]
    own = Training(RECIPE, ITERATIONS, torch.device("cpu")).optimizer
    torch.optim.SGD(own.param_groups, 0.1, momentum=0.9).load_state_dict(content["optimizer"])


def test_the_start_weights_are_those_of_the_teacher_and_fit_track_1(uninterrupted):
    path = str(uninterrupted / EXPORT)
    check_backbone(path, RECIPE.shape)
    network = IscNetwork(IscShape((1, 1, 1, 1), 4, 16, 32, None, ibn=True))
    loaded = load_start_weights(network, path)
    assert loaded.missing == () and loaded.unused == () and len(loaded.loaded) == len(read_backbone(path))
    model = checkpoint_of(uninterrupted)["model"]
    key = "layer1.0.bn1.BN.running_mean"
    assert torch.equal(network.base[4][0].bn1.BN.running_mean, model["module.teacher_encoder." + key])
    assert not torch.equal(network.base[4][0].bn1.BN.running_mean, model["module.student_encoder." + key])


def test_a_lossy_resume_restarts_everything_but_weights_and_epoch(uninterrupted, tmp_path):
    assert finish(tmp_path, recipe=LOSSY, kill_after=(1, 2)) == -signal.SIGKILL
    assert not list(tmp_path.glob("work_*"))
    kept = checkpoint_of(tmp_path)
    training = Training(LOSSY, ITERATIONS, torch.device("cpu"))
    assert training.resume(kept, "kept") == Position(1, 0)
    assert training.teacher_steps == 0 and not training.optimizer.state_dict()["state"]
    assert {norm.alpha for norm in training.pair.momentum_norms()} == {1.0}
    assert_same_bits(checkpoints.model_state(training.pair), kept["model"])
    assert finish(tmp_path, recipe=LOSSY) == 0
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["learning_rate"] for line in lines[4:7]] == [
        RECIPE.rate(4, ITERATIONS),
        1e-6,  # the rate is set after a step, so that of a new optimizer is the first one
        RECIPE.rate(6, ITERATIONS),
    ]
    assert lines[5]["teacher_momentum"] == pytest.approx(0.99) and len(lines) == 15
    assert not torch.equal(
        checkpoint_of(tmp_path)["model"]["module.student_encoder.conv1.weight"],
        checkpoint_of(uninterrupted)["model"]["module.student_encoder.conv1.weight"],
    )


@pytest.mark.parametrize("lossy, at, named", [(True, 7, None), (False, 7, "work_"), (True, 5, "published")])
def test_after_a_fault_only_a_state_is_named_that_a_resume_reads(tmp_path, monkeypatch, lossy, at, named):
    whole, calls = pretraining.check_step, []

    def check_step(*arguments):
        calls.append(arguments)
        if len(calls) == at + 1:
            raise NumericalFault("broken")
        whole(*arguments)

    monkeypatch.setattr(pretraining, "check_step", check_step)
    with pytest.raises(Refusal, match="epoch 1, step %d: broken" % (at - ITERATIONS)) as refusal:
        run_here(dataclasses.replace(RECIPE, lossy_resume=lossy), tmp_path)
    state = checkpoints.NAME if named == "published" else named
    if state is None:
        assert "is saved in" not in str(refusal.value)
    else:
        assert "is saved in %s" % (tmp_path / state) in str(refusal.value)
    assert len(list(tmp_path.glob("work_*"))) == (named == "work_")


def test_a_published_checkpoint_goes_on_lossily_only(uninterrupted, tmp_path):
    content = checkpoint_of(uninterrupted)
    del content["encore"]
    content["start_epoch"] = 2
    published = str(tmp_path / "published.pth.tar")
    torch.save(content, published)
    with pytest.raises(Refusal, match=r"published\.pth\.tar is a published checkpoint.*lossy_resume to true"):
        run_here(RECIPE, tmp_path / "exact", resume=published)
    done = run_here(LOSSY, tmp_path / "lossy", resume=published)
    assert (done.done, done.steps, done.resumed_from) == (ITERATIONS, 15, published)
    finished = dict(content, start_epoch=3)
    torch.save(finished, published)
    done = run_here(LOSSY, tmp_path / "finished", resume=published)
    assert done.done == 0 and done.first_loss is None
    exported = read_backbone(str(tmp_path / "finished" / EXPORT))
    for name, value in exported.items():
        assert torch.equal(value, content["model"]["module.teacher_encoder." + name])


def test_wrong_checkpoints_are_refused(uninterrupted, tmp_path):
    kept = checkpoint_of(uninterrupted)
    other = dataclasses.replace(RECIPE, weight_decay=0.5)
    with pytest.raises(Refusal, match="other values of weight_decay .0.0001, now 0.5"):
        Training(other, ITERATIONS, torch.device("cpu")).resume(kept, "kept")
    training = Training(RECIPE, ITERATIONS, torch.device("cpu"))
    lacking = {key: value for key, value in kept["model"].items() if "layer2" not in key}
    with pytest.raises(Refusal, match=r"kept does not fit the networks \(\d+ tensors are missing"):
        training.resume(dict(kept, model=lacking), "kept")
    with pytest.raises(Refusal, match="kept: its optimizer is that of another network"):
        training.resume(dict(kept, optimizer={"state": {}, "param_groups": []}), "kept")
    wrong = dict(kept["encore"], statistics={"iterations": 15, "others": [{"mean": [], "var": []}]})
    with pytest.raises(Refusal, match="statistics of replica 1 do not fit"):
        training.resume(dict(kept, encore=wrong), "kept")
    torch.save({"model": {}}, str(tmp_path / "x.pth.tar"))
    with pytest.raises(Refusal, match="missing start_epoch, optimizer"):
        checkpoints.load(str(tmp_path / "x.pth.tar"))


def margin(network, views):
    """How much more alike two views of one picture are than views of two (mean cosine of the features); a
    collapsed network has 0."""
    with torch.no_grad():
        first, second = (F.normalize(network(normalised(view))) for view in views)
    alike = first @ second.t()
    own, count = alike.diag().sum(), len(alike)
    return (own / count - (alike.sum() - own) / (count * (count - 1))).item()


def test_the_networks_learn_and_do_not_collapse(tmp_path):
    shape = IscShape((1, 1, 1, 1), 8, matrix=None, ibn=True)
    recipe = dataclasses.replace(
        RECIPE,
        shape=shape,
        size=32,
        batch=32,
        epochs=5,
        learning_rate=1.6,
        teacher_momentum=0.9,
        hidden=64,
        embedding=32,
    )
    photos = open_source(str(PHOTOS) + "#training")
    path = str(tmp_path / EXPORT)
    done = pretrain(recipe, photos, str(tmp_path), path, device="cpu")
    assert done.last_loss < 0.8 * done.first_loss
    network = ResNet(shape.layers, shape.width, classes=None, ibn=True).eval()
    views = view_batches(photos, dataclasses.replace(recipe, seed=99, batch=128))[(0, 0)]
    start = Training(recipe, 6, torch.device("cpu")).pair.student_encoder.state_dict()
    network.load_state_dict({name: start[name] for name in network.state_dict()})
    before = margin(network, views)
    network.load_state_dict(read_backbone(path))
    after = margin(network, views)
    assert after > 0.05 and after > 1.3 * before, (before, after)


def test_a_damaged_image_and_too_few_images_are_refused(tmp_path):
    damaged = images()
    for i in range(len(damaged)):
        damaged.damage(i)
    with pytest.raises(Refusal, match=r"pre-training image \d+_\d\.jpg cannot be read"):
        pretrain(RECIPE, damaged, str(tmp_path), str(tmp_path / EXPORT), device="cpu")
    with pytest.raises(Refusal, match="one batch of 8 images at least, found 4"):
        pretrain(RECIPE, InMemorySet(2, 2), str(tmp_path), str(tmp_path / EXPORT), device="cpu")
    assert not (tmp_path / EXPORT).exists()


@pytest.mark.parametrize(
    "values, named",
    [
        (dict(batch=130), r"batch \(130\)"),
        (dict(batch=8), r"batch \(8\)"),
        (dict(warm_up_epochs=300), "warm_up_epochs"),
        (dict(learning_rate=0.0), "learning_rate"),
    ],
)
def test_bad_values_are_refused_by_name(values, named):
    with pytest.raises(Refusal, match=named):
        Momentum2Recipe(**values)


def test_published_values_are_the_defaults():
    recipe = Momentum2Recipe()
    assert (recipe.epochs, recipe.batch, recipe.replicas, recipe.size, recipe.workers) == (
        300,
        512,
        8,
        224,
        48,
    )
    assert (recipe.learning_rate, recipe.momentum, recipe.weight_decay) == (0.05, 0.9, 1e-4)
    assert (recipe.hidden, recipe.embedding, recipe.warm_up_epochs, recipe.teacher_momentum) == (
        4096,
        256,
        10,
        0.99,
    )
    assert recipe.shape.layers == (3, 8, 36, 3) and not recipe.lossy_resume


def test_safe_loading_reads_our_checkpoint(uninterrupted):
    assert safe_load(str(uninterrupted / checkpoints.NAME))["encore"]["teacher_steps"] == 15
