import os
import pickle
import signal
import tarfile

import numpy as np
import pytest
from PIL import Image

from encore.data.manifest import verify_manifest
from encore.data.shards import ShardSet
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.systems.drip import resized_copies
from encore.systems.drip.picture_folders import source_identity
from encore.systems.drip.resized_copies import square_copy
from encore.systems.drip.sample_pictures import SamplePictures
from encore.systems.drip.samples import read_id_list, training_samples
from encore.systems.drip.screenshot_templates import read_templates
from tests.encore.killed_run import die, finish, start
from tests.measured_again import measured_again
from tests.stages.drip.drip_size import DRIP, PICTURES, recorded, run, write_parameters, write_size

OUTPUT = "data/drip/pictures"
GIVEN = dict(PICTURES, query_images=None, ground_truth=None)
"""Without the stage before it."""


def test_everything_that_training_needs_lies_in_one_folder(tmp_path, monkeypatch):
    write_size(tmp_path)
    run(tmp_path, monkeypatch, "queries")
    run(tmp_path, monkeypatch, "pictures")
    counts = {"training_images": 192, "imagenet_images": 31, "face_frames": 0}
    counts.update(query_images=56, reference_images=32)
    found = recorded(tmp_path, "metrics", "pictures")
    assert found.pop("bytes") > 200 * 500
    assert measured_again("drip/pictures", tmp_path) == set(counts) | {"templates", "true_pairs"}
    assert found == dict(counts, templates=6, missing_templates=0, labelled_queries=56, true_pairs=32)
    folder = tmp_path / OUTPUT
    for name, count in counts.items():
        assert verify_manifest(folder / name, content=True) == []
        assert len(ShardSet(folder / name)) == count
    assert (folder / "public_ground_truth.csv").read_bytes() == (
        tmp_path / "data/drip/queries/ground_truth.csv"
    ).read_bytes()
    assert len(read_templates(folder / "templates", 4).found) == 6
    imagenet, faces = (
        read_id_list(str(folder / "ids" / name), letter)
        for name, letter in (("imagenet.txt", "I"), ("faces.txt", "F"))
    )
    assert len(faces) == 0
    # The seeded order: a permutation from the legacy generator, of all numbers.
    draws = np.random.RandomState(derive_seed(0, "drip", "samples", "I") % 2**32).permutation(31)
    assert list(imagenet) == ["I{:07d}".format(number) for number in draws]
    samples = training_samples(140, 20, 0, 192, imagenet)
    pictures = SamplePictures(folder)
    pictures.require(samples.classes)
    pictures.require(samples.overlay_pool)
    assert pictures.open(samples.classes[150]).size == (32, 32)


def test_the_mini_tree_is_numbered_in_the_published_order(tmp_path, monkeypatch):
    write_size(tmp_path, pictures=GIVEN)
    run(tmp_path, monkeypatch, "pictures")
    pictures = SamplePictures(tmp_path / OUTPUT)
    # By hand: 23 of train (by WordNet's digits, then 8 before 40, 9 before 10), then 4 of val and 4 of test.
    expected = {
        "I0000000": "train/n04548280/n04548280_8.JPEG",
        "I0000003": "train/n08271042/n08271042_2.JPEG",
        "I0000005": "train/n08271042/n08271042_10.JPEG",
        "I0000022": "train/n13388245/n13388245_10026.JPEG",
        "I0000023": "val/ILSVRC2012_val_00000001.JPEG",
        "I0000030": "test/ILSVRC2012_test_00000099.JPEG",
    }
    with tarfile.open(DRIP) as tar:
        for sample_id, path in expected.items():
            source = tar.extractfile("imagenet/" + path).read()
            assert pictures.read(sample_id) == square_copy(source, 32)


def test_a_given_order_may_leave_pictures_out_and_must_name_none_that_is_missing(tmp_path, monkeypatch):
    write_size(tmp_path, pictures=dict(GIVEN, imagenet_order="order.pickle"))
    ids = ["I0000007", "I0000030", "I0000000"]
    (tmp_path / "order.pickle").write_bytes(pickle.dumps(np.array(ids), protocol=4))
    run(tmp_path, monkeypatch, "pictures")
    assert (tmp_path / OUTPUT / "ids" / "imagenet.txt").read_text().split() == ids
    (tmp_path / "order.pickle").write_bytes(pickle.dumps(ids + ["I0000031"]))
    with pytest.raises(Refusal, match="no I0000031.jpg"):
        run(tmp_path, monkeypatch, "pictures")


def test_another_seed_is_another_order_of_the_same_pictures(tmp_path, monkeypatch):
    lists = []
    for seed in (0, 1):
        write_size(tmp_path, pictures=dict(GIVEN, order_seed=seed, training_images=None))
        run(tmp_path, monkeypatch, "pictures")
        lists.append((tmp_path / OUTPUT / "ids" / "imagenet.txt").read_text().split())
    assert lists[0] != lists[1] and sorted(lists[0]) == sorted(lists[1])


def test_templates_that_are_too_few_are_refused_before_the_first_copy(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(resized_copies, "square_copy", lambda data, size: made.append(size))
    values = {key: value for key, value in GIVEN.items() if key != "templates_at_least"}
    write_size(tmp_path, pictures=values)
    with pytest.raises(Refusal, match="expected at least 101 screenshot templates, found 6 of 6"):
        run(tmp_path, monkeypatch, "pictures")
    assert made == [] and not (tmp_path / OUTPUT).exists()


def test_missing_inputs_are_refused(tmp_path, monkeypatch):
    write_size(tmp_path)
    with pytest.raises(Refusal, match="data/drip/queries: missing: run the stage that makes it first"):
        run(tmp_path, monkeypatch, "pictures")
    write_parameters(tmp_path, pictures=GIVEN)
    (tmp_path / "inputs" / "drip_imagenet.json").unlink()
    with pytest.raises(Refusal, match="inputs/drip_imagenet.json: missing: run `encore data` first"):
        run(tmp_path, monkeypatch, "pictures")


def test_a_folder_of_faces_needs_no_record(tmp_path, monkeypatch):
    write_size(tmp_path, pictures=dict(GIVEN, face_frames="faces", training_images=None))
    with pytest.raises(Refusal, match="faces: missing"):
        run(tmp_path, monkeypatch, "pictures")
    (tmp_path / "faces").mkdir()
    for number in range(3):
        picture = Image.new("RGB", (9, 7), (10 * number, 200, 30))
        picture.save(str(tmp_path / "faces" / "F{:06d}.jpg".format(number)), "JPEG")
    run(tmp_path, monkeypatch, "pictures")
    assert recorded(tmp_path, "metrics", "pictures")["face_frames"] == 3
    folder = tmp_path / OUTPUT
    assert sorted(read_id_list(str(folder / "ids/faces.txt"), "F")) == ["F000000", "F000001", "F000002"]
    recipe = ShardSet(folder / "face_frames").manifest.recipe_digest
    picture.save(str(tmp_path / "faces" / "F000001.jpg"), "JPEG", quality=20)  # another picture of that name
    run(tmp_path, monkeypatch, "pictures")
    assert ShardSet(folder / "face_frames").manifest.recipe_digest != recipe
    # The other folders stand in inputs.yaml: there the record is asked for.
    (tmp_path / "inputs" / "drip_references.json").unlink()
    with pytest.raises(Refusal, match="inputs/drip_references.json: missing"):
        run(tmp_path, monkeypatch, "pictures")


def test_a_plain_folder_is_known_by_its_files(tmp_path):
    folder, found = tmp_path / "training_images", []
    folder.mkdir()
    for name, content, when in (("a.jpg", b"12", 10), ("b.jpg", b"34", 20), ("b.jpg", b"345", 20)):
        (folder / name).write_bytes(content)
        os.utime(str(folder / name), ns=(0, when))
        found.append(source_identity(str(folder)))
    os.utime(str(folder / "a.jpg"), ns=(0, 11))  # replaced by one of that size
    found.append(source_identity(str(folder)))
    (folder / "b.jpg").rename(folder / "c.jpg")
    found.append(source_identity(str(folder)))
    assert len(set(found)) == 5 and all(len(digest) == 64 for digest in found)
    (folder / ".DS_Store").write_bytes(b"")
    (folder / "thumbs").mkdir()
    assert source_identity(str(folder)) == found[-1]
    folder.rename(tmp_path / "moved")
    assert source_identity(str(tmp_path / "moved")) == found[-1]


def test_a_tar_is_known_by_its_state_and_a_data_set_by_its_manifest(tmp_path, monkeypatch):
    with tarfile.open(str(tmp_path / "a.tar"), "w"):
        pass
    found = [source_identity(str(tmp_path / "a.tar") + "#" + prefix) for prefix in ("x", "y")]
    os.utime(str(tmp_path / "a.tar"), ns=(0, 11))
    assert len({*found, source_identity(str(tmp_path / "a.tar") + "#x")}) == 3
    write_size(tmp_path, pictures=GIVEN)
    run(tmp_path, monkeypatch, "pictures")
    folder = tmp_path / OUTPUT / "training_images"
    assert source_identity(str(folder)) == ShardSet(folder).manifest.digest


def counted(folder, killed_at=None):
    """In a process of its own, a run that records every copy; number `killed_at` kills it."""
    made = open(str(folder / "made"), "w")

    def square(source, size):
        made.write("*")
        made.flush()
        if made.tell() == killed_at:
            die()
        return square_copy(source, size)

    resized_copies.square_copy = square
    with pytest.MonkeyPatch.context() as patch:
        run(folder, patch, "pictures")


def test_a_killed_run_goes_on_with_its_shard(tmp_path, monkeypatch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
        write_size(folder, pictures=GIVEN)
    run(whole, monkeypatch, "pictures")
    assert finish(start(counted, cut, 120)) == -signal.SIGKILL
    assert not (cut / "data").exists()
    assert finish(start(counted, cut)) == 0
    assert len((cut / "made").read_text()) == 192 + 31 + 32 - 100  # two shards of 50 were whole
    files = [
        os.path.relpath(os.path.join(place, name), str(whole / OUTPUT))
        for place, _, names in os.walk(str(whole / OUTPUT))
        for name in names
    ]
    assert len(files) > 20
    for name in files:
        assert (cut / OUTPUT / name).read_bytes() == (whole / OUTPUT / name).read_bytes()
