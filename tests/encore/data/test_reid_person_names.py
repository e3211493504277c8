"""Names of Market-1501, DukeMTMC-reID, CUHK03 and MSMT17."""

import json

import pytest
from golden_files import golden

from encore.data.person_names import NAMINGS, identity_text, parse
from encore.runtime.refusal import Refusal


@pytest.mark.parametrize("state", ["S", "H"])
@pytest.mark.parametrize("naming", ["market", "msmt"])
def test_published_names(state, naming):
    with open(str(golden("reid/parts_%s.json" % state))) as file:
        rows = json.load(file)["names_" + naming]
    assert rows and all(parse(path, naming) == (label, camera) for path, label, camera in rows)


@pytest.mark.parametrize(
    "naming, name, label, camera, text",
    [
        ("market", "0002_c1s1_000451_03.jpg", 2, 1, "0002"),
        ("market", "a/c7/-1_c3s1_000101_01.jpg", -1, 3, "-1"),
        ("duke", "0001_c2_f0046182.jpg", 1, 2, "0001"),
        ("duke", "7140_c8_f0001.jpg", 7140, 8, "7140"),
        ("cuhk03", "1_001_1_01.png", 10001, 1, "1_001"),
        ("cuhk03", "5_843_2_10.png", 50843, 2, "5_843"),
        ("msmt", "0000_000_01_0303morning_0015_0.jpg", 0, 1, "0000"),
    ],
)
def test_one_of_each(naming, name, label, camera, text):
    assert parse(name, naming) == (label, camera) and identity_text(name, naming) == text


def test_labels_of_cuhk03_differ_between_camera_pairs():
    names = ["%d_%03d_1_01.png" % (pair, person) for pair in range(1, 6) for person in (1, 2, 843)]
    assert len({parse(name, "cuhk03").label for name in names}) == len(names)


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("name", ["Thumbs.db", "12_c1.jpg", "abcd_c1s1.jpg", "0002_cXs1.jpg", "0002.jpg", ""])
def test_a_name_that_does_not_parse(naming, name):
    with pytest.raises(Refusal, match="does not parse") as caught:
        parse("some/where/" + name, naming)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_naming():
    with pytest.raises(Refusal, match="expected one of cuhk03, duke, market, msmt"):
        parse("0002_c1s1_000451_03.jpg", "veri")
