"""The embedded digits: a fixed split, each picture once, the pixels of scikit-learn."""

import hashlib
import importlib.util
import pathlib
import tarfile

import numpy as np
import pytest
import yaml

from encore.data.class_folders import ClassFolders
from encore.data.images import decode_image

MINI = pathlib.Path(__file__).parents[4] / "mini"
SHA256 = "c37027c42ca411a46e3ecba60e61908e9a547d16f9e04ec0e2acf696b786af04"
TRAIN = [134, 137, 133, 138, 136, 137, 136, 135, 131, 135]
TEST = [44, 45, 44, 45, 45, 45, 45, 44, 43, 45]


def folders(split):
    return ClassFolders("%s#%s" % (MINI / "digits.tar", split))


def test_the_tar_is_the_recorded_one():
    assert hashlib.sha256((MINI / "digits.tar").read_bytes()).hexdigest() == SHA256


@pytest.mark.parametrize("split, counts", [("train", TRAIN), ("test", TEST)])
def test_the_split_and_its_table(split, counts):
    found = folders(split)
    assert found.classes == tuple("0123456789")
    assert np.bincount(found.labels).tolist() == counts
    with open(str(MINI / "digits.yaml"), encoding="utf-8") as file:
        table = yaml.safe_load(file)
    assert table["pictures"][split] == counts and table["licence"] == "CC BY 4.0"


def test_every_digit_is_in_one_split_only():
    numbers = [int(name[2:6]) for split in ("train", "test") for name in folders(split).names]
    assert sorted(numbers) == list(range(1797))


def test_pictures_are_small_and_grey():
    found = folders("test")
    for number in (0, 200, len(found) - 1):
        image = decode_image(found.read(number))
        assert image.size == (8, 8) and image.mode == "L" and np.asarray(image).max() > 200


def test_members_have_fixed_properties():
    with tarfile.open(str(MINI / "digits.tar"), "r:") as tar:
        members = tar.getmembers()
    assert {(member.mtime, member.uid, member.gid, member.mode) for member in members} == {(0, 0, 0, 0o644)}
    names = [member.name for member in members]
    assert len(names) == len(set(names)) == 1797


def test_pixels_are_those_of_scikit_learn():
    pytest.importorskip("sklearn")
    source = importlib.util.spec_from_file_location("build_digits", str(MINI / "build_digits.py"))
    build_digits = importlib.util.module_from_spec(source)
    source.loader.exec_module(build_digits)
    pictures = {split: folders(split) for split in ("train", "test")}
    names = {split: {name: i for i, name in enumerate(found.names)} for split, found in pictures.items()}
    rows = build_digits.digits()
    assert len(rows) == 1797
    for split, digit, number, pixels in rows[::7]:
        data = pictures[split].read(names[split]["%d/%04d.png" % (digit, number)])
        assert np.array_equal(np.asarray(decode_image(data)), pixels)
