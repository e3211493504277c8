import os
import pickle
import random

import numpy as np
import pytest
from PIL import Image

from encore.data.shards import ShardWriter, write_manifest
from encore.runtime.refusal import Refusal
from encore.systems.drip.sample_pictures import SamplePictures
from encore.systems.drip.samples import (
    ID_SPACES,
    SampleIds,
    check_ground_truth,
    id_space,
    read_id_list,
    seeded_order,
    training_samples,
    write_id_list,
)

IMAGENET = SampleIds(["I0000004", "I0000001", "I0000003"])


@pytest.mark.parametrize(
    "sample_id, folder",
    [
        ("T000000", "training_images"),
        ("R999999", "reference_images"),
        ("Q99999", "query_images"),
        ("I1431166", "imagenet_images"),
        ("F476583", "face_frames"),
    ],
)
def test_the_first_letter_selects_the_folder(sample_id, folder):
    space = id_space(sample_id)
    assert space.folder == folder
    assert space.sample_id(int(sample_id[1:])) == sample_id


def test_published_counts():
    assert {letter: space.published_count for letter, space in ID_SPACES.items()} == {
        "T": 1000000,
        "R": 1000000,
        "Q": 50000 + 50000,
        "I": 1281167 + 50000 + 100000,
        "F": 476584,
    }


@pytest.mark.parametrize(
    "wrong", ["X000001", "", "T00001", "T0000001", "I000001", "Q0000a", "T000001\n", None]
)
def test_an_unknown_id_is_refused_by_name(wrong):
    with pytest.raises(Refusal) as refusal:
        SampleIds(["T000000", wrong])
    assert repr(wrong) in str(refusal.value)


def test_sample_ids_are_a_sequence():
    ids = SampleIds.numbered("T", [0, 10, 999999]) + IMAGENET
    texts = ["T000000", "T000010", "T999999", "I0000004", "I0000001", "I0000003"]
    assert list(ids) == texts and len(ids) == 6 and ids[-1] == "I0000003"
    assert list(ids[1:4]) == texts[1:4]
    assert pickle.loads(pickle.dumps(ids)) == ids != ids[:5]
    # random.choice draws from it as from the list: the published draw sequence.
    one, other = random.Random(3), random.Random(3)
    assert [one.choice(ids) for _ in range(9)] == [other.choice(texts) for _ in range(9)]
    with pytest.raises(Refusal, match="1000000: no number of an id like T000000"):
        SampleIds.numbered("T", [1000000])


def test_label_is_the_place_and_the_pool_is_what_is_no_class():
    faces = SampleIds(["F000002", "F000000"])
    samples = training_samples(2, 1, 1, 4, IMAGENET, faces)
    assert list(samples.classes) == ["T000000", "T000001", "I0000004", "F000002"]
    assert list(samples.overlay_pool) == ["T000002", "T000003", "I0000001", "I0000003"]


def test_without_facebook_classes_the_pool_holds_none_of_their_pictures():
    samples = training_samples(0, 1, 0, 4, IMAGENET)
    assert list(samples.classes) == ["I0000004"]
    assert list(samples.overlay_pool) == ["I0000001", "I0000003"]


def test_all_facebook_pictures_leave_imagenet_alone_in_the_pool():
    assert list(training_samples(4, 0, 0, 4, IMAGENET).overlay_pool) == list(IMAGENET)


@pytest.mark.parametrize(
    "counts, message",
    [
        ((5, 0, 0, 4, IMAGENET), "n_facebook_samples: expected 0 to 4, .* found 5"),
        ((1, 4, 0, 4, IMAGENET), "n_imagenet_samples: expected 0 to 3, .* found 4"),
        ((1, 0, 1, 4, IMAGENET), "n_frm_face_samples: expected 0 to 0, .* found 1"),
        ((-1, 0, 0, 4, IMAGENET), "n_facebook_samples: .* found -1"),
        ((0, 0, 0, 4, IMAGENET), "all 0"),
        ((4, 3, 0, 4, IMAGENET), "overlay pool: empty: all 4 training and 3 ImageNet"),
        ((1, 1, 0, 4, ["T000000"]), "T000000: expected ids of imagenet_images only"),
    ],
)
def test_too_few_samples_are_refused(counts, message):
    with pytest.raises(Refusal, match=message):
        training_samples(*counts)


@pytest.mark.parametrize(
    "form",
    [list, tuple, np.array, lambda ids: np.array(ids, dtype=object), lambda ids: [np.str_(i) for i in ids]],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_published_lists_are_read_in_their_order(tmp_path, form, protocol):
    path = tmp_path / "ImageNet_samples_v.pickle"
    path.write_bytes(pickle.dumps(form(list(IMAGENET)), protocol=protocol))
    assert read_id_list(path, "I") == IMAGENET


def test_a_recorded_order_is_read_back(tmp_path):
    write_id_list(tmp_path / "order.txt", IMAGENET)
    assert (tmp_path / "order.txt").read_text() == "I0000004\nI0000001\nI0000003\n"
    assert read_id_list(tmp_path / "order.txt", "I") == IMAGENET


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_list_that_asks_for_code_is_refused_and_runs_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.pickle").write_bytes(pickle.dumps(["I0000000", Harmful()]))
    with pytest.raises(Refusal, match="list.pickle asks to run .*mkdir"):
        read_id_list(tmp_path / "list.pickle", "I")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "content, message",
    [
        (["I0000001", "I0000002", "I0000001"], "the id I0000001 stands 2 times"),
        (["I0000001", "X0000002"], "entry 1: expected an id like I0000000, found 'X0000002'"),
        (["I0000001", "F000002"], "entry 1: expected an id like I0000000, found 'F000002'"),
        (["I0000001", 2], "entry 1: .* found 2"),
        ({"I0000001": 1}, "expected a pickled list .* found dict"),
        (np.array([["I0000001"]]), "expected a pickled list .* found ndarray"),
    ],
)
def test_a_bad_list_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "list.pickle").write_bytes(pickle.dumps(content))
    with pytest.raises(Refusal, match="list.pickle: " + message):
        read_id_list(tmp_path / "list.pickle", "I")


def test_a_missing_list_is_refused(tmp_path):
    with pytest.raises(Refusal, match="list.pickle: cannot be read .*No such file"):
        read_id_list(tmp_path / "list.pickle", "I")


def test_a_seeded_order_is_a_permutation_of_its_own_letter_and_seed():
    order = seeded_order("I", 1000, 0)
    assert sorted(order) == list(SampleIds.numbered("I", range(1000)))
    assert list(order) != sorted(order)
    assert seeded_order("I", 1000, 0) == order != seeded_order("I", 1000, 1)
    assert [text[1:] for text in seeded_order("F", 1000, 0)] != [text[2:] for text in order]
    # The same on every numpy and Python.
    assert list(seeded_order("I", 6, 0)) == SIX
    assert len(order.digest) == 64 and order.digest != order[:999].digest


SIX = ["I0000000", "I0000005", "I0000002", "I0000001", "I0000004", "I0000003"]


def test_the_ground_truth_is_the_existing_format(tmp_path):
    path = tmp_path / "public_ground_truth.csv"
    path.write_text("query_id,reference_id\nQ00000,\nQ00001,R000007\nQ00002,R999999\n")
    assert check_ground_truth(path) == (3, 2)
    path.write_text("query_id,reference_id\nQ00000,T000001\n")
    with pytest.raises(Refusal, match="expected an id like R000000, found 'T000001'"):
        check_ground_truth(path)
    with pytest.raises(Refusal, match="none.csv: cannot be read"):
        check_ground_truth(tmp_path / "none.csv")


def picture_tree(root):
    for folder, name, mode in (
        ("training_images", "T000001.jpg", "L"),
        ("training_images", "T000000.jpg", "RGB"),
        ("imagenet_images", "I0000003.jpg", "CMYK"),
    ):
        os.makedirs(str(root / folder), exist_ok=True)
        Image.new(mode, (8, 8)).save(str(root / folder / name))


def test_pictures_are_found_by_id_in_their_own_mode(tmp_path):
    picture_tree(tmp_path)
    pictures = pickle.loads(pickle.dumps(SamplePictures(tmp_path)))
    assert [pictures.open(i).mode for i in ("T000000", "T000001", "I0000003")] == ["RGB", "L", "CMYK"]
    assert pictures.read("T000001") == (tmp_path / "training_images" / "T000001.jpg").read_bytes()
    assert pictures.count("T") == 2
    pictures.require(SampleIds(["T000001", "I0000003", "T000000"]))
    with pytest.raises(Refusal, match="training_images: no T000002.jpg .2 pictures such"):
        pictures.require(SampleIds(["T000001", "T000002", "T000003"]))
    with pytest.raises(Refusal, match="imagenet_images: no I0000000.jpg"):
        pictures.read("I0000000")
    with pytest.raises(Refusal, match="query_images: no such folder"):
        pictures.read("Q00000")
    with pytest.raises(Refusal, match="'T000000_SYN': expected a sample id like T000000"):
        pictures.read("T000000_SYN")
    (tmp_path / "training_images" / "T000000.jpg").write_bytes(b"")
    with pytest.raises(Refusal, match="T000000: the file is empty"):
        SamplePictures(tmp_path).open("T000000")


def test_pictures_of_a_data_set_are_found_in_any_order(tmp_path):
    folder = tmp_path / "training_images"
    os.makedirs(str(folder))
    writer = ShardWriter(folder, 0)
    for number in (2, 0, 1):
        writer.add("T00000{}.jpg".format(number), b"%d" % number, number)
    write_manifest(folder, [writer.close()], "recipe")
    pictures = SamplePictures(tmp_path)
    assert [pictures.read("T00000{}".format(number)) for number in range(3)] == [b"0", b"1", b"2"]


def test_an_empty_folder_has_no_picture(tmp_path):
    os.makedirs(str(tmp_path / "face_frames"))
    with pytest.raises(Refusal, match="face_frames: no F000000.jpg"):
        SamplePictures(tmp_path).read("F000000")
