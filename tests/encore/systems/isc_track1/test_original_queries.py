import pytest

from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.original_queries import original_queries
from tests.encore.systems.isc.pictures import Pictures

QUERIES = Pictures({"Q0000{}.jpg".format(number): bytes([number]) for number in range(6)})


def augmented(*ids):
    return Pictures({"{}.jpg".format(name): b"" for name in ids})


def test_queries_are_those_whose_whole_picture_was_augmented():
    found = original_queries(
        QUERIES, augmented("Q00004_0", "Q00004_10", "Q00002_1000", "Q00002_0", "Q00002_20")
    )
    assert found.names == ["Q00002.jpg", "Q00004.jpg"] and len(found) == 2
    assert [found.read(row) for row in range(2)] == [b"\2", b"\4"]


def test_augmented_queries_of_another_set_are_refused():
    with pytest.raises(Refusal, match=r"found Q00007_0 \(2 in all\)"):
        original_queries(QUERIES, augmented("Q00001_0", "Q00009_0", "Q00007_0"))
    with pytest.raises(Refusal, match="found none that ends in _0"):
        original_queries(QUERIES, augmented("Q00001_10"))
