"""The embedded pictures of drip training: the tar is what build_drip.py makes, and what training can use."""

import hashlib
import importlib.util
import io
import json
import pathlib
import tarfile

import numpy as np
import pytest
import yaml
from PIL import Image

from encore.systems.drip.imagenet_tree import open_imagenet

MINI = pathlib.Path(__file__).parents[4] / "mini"
SHA256 = "d48990614dae91f52c93b533e7633a47e80b207c5f0ae3451e7cd83c6299cd5c"


@pytest.fixture(scope="module")
def files():
    """Name -> bytes of the tar's members."""
    with tarfile.open(str(MINI / "drip.tar"), "r:") as tar:
        members = tar.getmembers()
        assert {(member.mtime, member.uid, member.gid, member.mode) for member in members} == {
            (0, 0, 0, 0o644)
        }
        return {member.name: tar.extractfile(member).read() for member in members}


def builder():
    spec = importlib.util.spec_from_file_location("build_drip", str(MINI / "build_drip.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def opened(data):
    return Image.open(io.BytesIO(data))


def test_the_tar_is_the_recorded_one():
    assert hashlib.sha256((MINI / "drip.tar").read_bytes()).hexdigest() == SHA256


def test_the_screens_are_drawn_again_to_the_pixel(files):
    build = builder()
    places = json.loads(files["screens/bboxes.json"].decode("ascii"))
    assert list(places) == list(build.SCREENS)
    for name, values in build.SCREENS.items():
        stored = opened(files["screens/" + name])
        assert np.array_equal(np.asarray(stored), np.asarray(build.screen(*values)))
        left, upper, right, lower = places[name]
        assert 0 <= left < right <= stored.width and 0 <= upper < lower <= stored.height
        # The place is empty: one colour, in which the rest of the screen is not drawn.
        assert stored.crop((left, upper, right, lower)).getcolors() == [
            ((right - left) * (lower - upper), build.DARK)
        ]


def test_the_tree_holds_each_tile_once(files):
    build = builder()
    names = [form.format(number) for form, numbers in build.SPLITS for number in numbers]
    stored = {name[len("imagenet/") :] for name in files if name.startswith("imagenet/")}
    assert sorted(names) == sorted(stored) and len(names) == 31
    for name, tile in zip(names, build.tiles()):
        picture = opened(files["imagenet/" + name])
        assert picture.mode == tile.mode and picture.size == tile.size == (96, 96)
        difference = np.asarray(picture, dtype=float) - np.asarray(tile, dtype=float)
        assert np.abs(difference).mean() < 8  # JPEG, no more


def test_its_published_order_is_not_that_of_a_listing(files):
    source = open_imagenet(str(MINI / "drip.tar") + "#imagenet")
    assert source.names == ["I{:07d}.jpg".format(number) for number in range(31)]
    listed = [data for name, data in sorted(files.items()) if name.startswith("imagenet/")]
    numbered = [source.read(place) for place in range(31)]
    assert numbered != listed and sorted(numbered) == sorted(listed)


def test_every_source_has_its_licence():
    table = yaml.safe_load((MINI / "drip.yaml").read_text(encoding="utf-8"))
    assert sum(row["tiles"] for row in table["imagenet"]["sources"]) == 31
    assert all(row["licence"] and row["credit"] for row in table["imagenet"]["sources"])
    assert table["screens"]["licence"] and table["screens"]["screens"] == 6
