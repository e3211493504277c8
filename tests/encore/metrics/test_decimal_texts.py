import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encore.metrics.decimal_texts import decimal_texts


def texts(values, decimals=6):
    return [bytes(row[row != 0]).decode("ascii") for row in decimal_texts(values, decimals)]


def by_python(values, decimals=6):
    return ["%.*f" % (decimals, value) for value in np.asarray(values, dtype=np.float64).tolist()]


RANDOM = np.random.RandomState(0)
SAMPLES = {
    "scores": RANDOM.standard_normal(200000).astype(np.float32),
    "doubles": RANDOM.standard_normal(200000),
    "close to a tie, never one": (RANDOM.randint(-(10**7), 10**7, 100000) + 0.5) / 1e6,
    # multiples of 2^-7 / 10^6 * 5^6 ...: a tie at the sixth decimal needs 7 binary digits behind the point
    "true ties": RANDOM.randint(-(2**20), 2**20, 100000).astype(np.float32) / np.float32(2**7),
    "around zero": RANDOM.standard_normal(50000) * 1e-6,
    "of every size": RANDOM.standard_normal(50000) * 10.0 ** RANDOM.randint(-8, 25, 50000),
}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_equals_pythons_formatting(name):
    assert texts(SAMPLES[name]) == by_python(SAMPLES[name])


def test_true_ties_go_to_the_even_digit():
    # 1/128 = .0078125: a tie at the sixth decimal between .007812 and .007813; 3/128 = .0234375
    assert texts([1 / 128, 3 / 128, -1 / 128, -3 / 128]) == ["0.007812", "0.023438", "-0.007812", "-0.023438"]


def test_zeros_keep_their_sign():
    assert texts([0.0, -0.0, -1e-9, 1e-9, -5e-7]) == [
        "0.000000",
        "-0.000000",
        "-0.000000",
        "0.000000",
        "-0.000000",
    ]
    assert texts([]) == []


@settings(deadline=None, max_examples=200)
@given(
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5),
    decimals=st.integers(0, 16),
)
def test_any_numbers_and_decimals(values, decimals):
    assert texts(values, decimals) == by_python(values, decimals)


def test_a_product_that_is_not_exact_is_not_trusted_near_a_half():
    # 0.0000005 is a little below 5e-7 in binary, yet times 10^6 it is rounded to 0.5 exactly
    assert (5e-7 * 1e6, texts([5e-7, 1.5e-6, 2.5e-6])) == (0.5, by_python([5e-7, 1.5e-6, 2.5e-6]))


def test_numbers_without_digits_are_refused():
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite"):
            decimal_texts([1.0, value])
