import os
import shutil

import pytest
from PIL import Image

from encore.runtime.canary import images as part
from encore.runtime.canary.comparison import compare
from encore.runtime.canary.golden import read, write
from encore.runtime.refusal import Refusal


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("golden"))
    write("pillow", part.images(), folder)
    return read("pillow", folder)


def drifted(golden):
    return {row["operation"] for row in compare(part.images(), golden) if row["verdict"] == "drifted"}


def test_shapes_and_same_again(golden):
    results = part.images()
    assert results["JPEG decode"].shape == (2, 96, 96, 3)
    assert results["resize lanczos"].shape == (2, 32, 40, 3)
    assert part.decoded(results["JPEG encode"]).shape == (2, 96, 96, 3)
    assert {row["verdict"] for row in compare(results, golden)} == {"bit-identical"}


@pytest.mark.parametrize("name", ["coffee.png", "astronaut.jpg"])
def test_a_tampered_photograph_is_refused(tmp_path, name):
    folder = str(tmp_path / "photographs")
    shutil.copytree(part.FOLDER, folder)
    part.images(folder)
    with open(os.path.join(folder, name), "r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(Refusal, match=name + ": not the photograph"):
        part.images(folder)
    os.remove(os.path.join(folder, name))
    with pytest.raises(Refusal, match=name + ": this photograph of the canary is missing"):
        part.images(folder)


@pytest.mark.parametrize("changes", [{"quality": 70}, {"subsampling": "4:4:4"}, {"subsampling": "4:2:2"}])
def test_another_encoding_is_drift(golden, monkeypatch, changes):
    original = Image.Image.save
    monkeypatch.setattr(
        Image.Image,
        "save",
        lambda image, file, kind, **named: original(image, file, kind, **dict(named, **changes)),
    )
    assert drifted(golden) == {"JPEG encode"}


def test_another_filter_is_drift(golden, monkeypatch):
    monkeypatch.setattr(Image, "BICUBIC", Image.LANCZOS)
    assert drifted(golden) == {"resize bicubic"}


def test_wrong_decoding_is_drift(golden, monkeypatch):
    original = part._pixels
    monkeypatch.setattr(part, "_pixels", lambda content: original(content)[..., ::-1])
    assert "JPEG decode" in drifted(golden)
