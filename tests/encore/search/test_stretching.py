import numpy as np
import pytest

from encore.runtime.refusal import Refusal
from encore.search.stretching import PUBLISHED, Stretching
from tests.golden_files import golden


@pytest.mark.parametrize("reduction, factor", [("avg", -2.5), ("avg", -2.0), ("min", -3.0)])
def test_equals_the_published_stretching(reduction, factor):
    name = "{}{}".format(reduction, factor)
    with np.load(str(golden("isc/track2_descriptors.npz"))) as published:
        queries, training = published["multi_scale/query"], published["multi_scale/train"]
        stretching = Stretching(5, factor, reduction)
        assert np.abs(stretching.stretched(queries, training) - published["stretched/" + name]).max() < 1e-5
        # the published norms carry the sign: -t
        assert (
            np.abs(
                stretching.training_similarity(queries, training) + published["stretch_norms/" + name]
            ).max()
            < 1e-5
        )


def test_the_published_values():
    assert (PUBLISHED.neighbours, PUBLISHED.factor, PUBLISHED.reduction) == (5, -2.5, "avg")


def test_worked_example():
    # products of (.6, .8) with (.8, .6), (0, 1), (-1, 0): .96, .8, -.6; the best 2: mean .88, second .8
    query, training = np.array([[0.6, 0.8]], np.float32), np.array([[0.8, 0.6], [0, 1], [-1, 0]], np.float32)
    # q * (-.88) * (-2.5) = 2.2 q
    assert Stretching(2, -2.5).stretched(query, training)[0] == pytest.approx([1.32, 1.76], abs=1e-6)
    # q * (-.8) * (-3) = 2.4 q
    assert Stretching(2, -3.0, "min").stretched(query, training)[0] == pytest.approx([1.44, 1.92], abs=1e-6)


def test_refusals():
    with pytest.raises(Refusal, match="reduction"):
        Stretching(reduction="mean")
    with pytest.raises(Refusal, match="neighbours"):
        Stretching(neighbours=0)
    with pytest.raises(Refusal, match="at least 5 training descriptors for stretching, found 4"):
        PUBLISHED.stretched(np.ones((1, 2), np.float32), np.ones((4, 2), np.float32))
