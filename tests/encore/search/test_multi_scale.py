import numpy as np
import pytest

from encore.runtime.refusal import Refusal
from encore.search.multi_scale import l2_normalised, mean_of_scales
from tests.golden_files import golden


@pytest.mark.parametrize("side", ["query", "references", "train"])
def test_equals_the_published_descriptors(side):
    with np.load(str(golden("isc/track2_descriptors.npz"))) as published:
        mean = mean_of_scales([published["in/{}_{}".format(side, scale)] for scale in (200, 256, 320, 400)])
        assert mean.dtype == np.float32
        assert np.abs(mean - published["multi_scale/" + side]).max() < 1e-5


def test_worked_example():
    # mean of (1, 0) and (0, 1) is (.5, .5), of length sqrt(.5): normalised (sqrt(.5), sqrt(.5))
    mean = mean_of_scales([np.array([[1, 0]], np.float32), np.array([[0, 1]], np.float32)])
    assert mean == pytest.approx(np.sqrt(0.5), abs=1e-7)


def test_scales_of_unequal_shape_are_refused():
    with pytest.raises(Refusal, match="equal shape"):
        mean_of_scales([np.ones((2, 3)), np.ones((3, 3))])
    with pytest.raises(Refusal, match="equal shape"):
        mean_of_scales([])


def test_a_descriptor_without_direction_is_refused_by_row():
    with pytest.raises(Refusal, match="length 0.0 in row 1"):
        l2_normalised(np.array([[1, 0], [0, 0]], np.float32))
    with pytest.raises(Refusal, match="length nan in row 0"):
        l2_normalised(np.array([[np.nan, 0]], np.float32))
