import csv
import io
import os

import pytest
from overlay_pictures import parameters, picture_folders, small_set
from PIL import Image

from encore.data.augment.assets import Assets
from encore.data.augment.draws import Draws
from encore.data.manifest import Manifest, verify_manifest
from encore.data.shards import ShardSet
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.systems.isc.generation import jpeg
from encore.systems.isc_overlays.pasting import PastingRecipe, pasted
from encore.systems.isc_overlays.training_set import BOXES, generate_overlay_set, read_overlay_set


@pytest.fixture
def folders(tmp_path):
    picture_folders(tmp_path)
    return tmp_path


def test_every_picture_is_there_with_its_boxes(folders):
    made = small_set(folders)
    assert verify_manifest(made, content=True) == []
    assert sorted(os.listdir(str(made))) == sorted(
        [BOXES, "manifest.json", "rejected.json"]
        + ["shard-0000{}{}".format(i, end) for i in range(3) for end in (".tar", ".index.npy")]
    )
    parts = read_overlay_set(made)
    assert [len(parts[part].rows) for part in ("training", "validation")] == [21, 9]
    names = ShardSet(made).names
    assert names == ["{}_{}.jpg".format(i, copy) for i in range(10) for copy in range(3)]
    for labelled in parts.values():
        for row, boxes in zip(labelled.rows, labelled.boxes):
            width, height = Image.open(io.BytesIO(labelled.source.read(row))).size
            assert boxes.shape == (len(boxes), 5)
            assert (
                (boxes[:, :2] >= 0).all() and (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()
            )
    counts = [len(boxes) for labelled in parts.values() for boxes in labelled.boxes]
    assert 0 in counts and max(counts) > 1


def test_any_picture_can_be_made_again_alone(folders):
    made = small_set(folders)
    source, number = ShardSet(made), 4
    draws = Draws(derive_seed(0, "isc_overlays", "generate", number, 2))
    foreign = lambda: Image.new("RGB", (48, 48), (20 * draws.choice([0, 1, 3]), 90, 120))  # noqa: E731
    image = Image.open(str(folders / "training" / "T000004.png"))
    expected, boxes = pasted(image, foreign, PastingRecipe(), Assets("basic"), draws)
    row = source.index_of("4_2.jpg")
    assert source.read(row) == jpeg(expected, 100)
    labelled = read_overlay_set(made)["training"]
    assert (labelled.boxes[labelled.rows.index(row)] == boxes).all()


def test_same_with_two_workers_another_seed_differs(folders):
    one, two = small_set(folders, "one"), small_set(folders, "two", workers=2)
    other = small_set(folders, "other", seed=1)
    assert Manifest.read(one).digest == Manifest.read(two).digest != Manifest.read(other).digest
    assert (one / BOXES).read_text() == (two / BOXES).read_text() != (other / BOXES).read_text()


def test_foreign_pictures_of_one_part_are_not_in_the_other(folders):
    always = PastingRecipe(
        overlay_probability=1, emoji_probability=0, overlay_size=(0.3, 0.5), overlay_position=(0.2, 0.4)
    )
    parts = read_overlay_set(small_set(folders, pasting=always, copies=6))
    seen = {}
    for part, labelled in parts.items():
        corners = (
            Image.open(io.BytesIO(labelled.source.read(row))).getpixel((0, 0)) for row in labelled.rows
        )
        seen[part] = {int(round(corner[0] / 20.0)) for corner in corners}
    assert seen == {"training": {0, 1, 3}, "validation": {2}}


def test_a_killed_run_goes_on_to_the_same_set(folders, monkeypatch):
    whole = small_set(folders, "whole")
    os.makedirs(str(folders / "cut"))
    calls = []

    def stop(image, quality):
        calls.append(1)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return jpeg(image, quality)

    monkeypatch.setattr("encore.systems.isc_overlays.training_set.jpeg", stop)
    with pytest.raises(KeyboardInterrupt):
        generate_overlay_set(str(folders / "cut"), parameters(folders), "digest")
    generate_overlay_set(str(folders / "cut"), parameters(folders), "digest")
    assert len(calls) == 20 + 30 - 12  # the first shard's twelve pictures were kept
    assert (folders / "cut" / BOXES).read_text() == (whole / BOXES).read_text()
    assert Manifest.read(folders / "cut") == Manifest.read(whole)


def test_an_unreadable_picture_is_refused_by_name(folders):
    (folders / "training" / "T000003.png").write_bytes(b"")
    with pytest.raises(Refusal, match="T000003.png: the file is empty"):
        small_set(folders)


def test_too_few_pictures_are_refused(folders):
    with pytest.raises(Refusal, match="1 pictures cannot be parted into training and validation"):
        small_set(folders, every=10)
    with pytest.raises(Refusal, match="foreign_pictures: 2 are too few to hold out a share of 0.3"):
        small_set(folders, "few", foreign_pictures=2)
    with pytest.raises(Refusal, match="4 pictures, the chain draws among 5"):
        small_set(folders, "other", foreign_pictures=5)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda rows: rows[1:], "expected the header image,part,class"),
        (
            lambda rows: rows + [["99_0.jpg", "training", "0", "0", "0", "9", "9"]],
            "boxes.csv:[0-9]+: expected",
        ),
        (lambda rows: rows + [["0_0.jpg", "test", "0", "0", "0", "9", "9"]], "boxes.csv:[0-9]+: expected"),
        (lambda rows: rows + [["0_0.jpg", "training", "2", "0", "0", "9", "9"]], "no box of class 0 or 1"),
        (lambda rows: rows + [["0_0.jpg", "training", "0", "9", "0", "9", "9"]], "no box of class 0 or 1"),
        (lambda rows: rows + [["0_0.jpg", "training", "0", "a", "0", "9", "9"]], "no box of class 0 or 1"),
        (lambda rows: [row for row in rows if row[0] != "5_1.jpg"], "no line for 5_1.jpg"),
        (
            lambda rows: [row[:1] + ["training"] + row[2:] if row[0] != "image" else row for row in rows],
            "is empty",
        ),
    ],
)
def test_damaged_boxes_are_refused(folders, change, message):
    made = small_set(folders)
    with open(str(made / BOXES), encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    with open(str(made / BOXES), "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(change(rows))
    with pytest.raises(Refusal, match=message):
        read_overlay_set(made)


def test_missing_boxes_are_refused(folders):
    made = small_set(folders)
    os.unlink(str(made / BOXES))
    with pytest.raises(Refusal, match="boxes.csv: missing"):
        read_overlay_set(made)


def test_workers_do_not_count_as_recipe(folders):
    assert parameters(folders).recipe() == parameters(folders, workers=9, max_rejected=3).recipe()
    assert parameters(folders).recipe() != parameters(folders, seed=3).recipe()
