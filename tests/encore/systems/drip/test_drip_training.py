"""A stage's training: killed and resumed, on several processes, its steps derived again by hand."""

import copy
import dataclasses
import math
import os
import signal

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from encore.data.augment import drip_chain
from encore.runtime.refusal import Refusal
from encore.systems.drip import published_checkpoints, training_steps, view_batches
from encore.systems.drip import training as training_module
from encore.systems.drip.backbone_start import StartParameters, write_start
from encore.systems.drip.centroids import read_w
from encore.systems.drip.network import build
from encore.systems.drip.precision import Precision, clip
from encore.systems.drip.record import HISTORY, read_history
from encore.systems.drip.stage_data import Places, open_stage_data
from encore.systems.drip.stage_outputs import LAST, last_checkpoint
from encore.systems.drip.stage_run import StageRun
from encore.systems.drip.stage_values import DripStageValues, StopRule
from encore.systems.drip.start_weights import StartWeights
from encore.systems.drip.training import train_stage
from encore.systems.drip.training_steps import DripTraining
from encore.training.checkpoint_files import WORK_NAME
from encore.training.distributed import ALONE, Processes
from tests.encore import killed_run
from tests.encore.killed_run import assert_same_bits
from tests.encore.systems.drip.tiny_drip import RECIPE, SHAPE, draw_pictures

FIRST = DripStageValues("start", 10, 0, 0, 4, 0.5, stop=StopRule(max_epochs=3))
TWO_EPOCHS = dataclasses.replace(FIRST, stop=StopRule(max_epochs=2))
SECOND = DripStageValues("first", 10, 6, 0, 6, 0.6, stop=StopRule(max_epochs=2))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `pictures` and `backbone.pth`."""
    folder = tmp_path_factory.mktemp("drip")
    draw_pictures(folder / "pictures")
    write_start(str(folder / "backbone.pth"), SHAPE, StartParameters())
    return folder


def stage_run(place, values=FIRST, recipe=RECIPE, start=None):
    torch.set_num_threads(1)
    start = StartWeights(str(place / "backbone.pth")) if start is None else StartWeights(start, False)
    data = open_stage_data(values, recipe, Places(str(place / "pictures")))
    return StageRun(recipe, values, SHAPE, start, start.digest(), data)


def train(place, folder, values=FIRST, recipe=RECIPE, start=None, **options):
    return train_stage(stage_run(place, values, recipe, start), str(folder), "cpu", **options)


@pytest.fixture(scope="module")
def first(place):
    """A whole run of FIRST: its Trained."""
    return train(place, place / "first")


@pytest.fixture(scope="module")
def second(place, first):
    return train(place, place / "second", SECOND, start=first.checkpoint)


def train_and_die(place, folder, values, start, at=None, in_save=None):
    """Train until step `at`, or until checkpoint (or part of W) number `in_save` is half written."""

    def on_step(epoch, step, result):
        if (epoch, step) == at:
            killed_run.die()

    if in_save is not None:
        killed_run.die_in_save(in_save)
    train(place, folder, values, start=start, on_step=on_step)


def assert_same_stage(found, expected):
    """Assert that two folders of a version hold the same checkpoints, to the bit, and the same record."""
    names = [sorted(os.listdir(os.path.join(version, "checkpoints"))) for version in (found, expected)]
    assert names[0] == names[1] and not [name for name in names[0] if WORK_NAME.fullmatch(name)]
    for name in names[0]:
        paths = (os.path.join(version, "checkpoints", name) for version in (found, expected))
        assert_same_bits(*map(published_checkpoints.read_container, paths))
    histories = [open(os.path.join(version, HISTORY)).read() for version in (found, expected)]
    assert histories[0] == histories[1]


@pytest.mark.parametrize(
    "at, in_save",
    [
        ((0, 0), None),  # nothing saved yet
        ((0, 2), None),  # after the checkpoint within epoch 0
        ((1, 0), None),  # after that of epoch 0
        (None, 1),  # half a checkpoint within an epoch
        (None, 3),  # between the best checkpoint of epoch 0 and last.ckpt
        (None, 6),
    ],
)
def test_a_stage_killed_anywhere_ends_in_the_same_bits(tmp_path, place, first, at, in_save):
    process = killed_run.start(train_and_die, place, tmp_path, FIRST, None, at, in_save)
    assert killed_run.finish(process) == -signal.SIGKILL
    result = train(place, tmp_path)
    assert_same_stage(result.version, first.version)
    assert result.metrics == first.metrics and os.path.basename(result.version) == "version_0"


@pytest.mark.parametrize("at, in_save", [((0, 1), None), (None, 2)])
def test_a_stage_killed_after_or_while_its_centroids_are_made_ends_in_the_same_bits(
    tmp_path, place, first, second, at, in_save
):
    process = killed_run.start(train_and_die, place, tmp_path, SECOND, first.checkpoint, at, in_save)
    assert killed_run.finish(process) == -signal.SIGKILL
    result = train(place, tmp_path, SECOND, start=first.checkpoint)
    assert_same_stage(result.version, second.version)
    assert (tmp_path / "W.pickle").read_bytes() == (place / "second" / "W.pickle").read_bytes()
    assert result.metrics == second.metrics


def test_the_number_of_loader_processes_changes_no_bit(tmp_path, place, first):
    result = train(place, tmp_path, recipe=dataclasses.replace(RECIPE, workers=2, keep_bytes=0))
    assert_same_stage(result.version, first.version)


def test_a_finished_stage_is_left_as_it_is_and_a_longer_one_goes_on(tmp_path, place, first):
    shorter = dataclasses.replace(FIRST, stop=StopRule(max_epochs=2))
    assert train(place, tmp_path, shorter).epochs == 2
    assert train(place, tmp_path, shorter).done == 0
    result = train(place, tmp_path)
    assert result.done == 3  # steps of the third epoch
    assert_same_stage(result.version, first.version)


def test_other_values_start_a_version_of_their_own_and_make_w_anew(tmp_path, place, first):
    version = train(place, tmp_path, SECOND, start=first.checkpoint).version
    before = (tmp_path / "W.pickle").read_bytes()
    stronger = dataclasses.replace(SECOND, qry_augs_intensity=0.9)
    other = train(place, tmp_path, stronger, start=first.checkpoint)
    assert other.resumed_from is None and os.path.basename(other.version) == "version_1"
    assert (tmp_path / "W.pickle").read_bytes() != before
    again = train(place, tmp_path, SECOND, start=first.checkpoint)
    assert (again.version, again.done) == (version, 0)
    assert last_checkpoint(tmp_path) == other.checkpoint


def test_a_stage_starts_from_the_centroids_and_the_weights_of_the_one_before(place, first, second, tmp_path):
    made = read_w(str(place / "second" / "W.pickle"), (16, 16))
    lengths = np.linalg.norm(made, axis=0)
    assert (lengths < 1).all() and (lengths > 0.3).all()
    run = stage_run(place, SECOND, start=first.checkpoint)
    training = DripTraining(run, ALONE, torch.device("cpu"))
    random = training.network.criterion.kernel.detach().clone()
    run.start.load(training.network)
    before = published_checkpoints.read_container(first.checkpoint)["state_dict"]
    for key, value in training.network.state_dict().items():
        if key == "criterion.kernel":
            assert torch.equal(value, random)
        else:
            assert torch.equal(value, before[key])
    training.to_device()
    training_module._set_centroids(run, training, str(tmp_path))
    assert np.array_equal(training.network.criterion.kernel.detach().numpy(), made)
    clean = torch.stack([torch.from_numpy(run.data.batches.views.clean(c)) for c in range(16)])
    assert training.network.training
    training.network.eval()
    with torch.no_grad():
        agreement = (training.network(clean) * torch.from_numpy(made).t()).sum(1)
    assert (agreement > 0.3).all()  # the clean view is one of three that its centroid is the mean of


def test_the_control_has_the_weights_but_columns_of_its_own(place, first, second):
    control = dataclasses.replace(SECOND, kernel="random", stop=StopRule(max_epochs=1))
    result = train(place, place / "control", control, start=first.checkpoint)
    assert not (place / "control" / "W.pickle").exists()
    assert result.metrics["first_epoch_trn_loss"] > second.metrics["first_epoch_trn_loss"] + 5


def test_a_step_follows_its_formula_again(place):
    """Two steps beside a model of their own: autograd through the naive loss, torch's Adam and clipping."""
    recipe = dataclasses.replace(RECIPE, do_ref_trn=True, ref_trn_n_epochs=5, clip_grad_norm=0.5)
    run = stage_run(place, recipe=recipe)
    training = DripTraining(run, ALONE, torch.device("cpu"))
    training.to_device()
    network = copy.deepcopy(training.network)
    groups = [
        {"params": list(network.backbone.parameters())},
        {"params": [network.criterion.kernel]},
    ]
    adam = torch.optim.Adam(groups, lr=1e-3)
    steps = [(epoch, batch) for epoch in (0, 1) for batch in run.data.batches.training(epoch, 1, clean=True)]
    for epoch, batch in steps:
        result = training.step(epoch, 1, batch)
        batch = batch.on("cpu")
        views = [batch.augmented] + ([batch.clean] if epoch == 0 else [])  # epochs 0, 5, 10 … take both
        losses = [naive_loss(network(view), network.criterion.kernel, batch.classes) for view in views]
        loss = sum(losses) / len(losses)
        adam.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        assert norm > 0.5  # so the clipping does something
        adam.step()
        assert result.loss == pytest.approx(loss.item(), rel=1e-5)
        for ours, theirs in zip(training.network.parameters(), network.parameters()):
            assert (ours - theirs).abs().max() < 3e-5


def naive_loss(embeddings, kernel, labels, s=40.0, m=0.4):
    cosines = (embeddings @ (kernel / (kernel.norm(dim=0) + 1e-6))).clamp(-1, 1)
    angles = torch.acos(cosines.clamp(-1 + 1e-7, 1 - 1e-7))
    wide = torch.where(cosines > np.cos(np.pi - m), torch.cos(angles + m), cosines - m * np.sin(m))
    own = F.one_hot(labels, kernel.shape[1]).bool()
    return F.cross_entropy(s * torch.where(own, wide, cosines), labels)


def test_the_validation_follows_its_formulas_again(place):
    run = stage_run(place)
    training = DripTraining(run, ALONE, torch.device("cpu"))
    training.to_device()
    found = training.validate(run.data.batches.validation(2, 1.0))
    network, kernel = training.network.eval(), training.network.criterion.kernel
    losses, rows = [], []
    with torch.no_grad():
        for batch in run.data.batches.validation(2, 1.0):
            batch = batch.on("cpu")
            clean, augmented = network(batch.clean), network(batch.augmented)
            for c, a, label in zip(clean, augmented, batch.classes):
                loss = [naive_loss(view[None], kernel, label[None]).item() for view in (c, a)]
                losses.append(sum(loss) / 2)
                unit = kernel / kernel.norm(dim=0)
                guesses = [(view @ unit).argmax() for view in (c, a)]
                rows.append([guesses[0] == guesses[1], guesses[1] == label, guesses[0] == label])
    assert len(rows) == 10  # each class once, in batches of 4, 4 and 2
    means = np.mean(np.array(rows, dtype=float), axis=0)
    assert found["val_loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert [found["val_acc"], found["val_qry_acc"], found["val_ref_acc"]] == pytest.approx(list(means))


def test_the_record_is_the_mean_over_the_views_and_the_rate_falls_after_the_checkpoint(place, first):
    history = read_history(os.path.join(first.version, HISTORY))
    steps = [row for row in history if "trn_loss_step" in row]
    assert [(row["epoch"], row["step"]) for row in steps] == [(e, s) for e in range(3) for s in range(3)]
    epochs = [row for row in history if "val_loss_epoch" in row]
    for row in epochs:
        losses = [step["trn_loss_step"] for step in steps if step["epoch"] == row["epoch"]]
        mean = (4 * losses[0] + 4 * losses[1] + 2 * losses[2]) / 10  # 10 classes in batches of 4
        assert row["trn_loss_epoch"] == pytest.approx(mean, rel=1e-12)
    assert first.metrics["first_epoch_trn_loss"] == epochs[0]["trn_loss_epoch"]
    assert first.metrics["val_loss"] == epochs[-1]["val_loss_epoch"]


def test_the_plateau_steps_after_the_checkpoint_as_published_and_once_after_a_resume(tmp_path, place):
    recipe = dataclasses.replace(RECIPE, init_lr=1e-6, sched_patience=0)  # nothing is learnt: it falls
    values = dataclasses.replace(FIRST, stop=StopRule(max_epochs=4))
    whole = train(place, tmp_path / "whole", values, recipe)
    for epochs in range(1, 5):  # a start for each epoch
        stopped = dataclasses.replace(values, stop=StopRule(max_epochs=epochs))
        parts = train(place, tmp_path / "parts", stopped, recipe)
    assert_same_stage(parts.version, whole.version)
    rates = [
        row["lr"] for row in read_history(os.path.join(whole.version, HISTORY)) if "val_acc_epoch" in row
    ]
    assert rates[0] == 1e-6 and rates[-1] < 1e-6  # else this shows nothing
    losses = [
        row["val_loss_epoch"]
        for row in read_history(os.path.join(whole.version, HISTORY))
        if "val_loss_epoch" in row
    ]
    expected, best = [1e-6], math.inf
    for loss in losses[:-1]:  # with no patience, each loss that is not lower lets the next epoch's rate fall
        lower = loss < best * (1 - 1e-4)
        best = min(best, loss) if lower else best
        expected.append(expected[-1] * (1 if lower else 0.9))
    assert rates == pytest.approx(expected, rel=1e-9, abs=0)
    content = published_checkpoints.read_container(whole.checkpoint)
    assert content["optimizer_states"][0]["param_groups"][0]["lr"] == rates[-1]
    assert content["lr_schedulers"][0]["last_epoch"] == 3  # three losses seen, the fourth not yet


def test_a_stage_ends_where_a_loss_is_low_enough(tmp_path, place, first):
    history = [row for row in read_history(os.path.join(first.version, HISTORY)) if "val_acc_epoch" in row]
    between = (history[0]["trn_loss_epoch"] + history[1]["trn_loss_epoch"]) / 2
    assert history[1]["trn_loss_epoch"] < between < history[0]["trn_loss_epoch"]
    values = dataclasses.replace(FIRST, stop=StopRule(trn_loss=between, max_epochs=3))
    assert train(place, tmp_path, values).epochs == 2
    values = dataclasses.replace(FIRST, stop=StopRule(trn_loss=between, min_epochs=3, max_epochs=9))
    assert train(place, tmp_path, values).epochs == 3


def test_the_checkpoint_is_the_published_container(first):
    content = published_checkpoints.read_container(first.checkpoint)
    assert (content["epoch"], content["global_step"]) == (3, 9)
    assert content["state_dict"]["criterion.kernel"].shape == (16, 10)
    (optimizer,) = content["optimizer_states"]
    sizes = [len(group["params"]) for group in optimizer["param_groups"]]
    assert sizes == [len(content["state_dict"]) - 1, 1]
    assert {group["lr"] for group in optimizer["param_groups"]} == {1e-3}
    assert content["callbacks"]["ModelCheckpoint"]["monitor"] == "val_acc_epoch"
    names = sorted(os.listdir(os.path.dirname(first.checkpoint)))
    assert len(names) == 4 and LAST in names


def test_half_precision_needs_a_gpu(place, tmp_path):
    with pytest.raises(Refusal, match="precision 16 needs a GPU.*set precision to 32"):
        train(place, tmp_path, recipe=dataclasses.replace(RECIPE, precision=16))
    assert not os.listdir(str(tmp_path))


def test_a_loss_that_is_not_finite_ends_the_run_before_the_update(place, tmp_path):
    run = stage_run(place)
    training = DripTraining(run, ALONE, torch.device("cpu"))
    training.to_device()
    with torch.no_grad():
        training.network.criterion.kernel[0, 0] = float("nan")
    before = [parameter.detach().clone() for parameter in training.network.backbone.parameters()]
    with pytest.raises(Refusal, match="the loss is nan, expected a finite number"):
        training.step(1, 2, next(iter(run.data.batches.training(1))))
    assert all(torch.equal(*pair) for pair in zip(before, training.network.backbone.parameters()))


class Exchange:
    """Stands for processes; keeps the device of what they exchange, which NCCL has to find on a GPU."""

    def gather(self, tensor):
        self.device = tensor.device
        return torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]])


class AlwaysSkips:
    """A Precision whose scaler skips each update."""

    def unscale(self, *arguments):
        return True

    def refuse_further_skip(self):
        pass


def test_a_skipped_step_is_exchanged_on_the_device_of_the_run(place):
    training = DripTraining(stage_run(place), ALONE, torch.device("cpu"))
    training.to_device()
    training.precision, training.processes = AlwaysSkips(), Exchange()
    training.device = torch.device("meta")  # stands for a GPU
    training._check(1.0, {}, torch.rand(2, 3, 4, 4))
    assert training.processes.device == training.device


def test_gradients_are_clipped_by_their_norm_together_as_torch_does():
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in ((3, 4), (5,), (4, 7))]
    for parameter in ours:
        parameter.grad = torch.randn_like(parameter)
    theirs = copy.deepcopy(ours)
    for parameter, one in zip(theirs, ours):
        parameter.grad = one.grad.clone()
    for largest in (2.5, 100.0):
        norm = clip(ours, largest, ALONE, ours[2:])
        assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, largest).item(), rel=1e-6)
        for one, other in zip(ours, theirs):
            assert torch.allclose(one.grad, other.grad, rtol=1e-6, atol=0)


def raise_in_flips(monkeypatch, where):
    """Let the step hflip raise in the views of `where`: training, validation or centroids."""
    seeds, making = view_batches.derive_seed, [None]

    def derive_seed(seed, system, what, *address):
        making[0] = address[0] if what == "view" else None
        return seeds(seed, system, what, *address)

    def hflip(image):
        if making[0] == where:
            raise ValueError("no flip")
        return whole(image)

    whole = drip_chain._STEPS["hflip"]
    monkeypatch.setattr(view_batches, "derive_seed", derive_seed)
    monkeypatch.setitem(drip_chain._STEPS, "hflip", hflip)


PLACES = ("training", "validation", "centroids")
ALL_VALIDATE = dataclasses.replace(RECIPE, limit_val_batches=1.0)


@pytest.mark.parametrize("where", PLACES)
def test_a_step_that_always_raises_ends_the_run_wherever_views_are_made(
    place, first, tmp_path, monkeypatch, where
):
    raise_in_flips(monkeypatch, where)
    with pytest.raises(Refusal, match=r"augmentation steps raise in more than 0.01 of all views.*: hflip \d"):
        train(place, tmp_path, SECOND, ALL_VALIDATE, first.checkpoint)
    assert (tmp_path / "W.pickle").exists() is (where != "centroids")
    with pytest.raises(Refusal, match="train that stage first, one epoch at least"):
        last_checkpoint(tmp_path)


@pytest.mark.parametrize("at", [(0, 0), (0, 2), (1, 1)])
@pytest.mark.parametrize("where", PLACES)
def test_raised_steps_are_counted_over_a_resume(place, first, tmp_path, monkeypatch, where, at):
    def interrupt(epoch, step, result):
        if (epoch, step) == at:
            raise KeyboardInterrupt

    raise_in_flips(monkeypatch, where)
    recipe, start = dataclasses.replace(ALL_VALIDATE, max_raised=1.0), first.checkpoint
    whole = train(place, tmp_path / "whole", SECOND, recipe, start)
    assert whole.metrics["raised_hflip"] >= 3 and set(whole.metrics) > {"raised_steps"}
    with pytest.raises(KeyboardInterrupt):
        train(place, tmp_path / "killed", SECOND, recipe, start, on_step=interrupt)
    assert train(place, tmp_path / "killed", SECOND, recipe, start).metrics == whole.metrics


class HalfOnCpu(Precision):
    """Half precision as on a GPU, with a scale that is too large at first."""

    def __init__(self, bits, device):
        assert bits == 16
        super().__init__(32, device)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=65536.0)

    def autocast(self):
        return torch.autocast("cpu", dtype=torch.float16)


@pytest.mark.skipif(not hasattr(torch.amp, "GradScaler"), reason="this torch has a GradScaler for GPUs only")
@pytest.mark.parametrize("at", [(0, 1), (0, 2), (1, 0), (2, 1)])
def test_steps_that_the_scaler_skips_are_counted_over_a_resume(place, tmp_path, monkeypatch, at):
    def interrupt(epoch, step, result):
        if (epoch, step) == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(training_steps, "Precision", HalfOnCpu)
    recipe = dataclasses.replace(RECIPE, precision=16)
    whole = train(place, tmp_path / "whole", recipe=recipe)
    skipped = whole.metrics["skipped_steps"]
    assert 0 < skipped < whole.steps
    with pytest.raises(KeyboardInterrupt):
        train(place, tmp_path / "killed", recipe=recipe, on_step=interrupt)
    resumed = train(place, tmp_path / "killed", recipe=recipe)
    assert resumed.done < whole.done or at == (0, 1)
    assert resumed.metrics == whole.metrics
    assert_same_stage(resumed.version, whole.version)
    content = published_checkpoints.read_container(resumed.checkpoint)
    assert content["native_amp_scaling_state"]["scale"] == 65536.0 / 2**skipped
    (state, *_) = content["optimizer_states"][0]["state"].values()
    assert state["step"] == whole.steps - skipped


def test_a_rule_that_was_changed_within_an_epoch_leaves_that_epoch_out(place, tmp_path, first):
    def interrupt(epoch, step, result):
        if (epoch, step) == (2, 2):  # a checkpoint is there of the step before
            raise KeyboardInterrupt

    for number, rule in enumerate((StopRule(max_epochs=2), StopRule(max_epochs=1), StopRule(trn_loss=99.0))):
        folder = tmp_path / str(number)
        with pytest.raises(KeyboardInterrupt):
            train(place, folder, on_step=interrupt)
        result = train(place, folder, dataclasses.replace(FIRST, stop=rule))
        assert (result.epochs, result.done, result.steps) == (2, 0, 6)
        names = os.listdir(os.path.dirname(result.checkpoint))
        assert len(names) == 3 and not [name for name in names if WORK_NAME.fullmatch(name)]
        assert_same_stage(result.version, train(place, tmp_path / "two", TWO_EPOCHS).version)
        assert result.metrics == train(place, tmp_path / "two", TWO_EPOCHS).metrics


def test_fewer_best_checkpoints_are_kept_after_a_resume(place, tmp_path, first):
    scores = {}
    for name in os.listdir(os.path.dirname(train(place, tmp_path).checkpoint)):
        if name != LAST:
            content = published_checkpoints.read_container(
                os.path.join(str(tmp_path), "lightning_logs/version_0/checkpoints", name)
            )
            scores[name] = content["encore"]["row"]["val_acc_epoch"]
    assert len(scores) == 3
    result = train(place, tmp_path, recipe=dataclasses.replace(RECIPE, save_top_k=1))
    (kept,) = set(os.listdir(os.path.dirname(result.checkpoint))) - {LAST}
    assert scores[kept] == max(scores.values())


def test_the_disk_that_is_asked_for_is_that_at_the_end_of_an_epoch(place, first, tmp_path, monkeypatch):
    """The largest of all sums before a file is renamed over the one before; files have heads besides."""
    wide = dataclasses.replace(SHAPE, embedding=2048)
    run = stage_run(place, dataclasses.replace(SECOND, stop=StopRule(max_epochs=5)), start=first.checkpoint)
    run = run._replace(shape=wide, recipe=dataclasses.replace(RECIPE, save_top_k=2, save_every=1))
    sums, rename = [], os.replace

    def replace(old, new):
        files = (os.path.join(folder, name) for folder, _, names in os.walk(str(tmp_path)) for name in names)
        sums.append(sum(map(os.path.getsize, files)))
        rename(old, new)

    monkeypatch.setattr(os, "replace", replace)
    train_stage(run, str(tmp_path), "cpu")
    parameters = sum(parameter.numel() for parameter in build(wide, 0, 16).parameters())
    assert run.disk() == 4 * (3 * 6 * parameters + 2 * 16 * 2048)
    assert 0.75 * run.disk() < max(sums) < 1.05 * run.disk()


def test_another_number_of_classes_is_said_once(place, first, capsys):
    start = StartWeights(first.checkpoint, False)

    def said(classes, processes=ALONE):
        start.load(build(SHAPE, 0, classes, processes))
        return capsys.readouterr().err

    expected = "encore: {}: of 10 classes, this stage has 16: its kernel is not taken\n"
    assert said(16) == expected.format(first.checkpoint)
    assert said(16, Processes(0, 2)) == expected.format(first.checkpoint)
    assert said(16, Processes(1, 2)) == said(10) == ""


def test_a_missing_start_is_refused(place, tmp_path):
    with pytest.raises(Refusal, match="missing.ckpt: no such file: train that stage first"):
        stage_run(place, start=str(tmp_path / "missing.ckpt"))
