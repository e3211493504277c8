import math

import numpy
import pytest

from encore.runtime.canary.comparison import compare, grey_levels, scaled_ulp, worst
from encore.runtime.canary.golden import SAMPLE, read, sample, write
from encore.runtime.refusal import Refusal


def floats(*values):
    return numpy.array(values, dtype=numpy.float32)


def golden(tmp_path, **results):
    write("a-key", {name.replace("_", " "): value for name, value in results.items()}, str(tmp_path))
    return read("a-key", str(tmp_path))


def test_scaled_ulp_by_hand():
    # largest magnitude 3: one unit is 2^1 * 2^-23 = 2^-22
    assert scaled_ulp(floats(-3, 1e-3 + 2.0**-21), floats(-3, 1e-3)) == pytest.approx(2, rel=1e-3)
    # the same error counts millions of plain ULP of a small value; here it is two
    assert scaled_ulp(floats(-3, 2.0**-21), floats(-3, 0)) == 2.0
    assert scaled_ulp(floats(3 + 2.0**-22), floats(3)) == 1.0
    assert scaled_ulp(floats(1), floats(1)) == 0.0


def test_not_finite_is_infinitely_far():
    assert scaled_ulp(floats(1, math.nan), floats(1, 1)) == math.inf
    assert scaled_ulp(floats(1, math.inf), floats(1, 1)) == math.inf


def test_grey_levels_by_hand():
    ours, recorded = numpy.array([[0, 255]], numpy.uint8), numpy.array([[3, 254]], numpy.uint8)
    assert grey_levels(ours, recorded) == (2.0, 3)
    assert grey_levels(ours, recorded.T) == (math.inf, math.inf)


def test_verdicts_of_a_matrix_product(tmp_path):
    """Its bound is 64 units of 2^-23 at a largest magnitude of 1."""
    recorded = golden(tmp_path, matrix_product=floats(1, 0.5))

    def verdict(*values):
        (row,) = compare({"matrix product": floats(*values)}, recorded)
        assert row["operation"] == "matrix product" and row["compared_with"] == "a-key"
        return row["verdict"], row["distance"]

    assert verdict(1, 0.5) == ("bit-identical", {"ulp": 0.0, "bound": 64.0})
    assert verdict(1, 0.5 + 5 * 2.0**-24) == ("within 3 ULP", {"ulp": 2.5, "bound": 64.0})
    assert verdict(1, 0.5 + 64 * 2.0**-23)[0] == "within 64 ULP"
    assert verdict(1, 0.5 + 65 * 2.0**-23)[0] == "drifted"
    assert verdict(1, math.nan) == ("drifted", {"ulp": None, "bound": 64.0})


def test_a_change_outside_the_sample_is_not_bit_identical(tmp_path):
    values = numpy.linspace(1, 2, 4 * SAMPLE).astype(numpy.float32)
    recorded = golden(tmp_path, softmax=values)
    kept = set(sample(numpy.arange(len(values)).astype(numpy.float32)).astype(int))
    assert len(kept) == SAMPLE
    values[min(set(range(len(values))) - kept)] += 1e-6
    (row,) = compare({"softmax": values}, recorded)
    assert row["verdict"] == "within 1 ULP"
    values[min(set(range(len(values))) - kept)] = math.nan
    (row,) = compare({"softmax": values}, recorded)
    assert row["verdict"] == "drifted" and row["distance"]["ulp"] is None


def test_verdicts_of_pixels(tmp_path):
    pixels = numpy.zeros((1, 10, 10, 3), numpy.uint8)
    recorded = golden(tmp_path, JPEG_decode=pixels, resize_bicubic=pixels)

    def verdict(name, level, count):
        changed = pixels.copy()
        changed.reshape(-1)[:count] = level
        return compare({name: changed}, recorded)[0]["verdict"]

    assert verdict("JPEG decode", 0, 0) == "bit-identical"
    assert verdict("JPEG decode", 30, 3) == "differs: mean 0.30, max 30 grey levels"
    assert verdict("JPEG decode", 65, 1) == "drifted"
    assert verdict("JPEG decode", 2, 200) == "drifted"
    assert verdict("resize bicubic", 1, 3) == "differs: mean 0.01, max 1 grey levels"
    assert verdict("resize bicubic", 2, 1) == "drifted"


def test_worst_of_all():
    def rows(*verdicts):
        return [{"verdict": verdict} for verdict in verdicts]

    assert worst(rows("bit-identical")) == "bit-identical"
    assert worst(rows("within 3 ULP", "bit-identical")) == "within"
    assert worst(rows("differs: mean 0.30, max 30 grey levels", "within 3 ULP")) == "differs"
    assert worst(rows("bit-identical", "drifted", "differs: mean 0.30, max 30 grey levels")) == "drifted"


def test_an_operation_without_golden_value_is_refused(tmp_path):
    with pytest.raises(Refusal, match="nothing for 'softmax': record"):
        compare({"softmax": floats(1)}, golden(tmp_path, matrix_product=floats(1)))
