import csv
import json
import os
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encore.metrics.predictions import PairIds, read_predictions
from encore.search.capped import Pairs
from encore.systems.matching.match_files import id_of, write_matches, write_rejected
from encore.systems.matching.matches import Matches
from encore.systems.matching.picture_listing import PictureListing

HOSTILE = [
    b'a, "b".png',
    b"line\nbreak\r.png",
    b"caf\xe9.jpg",
    "café.jpg".encode(),
    b"100%.jpg",
    b"100%25.jpg",
    "a\u2028b\x85c.png".encode(),
    b"sub/'quoted'.png",
    b"\x01\x7f",
]


class Kept:
    def __init__(self, places, rejected=()):
        self.places, self.rejected = np.array(places), list(rejected)


def listing(names):
    return PictureListing("/f", names, [0] * len(names), [0] * len(names), [True] * len(names))


def test_ordinary_names_stay_as_they_are():
    for name in ("photo 1.JPG", "sub/deep/ü;'(1)=+&.png", "Q00001"):
        assert id_of(name.encode()) == name
    assert id_of(b'a, "b"%.png') == "a%2C %22b%22%25.png"


@given(st.binary(min_size=1, max_size=12))
def test_every_name_comes_back_from_its_id(name):
    text = id_of(name)
    assert unquote_to_bytes(text) == name
    assert len(text.splitlines()) == 1 and not set(text) & set(',"\r\n')
    text.encode("utf-8")


def test_hostile_names_make_a_sound_file(tmp_path):
    known = listing(HOSTILE)
    order = list(range(len(HOSTILE)))
    pairs = Pairs(np.array(order), np.array(order[::-1]), np.linspace(1, -1, len(order)).astype(np.float32))
    path = str(tmp_path / "matches.csv")
    assert write_matches(path, Matches(pairs, 0, None), (known, Kept(order)), (known, Kept(order))) == 9
    ids = PairIds()
    found = read_predictions(path, ids)
    names = sorted(HOSTILE)
    assert [unquote_to_bytes(ids.queries.names[i]) for i in found.query] == names
    assert [unquote_to_bytes(ids.references.names[i]) for i in found.reference] == names[::-1]
    assert np.array_equal(found.score, pairs.score.astype(np.float64))
    with open(path, encoding="utf-8", newline="") as file:
        table = list(csv.reader(file))
    assert table[0] == ["query_id", "reference_id", "score"] and {len(row) for row in table} == {3}


def test_rows_are_those_of_the_readable_pictures(tmp_path):
    pairs = Pairs(np.array([1, 0]), np.array([0, 0]), np.array([0.5, 0.25], dtype=np.float32))
    queries, references = listing([b"a", b"b", b"c"]), listing([b"x", b"y"])
    path = tmp_path / "matches.csv"
    sides = (queries, Kept([0, 2], [(1, "it is empty")])), (references, Kept([1], [(0, "no picture")]))
    assert write_matches(str(path), Matches(pairs, 0, None), *sides) == 2
    assert path.read_text() == "query_id,reference_id,score\nc,y,0.5\na,y,0.25\n"
    write_rejected(str(tmp_path / "rejected.json"), dict(zip(("queries", "references"), sides)))
    assert json.loads((tmp_path / "rejected.json").read_text()) == [
        {"folder": "queries", "name": "b", "reason": "it is empty"},
        {"folder": "references", "name": "x", "reason": "no picture"},
    ]


@pytest.mark.parametrize("name", [b"plain.png", b"caf\xe9, 1.png"])
def test_the_id_leads_to_the_file(tmp_path, name):
    path = os.path.join(os.fsencode(str(tmp_path)), name)
    with open(path, "wb"):
        pass
    assert os.path.exists(os.path.join(str(tmp_path), os.fsdecode(unquote_to_bytes(id_of(name)))))
