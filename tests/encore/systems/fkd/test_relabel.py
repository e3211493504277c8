import dataclasses
import json
import os
from pathlib import Path

import pytest
import torch
from formula_weights import formula_weights
from golden_files import FOLDER, golden

from encore.data.class_folders import ClassFolders
from encore.runtime.parameters import from_mapping
from encore.runtime.refusal import Refusal
from encore.systems.fkd.batch_order import BatchOrder
from encore.systems.fkd.distilled_batches import DistilledBatches
from encore.systems.fkd.label_conversion import to_published
from encore.systems.fkd.labels import open_labels
from encore.systems.fkd.networks import NetworkShape, build
from encore.systems.fkd.relabel import RelabelRecipe, relabel
from tests.encore import killed_run

IMAGES = FOLDER / "fkd/images"
RECIPE = RelabelRecipe(seed=5, batch=16, epochs=3, size=32, workers=0)


class Teacher(torch.nn.Module):
    """Five averages of the picture as logits; keeps what it was shown, and may end the process."""

    def __init__(self, die_at=None):
        super().__init__()
        self.shown, self.die_at = [], die_at

    def forward(self, x):
        if len(self.shown) == self.die_at:
            killed_run.die()
        self.shown.append(x.clone())
        return torch.stack([x[:, i % 3, i::5].mean((1, 2)) for i in range(5)], dim=1)


def run(folder, recipe=RECIPE, teacher=None, **options):
    return relabel(
        recipe, ClassFolders(IMAGES), teacher or Teacher(), str(folder), 5, device="cpu", **options
    )


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*.*")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels") / "whole"
    run(folder)
    return contents(folder)


@pytest.mark.parametrize("layout", ["store", "published"])
@pytest.mark.parametrize("mix, half", [("cutmix", True), ("mixup", True), ("none", False)])
def test_training_sees_what_the_teacher_saw(tmp_path, mix, half, layout):
    teacher = Teacher()
    labels = run(tmp_path / "store", dataclasses.replace(RECIPE, mix=mix, half=half), teacher)
    assert not teacher.training
    if layout == "published":
        to_published(labels, tmp_path / "published")
    labels = open_labels(tmp_path / layout)
    labels.check(ClassFolders(IMAGES), 16, 3, 42, mix)
    batches, shown = DistilledBatches(ClassFolders(IMAGES), labels, 32), iter(teacher.shown)
    for epoch in range(3):
        for batch in batches.loader(epoch):
            inputs = batches.inputs(batch)
            assert torch.equal(inputs, next(shown))
            expected = Teacher()(inputs)
            assert torch.equal(batch.logits, expected.half() if half else expected)
            assert batch.mix.kind == mix
    assert next(shown, None) is None


@pytest.mark.parametrize("workers", [1, 2])
def test_number_of_processes_does_not_matter(tmp_path, whole, workers):
    run(tmp_path / "labels", dataclasses.replace(RECIPE, workers=workers))
    assert contents(tmp_path / "labels") == whole


def test_each_order_draws_its_epochs_one_after_the_other(tmp_path, monkeypatch):
    drawn, draw = [], BatchOrder._draw
    monkeypatch.setattr(
        BatchOrder, "_draw", lambda order, number: drawn.append(number) or draw(order, number)
    )
    run(tmp_path / "labels", dataclasses.replace(RECIPE, workers=1, epochs=4))
    # the loader's, ahead, and that of the labels: a shared one would go back and draw epochs again
    assert sorted(drawn) == sorted(2 * [0, 2, 4, 6])


def test_ranges_of_epochs_add_up(tmp_path, whole):
    first, second = Teacher(), Teacher()
    assert run(tmp_path / "labels", epochs=[2, 0], teacher=first) is None
    labels = run(tmp_path / "labels", epochs=range(1, 2), teacher=second)
    assert labels.epochs == 3 and contents(tmp_path / "labels") == whole
    assert (len(first.shown), len(second.shown)) == (6, 3)
    with pytest.raises(Refusal, match="expected some of 0 to 2"):
        run(tmp_path / "labels", epochs=[3])


@pytest.mark.parametrize("die_at", [1, 3, 5, 8])
def test_killed_anywhere(tmp_path, whole, die_at):
    """Batches 1 of 9 to 8 of 9; whole epochs are kept, the others made alike."""
    process = killed_run.start(run, tmp_path / "labels", teacher=Teacher(die_at))
    assert killed_run.finish(process) == -9
    teacher = Teacher()
    run(tmp_path / "labels", teacher=teacher)
    left = [name for name in os.listdir(tmp_path / "labels") if ".tmp-" not in name]
    found = contents(tmp_path / "labels")
    assert {name: found[name] for name in left} == whole
    assert len(teacher.shown) == 9 - die_at // 3 * 3


def test_longer_run_keeps_what_is_there(tmp_path, whole):
    run(tmp_path / "labels", dataclasses.replace(RECIPE, epochs=2))
    teacher = Teacher()
    run(tmp_path / "labels", teacher=teacher)
    assert contents(tmp_path / "labels") == whole and len(teacher.shown) == 3


@pytest.mark.parametrize(
    "change, named", [({"seed": 6}, "seed"), ({"cutmix": 0.5}, "cutmix"), ({"mix": "mixup"}, "mix")]
)
def test_labels_of_another_recipe_are_not_mixed_in(tmp_path, change, named):
    run(tmp_path / "labels", epochs=[0])
    with pytest.raises(Refusal, match="labels made with another %s are there" % named):
        run(tmp_path / "labels", dataclasses.replace(RECIPE, **change))


def test_epochs_of_another_recipe_are_not_taken_in(tmp_path):
    """What the description's other values do not show: the seed of the draws, the normalisation."""
    for change in ({"seed": 6}, {"cutmix": 0.5}, {"flip": 0.25}, {"mean": (0.5, 0.5, 0.5)}):
        name = sorted(change)[0]
        run(tmp_path / name, epochs=[0, 2])
        other = run(tmp_path / (name + "_other"), dataclasses.replace(RECIPE, **change))
        os.rename(other.epoch_path(1), str(tmp_path / name / "epoch_001.safetensors"))
        with pytest.raises(Refusal, match="epoch_001.safetensors: an epoch of other labels"):
            run(tmp_path / name)


def test_labels_say_what_the_teacher_was_shown(tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=1, mean=(0.5, 0.25, 0.1), deviation=(0.2, 0.3, 0.4))
    labels, teacher, images = run(tmp_path, recipe, teacher=Teacher()), Teacher(), ClassFolders(IMAGES)
    assert (labels.mean, labels.deviation) == (recipe.mean, recipe.deviation)
    labels.check(images, 16, 1, 42, "cutmix", 32, None, recipe.mean, recipe.deviation)
    with pytest.raises(Refusal, match="of mean"):
        labels.check(images, 16, 1, 42, "cutmix", 32, None, RECIPE.mean, recipe.deviation)
    batches = DistilledBatches(images, labels, 32)
    for batch in batches.loader(0):
        assert torch.equal(batch.logits, teacher(batches.inputs(batch)).half())


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_the_chance_of_a_flip_leaves_the_crops_alone(tmp_path, chance):
    labels = run(tmp_path / "labels", dataclasses.replace(RECIPE, flip=chance))
    published = run(tmp_path / "published")
    for number in range(3):
        found, expected = labels.load(1, number), published.load(1, number)
        assert bool((found.flips == bool(chance)).all())
        assert torch.equal(found.coords, expected.coords)


def test_every_epoch_and_picture_has_its_own_draws(tmp_path):
    labels = run(tmp_path / "labels")
    loaded = [labels.load(epoch, number) for epoch in range(3) for number in range(3)]
    coords = torch.cat([batch.coords for batch in loaded])
    assert len({tuple(row) for row in coords.tolist()}) == 120
    assert len({batch.mix.share for batch in loaded}) == 9
    assert 30 < int(torch.cat([batch.flips for batch in loaded]).sum()) < 90
    other = run(tmp_path / "other", dataclasses.replace(RECIPE, seed=6))
    assert not torch.equal(other.load(0, 0).coords, loaded[0].coords)
    assert torch.equal(other.load(0, 0).indices, loaded[0].indices)


def test_top_classes(tmp_path):
    labels = run(tmp_path / "labels", dataclasses.replace(RECIPE, top_k=2, temperature=4.0))
    full = run(tmp_path / "full")
    found = torch.softmax(labels.load(1, 0).logits.float() / 4, 1)
    expected = torch.softmax(full.load(1, 0).logits.float() / 4, 1)
    assert torch.allclose(found.sum(1), torch.ones(16))
    assert torch.allclose(found.topk(2).values, expected.topk(2).values, atol=1e-3)


def test_infinite_logits(tmp_path):
    class Loud(Teacher):
        def forward(self, x):
            return super().forward(x) * 1e6

    with pytest.raises(
        Refusal,
        match="epoch 0, batch 0: the teacher's logits of .* the first is .*, are not finite in float16",
    ):
        run(tmp_path / "labels", teacher=Loud())


@pytest.mark.parametrize("name", ["cutmix_fp16", "mixup_fp16", "none_fp32", "cutmix_fp16_224"])
def test_logits_of_the_published_generator(name):
    """The formula teacher on the replayed batches: float32 logits of magnitude up to 118, to 1e-4."""
    stored = json.loads(golden("fkd/relabel/%s.json" % name).read_text())
    teacher = build(NetworkShape(classes=5), 0)
    teacher = formula_weights(teacher, stored["config"]["teacher_seed"]).eval()
    labels = open_labels(FOLDER / "fkd/labels" / name)
    batches = DistilledBatches(ClassFolders(IMAGES), labels, stored["config"]["size"])
    for batch, row in zip(batches.loader(0), stored["rows"]):
        with torch.no_grad():
            logits = teacher(batches.inputs(batch))
        assert torch.allclose(logits, torch.tensor(row["logits_float32"]), rtol=0, atol=1e-4)


def test_parameters():
    recipe = from_mapping(RelabelRecipe, {"mean": [0.5, 0.5, 0.5], "mix": "none"}, "params.yaml: fkd.relabel")
    assert recipe.mean == (0.5, 0.5, 0.5) and recipe.batch == 1024
    for wrong in ({"mix": "both"}, {"min_scale": 0.5, "max_scale": 0.2}, {"mean": [0.5]}, {"cutmix": 0}):
        with pytest.raises(Refusal):
            from_mapping(RelabelRecipe, wrong, "params.yaml: fkd.relabel")
