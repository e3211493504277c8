"""Curves through costs whose growth is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.growth.fit import TooFewDecades, fit, judged, slope_of_n_log_n, upper_slope, worse

SIZES = [round(10 ** (half / 2)) for half in range(6, 14)]


def costs(of_n, noise=0.05, fixed=0.0, seed=0):
    """Costs at SIZES with noise of so large a share."""
    random = np.random.RandomState(seed)
    return [(fixed + of_n(n)) * np.exp(noise * random.standard_normal()) for n in SIZES]


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_the_exponent_comes_back_within_its_error(exponent):
    misses = []
    for seed in range(20):
        curve = fit(SIZES, costs(lambda n: 3e-6 * n**exponent, seed=seed))
        misses.append((curve.exponent - exponent) / (curve.quantile * curve.exponent_error))
    # 95 % intervals: of 20 at most a few may miss, and not all on one side
    assert sum(abs(miss) > 1 for miss in misses) <= 3
    assert min(misses) < 0 < max(misses)


def test_what_does_not_grow_with_n_is_told_from_what_does():
    exact = fit(SIZES, costs(lambda n: 1e-6 * n, noise=0, fixed=0.3))
    assert exact.fixed == pytest.approx(0.3, rel=1e-3)
    assert (exact.exponent, exact.coefficient) == pytest.approx((1.0, 1e-6), rel=1e-3)
    noisy = fit(SIZES, costs(lambda n: 1e-6 * n, noise=0.03, fixed=0.3))
    assert abs(noisy.exponent - 1) < 0.1 and 0.2 < noisy.fixed < 0.4


def test_the_curve_passes_through_the_points_it_was_made_of():
    values = costs(lambda n: 2e-7 * n * np.log(n), noise=0)
    curve = fit(SIZES, values)
    # n log n is no power of n: over three and a half decades one comes this near to it
    assert curve.at(SIZES) == pytest.approx(values, rel=0.06)
    assert np.log(curve.at(SIZES) / values).std() == pytest.approx(curve.residual, rel=0.5)


@pytest.mark.parametrize(
    ("of_n", "too_fast"),
    [
        (lambda n: 1e-6 * n, False),
        (lambda n: 1e-7 * n * np.log(n), False),
        (lambda n: 1e-8 * n**1.3, True),
        (lambda n: 1e-12 * n**2, True),
    ],
)
def test_worse_than_n_log_n_is_told(of_n, too_fast):
    curve = fit(SIZES, costs(of_n, noise=0.02))
    assert worse(curve, slope_of_n_log_n(curve)) == too_fast


def test_a_square_below_a_large_linear_part_shows_in_the_upper_decades():
    curve = fit(SIZES, costs(lambda n: 1e-6 * n + 1e-12 * n**2, noise=0.01))
    assert worse(curve, slope_of_n_log_n(curve))


def test_n_log_n_itself_has_the_slope_that_is_allowed():
    # d log(n log n) / d log n = 1 + 1 / ln n, between n = 31,623 and 3,162,278
    curve = fit(SIZES, costs(lambda n: n, noise=0))
    assert 1 + 1 / np.log(SIZES[-1]) < slope_of_n_log_n(curve) < 1 + 1 / np.log(SIZES[-1] / 100)


@pytest.mark.parametrize("sizes", [SIZES[:5], [10, 10**4], [10, 10**3, 10**4, 10**5]])
def test_too_few_decades_or_points_are_refused(sizes):
    with pytest.raises(TooFewDecades, match="expected 5 over 3 decades"):
        fit(sizes, sizes)


def test_a_slope_needs_three_sizes_in_the_upper_decades():
    with pytest.raises(TooFewDecades):
        upper_slope([1, 10, 10**5, 10**6], [1, 1, 1, 1])


# ---- verdicts


def points(seconds=lambda n: 1e-6 * n, memory=lambda n: 1e7 + 50 * n, files=lambda n: 5, objects=lambda n: 0):
    return [
        {
            "n": n,
            "processor_seconds": seconds(n),
            "peak_memory_bytes": memory(n),
            "open_files": files(n),
            "objects": objects(n),
        }
        for n in SIZES
    ]


def verdicts(per_object=None, **grows):
    found = judged(points(**grows), per_object)
    return {what: fits and fits["verdict"] for what, fits in found.items()}


def test_linear_growth_is_fine_everywhere():
    assert verdicts() == {
        "time": "n log n or better",
        "memory": "n or better",
        "open_files": "constant",
        "objects": None,
    }


def test_each_kind_of_growth_is_told():
    assert verdicts(seconds=lambda n: 1e-12 * n**2)["time"] == "worse than n log n"
    assert verdicts(memory=lambda n: 1e7 + 1e-6 * n**2)["memory"] == "worse than n"
    assert verdicts(memory=lambda n: 3e8 + n / 1000)["memory"] == "constant"
    assert verdicts(files=lambda n: 5 + n // 5000)["open_files"] == "grows"
    assert verdicts(files=lambda n: 5 + int(n**0.25))["open_files"] == "grows"
    assert verdicts(files=lambda n: 5 + min(32, n // 500))["open_files"] == "constant"


def test_objects_are_those_of_shards_not_of_entries():
    fine = verdicts(5000, objects=lambda n: 3 + 2 * -(-n // 5000))
    assert fine["objects"] == "n / shard"
    assert verdicts(5000, objects=lambda n: 3 + n)["objects"] == "grows faster than n / shard"
    assert verdicts(5000, objects=lambda n: 3 + n // 100)["objects"] == "grows faster than n / shard"
    assert verdicts(None, objects=lambda n: 3)["objects"] == "constant"
    assert verdicts(None, objects=lambda n: n)["objects"] == "grows"
