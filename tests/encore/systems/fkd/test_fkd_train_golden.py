"""Students' steps against the published trainer: same labels, pictures and start weights.

Bounds are those measured between torch 2.0.1 and 2.13 and between thread counts, from the README of the
published outputs: after three steps networks that differ in the last bit are too far apart.
"""

import hashlib
import json

import numpy as np
import pytest
import torch
from golden_files import FOLDER, golden

from encore.data.class_folders import ClassFolders
from encore.systems.fkd.distilled_batches import DistilledBatches, mixed_inputs
from encore.systems.fkd.labels import open_labels
from encore.systems.fkd.networks import NetworkShape, build
from encore.systems.fkd.tracking import HISTORY, LOG
from encore.systems.fkd.train_recipe import StudentRecipe
from encore.systems.fkd.training import Training, train_student
from tests.encore.systems.fkd.formula_weights import formula_weights

NAMES = sorted(
    path.stem
    for path in (FOLDER / "fkd" / "train").glob("*.json")
    if path.stem not in ("learning_rates", "none_fp32")
)
LOSS = (1e-6, 1e-5, 1e-3)
ALL = (1e-6, 1e-4, 1e-3)
TENSORS = (1e-6, 1e-3, 1e-2)
"""Of a single tensor: a BatchNorm bias near 0 moves by the learning rate times the sign of its gradient."""
GRADIENT = (1e-6, 1e-4, 1e-2)
STEPS = 3


class Published:
    """One run of the published trainer, and the same of ours up to its start."""

    def __init__(self, name):
        values = json.loads(golden("fkd/train/%s.json" % name).read_text())
        self.config, self.steps, self.logged = values["config"], values["steps"], values["logged"]
        self.chunks, self.lines = values["chunks"], values["stdout_iter_lines"]
        self.checkpoint = values["checkpoint"]
        arrays = np.load(str(golden("fkd/train/%s.npz" % name)))
        self.names, self.checksums = arrays["names"].tolist(), arrays["checksums"]
        self.labels = open_labels(str(FOLDER / "fkd" / "labels" / self.config["labels_name"]) + "/")
        self.images = ClassFolders(str(FOLDER / "fkd" / "images"))
        self.recipe = StudentRecipe(
            batch=self.config["batch"],
            accumulation=self.config["accum"],
            epochs=self.config["epochs"],
            schedule="cosine" if self.config["cos"] else "linear",
            optimizer="sgd" if self.config["sgd"] else "adamw",
            temperature=self.config["temperature"],
            mix=self.config["mix"] or "none",
            size=self.config["size"] or 224,
            validation_size=224,
            workers=0,
        )
        network = build(NetworkShape("resnet18", self.config["classes"]), 0)
        self.student = formula_weights(network, self.config["student_seed"])


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_three_steps_are_the_published_ones(name):
    run = Published(name)
    training = Training(run.recipe, run.student, run.labels, {}, torch.device("cpu"))
    chunks = iter(run.chunks)
    for step, batch in zip(range(STEPS), DistilledBatches(run.images, run.labels, run.recipe.size).loader(0)):
        losses = training.step(0, step, batch).terms.values()
        expected = [next(chunks) for _ in losses]
        mixed = mixed_inputs(batch.pixels, batch.mix).numpy()
        assert hashlib.sha256(mixed.tobytes()).hexdigest() == expected[0]["mixed_batch_sha256"]
        assert [chunk["batch"] for chunk in expected] == [step] * expected[0]["chunks"]
        np.testing.assert_allclose(list(losses), [chunk["loss"] for chunk in expected], rtol=LOSS[step])
        state = training.student.state_dict()
        found = [np.linalg.norm(state[key].double().numpy().ravel()) for key in run.names]
        expected = run.checksums[step, :, 1]
        np.testing.assert_allclose(found, expected, rtol=TENSORS[step])
        assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(expected), rel=ALL[step])
        gradient = torch.stack([p.grad.double().norm() for p in training.student.parameters()]).norm()
        assert gradient.item() == pytest.approx(run.steps[step]["gradient_l2"], rel=GRADIENT[step])
        rates = [group["lr"] for group in training.optimizer.param_groups]
        assert rates == run.steps[step]["lr"]


def test_a_run_logs_validates_and_saves_as_published(tmp_path, capsys):
    run = Published("cutmix_adamw_accum1")
    rates = []
    result = train_student(
        run.recipe,
        run.student,
        run.labels,
        run.images,
        run.images,
        str(tmp_path),
        device="cpu",
        on_step=lambda epoch, step, found: rates.append(found.learning_rate),
    )
    assert rates == [step["lr"][0] for step in run.steps]
    rows = [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()]
    assert len(rows) == len(run.logged)
    for row, expected in zip(rows, run.logged):
        assert set(row) == set(expected) | {"epoch", "step"}
        for name in ("train/lr", "train/epoch", "train/Top5", "val/epoch", "val/top5"):
            assert row.get(name) == expected.get(name)
    assert rows[0]["train/Top1"] == run.logged[0]["train/Top1"]
    assert rows[0]["train/loss"] == pytest.approx(run.logged[0]["train/loss"], rel=1e-4)
    assert rows[0]["val/loss"] == pytest.approx(run.logged[0]["val/loss"], rel=1e-2)
    assert rows[0]["val/top1"] == run.logged[0]["val/top1"]
    printed = [line for line in capsys.readouterr().out.splitlines() if "Iter" in line]
    assert printed == (tmp_path / LOG).read_text().splitlines()
    assert [line.split("loss")[0] for line in printed] == [line.split("loss")[0] for line in run.lines]
    assert [line.count("\t") for line in printed] == [line.count("\t") for line in run.lines]
    saved = torch.load(result.checkpoint, map_location="cpu")
    assert list(saved)[: len(run.checkpoint["keys"])] == run.checkpoint["keys"]
    assert saved["epoch"] == run.checkpoint["epoch"]
    assert list(saved["state_dict"])[:3] == run.checkpoint["state_dict_first_keys"]
    assert len(saved["state_dict"]) == run.checkpoint["state_dict_count"]
    assert saved["best_acc1"] == run.checkpoint["best_acc1"] == result.best_top1
    written = {path.name for path in tmp_path.iterdir() if path.name.endswith(".tar")}
    assert written == set(run.checkpoint["files"])


def test_labels_without_mixing_train_where_the_published_loader_fails(tmp_path):
    error = json.loads(golden("fkd/train/none_fp32.json").read_text())["error"]
    assert error.startswith("AttributeError")
    labels = open_labels(str(FOLDER / "fkd" / "labels" / "none_fp32"))
    images = ClassFolders(str(FOLDER / "fkd" / "images"))
    recipe = StudentRecipe(batch=16, accumulation=1, epochs=1, mix="none", size=64, workers=0)
    student = formula_weights(build(NetworkShape("resnet18", 5), 0), 202)
    losses = []
    train_student(
        recipe,
        student,
        labels,
        images,
        None,
        str(tmp_path),
        device="cpu",
        on_step=lambda epoch, step, found: losses.append(found.loss),
    )
    assert len(losses) == 3 and losses[2] < losses[0]
