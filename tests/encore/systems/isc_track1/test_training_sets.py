"""The 11 training sets: their plans, their classes of faces, and that sets with equal recipes share bits."""

import dataclasses
import json
import os

import pytest
from PIL import Image

from encore.data.augment.chain_recipe import PUBLISHED
from encore.data.augment.isc_chain import IscChain
from encore.data.shards import ShardSet
from encore.runtime.refusal import Refusal
from encore.systems.isc.generation import augment_once, copy_draws
from encore.systems.isc_track1.data_sets import DATA_SETS, data_set_of
from encore.systems.isc_track1.training_sets import (
    SharedChain,
    TrainingSetParameters,
    plan_training_set,
    write_training_set,
)

BIG, BW, FF, FF_BW = map(data_set_of, ("baseline_CC", "baseline_BW", "face_CC", "face_BW"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """images (8, of which every second makes a class), people (7), foreign (2)."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, count, prefix in (("images", 8, "T"), ("people", 7, "P"), ("foreign", 2, "F")):
        (folder / name).mkdir()
        for i in range(count):
            Image.effect_noise((60, 48), 20 + 9 * i).convert("RGB").save(
                str(folder / name / "{}{:06d}.png".format(prefix, i))
            )
    return folder


def parameters(folder, **changes):
    values = dict(
        images=str(folder / "images"),
        every=2,
        copies=3,
        quality=100,
        chain=SharedChain(32, str(folder / "foreign"), 2, "basic"),
        seed=3,
        workers=1,
        classes_per_shard=3,
        max_rejected=0,
    )
    return TrainingSetParameters(**dict(values, **changes))


def write_chosen(folder, source, numbers):
    folder.mkdir(exist_ok=True)
    chosen = [{"name": "P{:06d}.png".format(i), "boxes": [[0, 0, 9, 9]]} for i in numbers]
    (folder / "faces.json").write_text(json.dumps({"source": str(source / "people"), "pictures": chosen}))
    return folder


def made(folder, data_set, values, faces=None):
    plan = plan_training_set(data_set, values, faces)
    os.makedirs(str(folder))
    return write_training_set(folder, data_set, plan, values, "digest"), plan


def contents(folder):
    images = ShardSet(folder)
    return {name: images.read(i) for i, name in enumerate(images.names)}


def test_every_published_set_has_its_recipe(pictures):
    assert len(DATA_SETS) == 11
    for data_set in DATA_SETS:
        chain = parameters(pictures).of(data_set).chain
        assert chain.published() == dataclasses.replace(
            PUBLISHED[data_set.name.replace("_ff", "")], size=32, foreign_pictures=2
        )


def test_faces_follow_the_base_set_bit_for_bit_and_the_last_ones_go(pictures, tmp_path):
    faces = write_chosen(tmp_path / "faces", pictures, (6, 0, 1, 3, 5, 2))
    for base, with_faces in ((BIG, FF), (BW, FF_BW)):
        alone, plan = made(tmp_path / base.name, base, parameters(pictures))
        assert (alone.count, alone.classes, plan.face_classes, plan.dropped) == (12, 4, 0, 0)
        # 4 classes and 6 faces are 10: the last 2 faces go
        both, plan = made(tmp_path / with_faces.name, with_faces, parameters(pictures), faces)
        assert (both.count, both.classes, plan.face_classes, plan.dropped) == (24, 8, 4, 2)
        files, first = contents(tmp_path / with_faces.name), contents(tmp_path / base.name)
        assert {name: files[name] for name in first} == first
        assert set(files) - set(first) == {"{}_{}.jpg".format(c, j) for c in (4, 5, 6, 7) for j in range(3)}


def test_a_face_is_augmented_as_any_other_class(pictures, tmp_path):
    faces = write_chosen(tmp_path / "faces", pictures, (6, 0, 1, 3))
    values = parameters(pictures)
    made(tmp_path / "set", FF, values, faces)
    chain = values.of(FF).chain.make()
    picture = Image.open(str(pictures / "people" / "P000006.png"))
    draws = copy_draws((3, "isc_track1", "isc_100k_256_big"), 4, 2)  # the first face, its last copy
    assert contents(tmp_path / "set")["4_2.jpg"] == augment_once(picture, chain, draws, 100)
    assert isinstance(chain, IscChain)


def test_sets_are_independent_of_each_other(pictures):
    # The same chain on another set's address draws anew: no two of the nine share their random numbers.
    recipes = {data_set.recipe for data_set in DATA_SETS}
    first = {copy_draws((3, "isc_track1", recipe), 0, 1).random() for recipe in recipes}
    assert len(recipes) == len(first) == 9


def test_a_number_of_classes_that_does_not_divide_by_four_is_refused_before_the_work(pictures, tmp_path):
    with pytest.raises(Refusal, match="isc_100k_256_big from .*images: 3 classes, expected a multiple of 4"):
        plan_training_set(BIG, parameters(pictures, every=3), None)
    faces = write_chosen(tmp_path / "faces", pictures, (0, 1, 2))
    # 3 base classes and 3 faces: 2 faces go, 4 classes stay; with 1 face none has to go
    plan = plan_training_set(FF, parameters(pictures, every=3), faces)
    assert (len(plan.classes), plan.face_classes, plan.dropped) == (4, 1, 2)
    faces = write_chosen(tmp_path / "faces", pictures, (0,))
    assert len(plan_training_set(FF, parameters(pictures, every=3), faces).classes) == 4


@pytest.mark.parametrize("numbers", [(), (1, 2), (1, 2, 3)])
def test_too_few_faces_are_refused(pictures, tmp_path, numbers):
    faces = write_chosen(tmp_path / "faces", pictures, numbers)
    with pytest.raises(Refusal, match="{} pictures with faces on 4 classes".format(len(numbers))):
        plan_training_set(FF, parameters(pictures), faces)


def test_faces_of_another_source_are_refused(pictures, tmp_path):
    faces = write_chosen(tmp_path / "faces", pictures, (0, 1, 2, 9))
    with pytest.raises(Refusal, match="P000009.png is not in"):
        plan_training_set(FF, parameters(pictures), faces)
    with pytest.raises(Refusal, match="run the stage `faces` first"):
        plan_training_set(FF, parameters(pictures), tmp_path / "none")


def test_rejected_pictures_must_not_break_the_number_of_classes(pictures, tmp_path):
    source = tmp_path / "images"
    source.mkdir()
    for i in range(4):
        (source / "T{}.png".format(i)).write_bytes(
            (pictures / "images" / "T00000{}.png".format(i)).read_bytes()
        )
    (source / "T2.png").write_bytes(b"")
    values = parameters(pictures, images=str(source), every=1, max_rejected=1)
    with pytest.raises(Refusal, match="3 classes, expected a multiple of 4 .*rejected.json"):
        made(tmp_path / "set", BIG, values)
