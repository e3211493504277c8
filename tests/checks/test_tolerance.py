from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.tolerance import (
    family_level,
    finite_sample_width,
    is_informative_only,
    prediction_interval,
    spread_coverage,
    spread_width,
    stated_width,
    student_t_cdf,
    student_t_quantile,
)
from encore.runtime.refusal import Refusal

# Two-sided 95 %, 99 % and 99.8 % points from printed tables of Student's t.
TABLE = {
    (0.975, 1): 12.706,
    (0.975, 2): 4.303,
    (0.975, 4): 2.776,
    (0.975, 9): 2.262,
    (0.975, 30): 2.042,
    (0.995, 1): 63.657,
    (0.995, 4): 4.604,
    (0.995, 9): 3.250,
    (0.995, 60): 2.660,
    (0.999, 4): 7.173,
    (0.999, 9): 4.297,
    (0.999, 100): 3.174,
}


@pytest.mark.parametrize(("p", "freedom"), TABLE)
def test_quantiles_are_those_of_printed_tables(p, freedom):
    assert round(student_t_quantile(p, freedom), 3) == TABLE[p, freedom]


@settings(deadline=None)
@given(st.floats(-40, 40), st.integers(1, 40))
def test_the_distribution_is_the_integral_of_its_density(t, freedom):
    # Independent route: midpoint rule on f(x) ~ (1 + x^2/n)^(-(n+1)/2), with x = sqrt(n) tan(u).
    u = numpy.linspace(0, math.atan(abs(t) / math.sqrt(freedom)), 20001)
    middle, width = (u[1:] + u[:-1]) / 2, u[1] - u[0]
    constant = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    upper = 0.5 + constant * float((numpy.cos(middle) ** (freedom - 1)).sum()) * float(width)
    assert student_t_cdf(t, freedom) == pytest.approx(upper if t >= 0 else 1 - upper, abs=1e-8)


@settings(deadline=None)
@given(st.floats(0.5, 0.9999), st.integers(1, 60))
def test_the_quantile_inverts_the_distribution(p, freedom):
    assert student_t_cdf(student_t_quantile(p, freedom), freedom) == pytest.approx(p, abs=1e-9)


def test_prediction_interval_by_hand():
    # 1, 2, 3, 4, 5: mean 3, s = sqrt(10/4) = 1.58114; n = 5: sqrt(1 + 1/5) = 1.09545; t(0.975; 4) = 2.77645.
    # Half width 2.77645 * 1.58114 * 1.09545 = 4.80896.
    low, high = prediction_interval([1, 2, 3, 4, 5], 0.95)
    assert (low, high) == (pytest.approx(3 - 4.80896, abs=1e-4), pytest.approx(3 + 4.80896, abs=1e-4))


def test_the_interval_holds_one_new_run_as_often_as_it_says():
    # 4,000 times: 5 runs and one new one from the same distribution; 90 % intervals hold it 90 % of the time.
    runs = numpy.random.RandomState(0).normal(0.6, 0.05, (4000, 6))
    inside = 0
    for row in runs:
        low, high = prediction_interval(row[:5], 0.9)
        inside += low <= row[5] <= high
    assert inside / 4000 == pytest.approx(0.9, abs=0.015)  # three standard errors of a share: 0.014


def test_the_family_level_shares_one_percent():
    assert family_level(4) == pytest.approx(0.9975)
    assert family_level(1) == family_level(0) == pytest.approx(0.99)


@pytest.mark.parametrize("values", [[0.5, 0.5, 0.5], [0.1, 0.2]])
def test_no_interval_without_spread_or_from_two_runs(values):
    with pytest.raises(Refusal, match="seed runs"):
        prediction_interval(values, 0.99)


def test_an_interval_that_reaches_what_is_there_without_training_is_informative():
    assert is_informative_only((0.3, 0.6), [0.1, 0.35])
    assert is_informative_only((0.3, 0.6), [0.9])
    assert not is_informative_only((0.3, 0.6), [0.1, 0.29])
    assert not is_informative_only((0.3, 0.6), [])


def test_the_width_of_a_finite_sample_by_hand():
    # Rank-1 of 0.641924 over 3,368 queries, twice: p (1 - p) = 0.229858, 2/3368 = 5.93824e-4, their product
    # 1.36495e-4, its root 0.0116831, times 2.575829 (99 %, two-sided) 0.0300937.
    assert finite_sample_width(0.641924, 3368, 3368, 0.99) == pytest.approx(0.0300937, abs=2e-7)
    # A fair coin of 100 throws against one thrown for ever: 1.959964 * 0.5 / 10 = 0.0979982 (95 %).
    assert finite_sample_width(0.5, 100, 10**12, 0.95) == pytest.approx(0.0979982, abs=1e-6)


def test_two_shares_differ_by_more_than_the_width_as_often_as_it_says():
    draws = numpy.random.RandomState(0).binomial(400, 0.3, (20000, 2)) / 400
    outside = (abs(draws[:, 0] - draws[:, 1]) > finite_sample_width(0.3, 400, 400, 0.9)).mean()
    assert outside == pytest.approx(0.1, abs=0.01)  # shares of 400 are steps of 0.0025


def test_means_of_values_from_0_to_1_differ_by_less_than_the_width():
    # Average precisions spread over [0, 1] vary less than answers that are right or wrong.
    means = numpy.random.RandomState(0).beta(0.6, 1.4, (4000, 2, 300)).mean(2)
    outside = (abs(means[:, 0] - means[:, 1]) > finite_sample_width(0.3, 300, 300, 0.9)).mean()
    assert outside < 0.1


def test_the_width_of_a_published_spread_by_hand():
    assert spread_width(3, deviation=0.2) == pytest.approx(0.6)
    # 0.65642, 0.66072, 0.64688: mean 0.65467, differences 0.00175, 0.00605, -0.00779; their squares sum to
    # 1.00349e-4, half of it 5.01746e-5, its root 0.0070834, three times that 0.0212502.
    assert spread_width(3, values=(0.65642, 0.66072, 0.64688)) == pytest.approx(0.0212502, abs=1e-6)


def test_what_three_deviations_of_three_values_cover_by_hand():
    # t = 3 / √(4/3) = 2.5980762; with two degrees of freedom P(|T| <= t) = t / √(2 + t²) = 0.8783101.
    assert spread_coverage(3, 3) == pytest.approx(0.8783101, abs=1e-6)
    draws = numpy.random.RandomState(0).normal(0, 1, (20000, 4))
    inside = abs(draws[:, 3] - draws[:, :3].mean(1)) <= 3 * draws[:, :3].std(1, ddof=1)
    assert inside.mean() == pytest.approx(0.8783, abs=0.008)


@pytest.mark.parametrize(("width", "stated"), [(0.0300937, 0.03), (0.0212502, 0.021), (1.5, 1.5), (0.6, 0.6)])
def test_widths_are_stated_in_two_digits(width, stated):
    assert stated_width(width) == stated
