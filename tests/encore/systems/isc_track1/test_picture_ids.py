import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.picture_ids import QUERIES, REFERENCES, Digits

NUMBERS = st.lists(st.integers(min_value=0, max_value=99999999), min_size=1, max_size=20)


@settings(deadline=None, max_examples=50)
@given(NUMBERS)
def test_numbers_are_those_that_int_reads(numbers):
    data = b",".join(b"%d" % number for number in numbers)
    end = np.cumsum([len(b"%d" % number) + 1 for number in numbers]) - 1
    start = np.append(0, end[:-1] + 1)
    assert Digits(data).number(start, end).tolist() == numbers


@pytest.mark.parametrize("text", [b"", b"123456789", b"12a4", b"/1", b":1", b"\xff1", b"-1", b" 1"])
def test_what_is_no_number_of_eight_digits_is_none(text):
    data = b"12" + text + b"34"
    assert Digits(data).number(np.array([2]), np.array([2 + len(text)])).tolist() == [-1]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 99999), st.integers(-1, 16382)), max_size=20))
def test_ids_come_back_as_they_were_and_sort_by_number_and_part(pictures):
    ids = ["Q{:05d}".format(n) + ("_{}".format(part) if part >= 0 else "") for n, part in pictures]
    codes = QUERIES.encode(ids, "here")
    assert codes.dtype == np.int32 and QUERIES.texts(codes) == ids
    assert list(zip(QUERIES.number(codes).tolist(), QUERIES.part(codes).tolist())) == pictures
    assert QUERIES.texts(QUERIES.whole(codes)) == [name.split("_")[0] for name in ids]
    assert np.argsort(codes, kind="stable").tolist() == sorted(range(len(ids)), key=lambda i: pictures[i])


def test_the_largest_reference_is_a_code():
    codes = REFERENCES.encode(["R999999_2046", "R000000", "R000007"], "here")
    assert (codes >= 0).all() and REFERENCES.texts(codes) == ["R999999_2046", "R000000", "R000007"]


NO_IDS = (
    "Q Q5000 Q500000 R50000 Q50000_ Q50000_01 Q50000_16383 Q50000-1 q50000 Q50000_1_2 Q5000a Q50000_x Qé000"
)


@pytest.mark.parametrize("name", NO_IDS.split() + ["", "Q50000_123456789", "Q50000 "])
def test_another_id_is_refused_by_row(name):
    with pytest.raises(Refusal, match="small.npy: row 2: expected an id like Q10000 or Q10000_13"):
        QUERIES.encode(["Q50000", name, "Q50001"], "small.npy")


def test_no_ids_are_no_codes():
    assert QUERIES.encode([], "here").shape == (0,)
