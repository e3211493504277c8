"""How far a new run may lie from a published number, or from the runs a mini claim was calibrated on."""

from __future__ import annotations

import math
import statistics

from encore.runtime.refusal import Refusal

FAMILY_ERROR = 0.01
BASES = {
    "count": "a number that no random draw changes",
    "published spread": "the spread that was published with the number, or over the same authors' runs",
    "own seeds": "a prediction interval from seed runs of this project",
    "finite sample": "what a share over so many queries, pairs or pictures varies by",
    "rounding": "arithmetic in another order or precision; nothing is drawn",
    "requirement": "a bound that was set before anything was measured",
    "nothing published": "no number to compare with",
}
"""The kinds of reason that a tolerance can have."""


def student_t_cdf(t, freedom):
    """P(T <= t) of Student's t with a whole number of degrees of freedom (Abramowitz & Stegun 26.7.3-4)."""
    theta = math.atan(t / math.sqrt(freedom))
    cos2 = math.cos(theta) ** 2
    first, start = (math.sin(theta), 2) if freedom % 2 == 0 else (math.sin(theta) * math.cos(theta), 3)
    term, total = 1.0, 1.0 if freedom > 1 else 0.0
    for k in range(start, freedom - 1, 2):
        term *= cos2 * (k - 1) / k
        total += term
    inside = first * total if freedom % 2 == 0 else 2 / math.pi * (theta + first * total)
    return (1 + inside) / 2


def student_t_quantile(p, freedom):
    """The t with P(T <= t) = `p`, 0.5 <= p < 1, by bisection to the last bit or so."""
    if not 0.5 <= p < 1 or freedom < 1:
        raise ValueError(f"a quantile needs 0.5 <= p < 1 and freedom >= 1, not {p} and {freedom}")
    low, high = 0.0, 1.0
    while student_t_cdf(high, freedom) < p:
        low, high = high, 2 * high
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        if student_t_cdf(middle, freedom) < p:
            low = middle
        else:
            high = middle


def family_level(gating_claims):
    """The level of each of `gating_claims` intervals such that all hold together with 99 % (Bonferroni)."""
    return 1 - FAMILY_ERROR / max(1, gating_claims)


def prediction_interval(values, level):
    """(low, high) that holds one new run with probability `level`, from the values of at least 3 seeds.

    mean ± t · s · sqrt(1 + 1/n), two-sided, t with n − 1 degrees of freedom. Refuses values without any
    spread: they need the tolerance `exact`, not an interval of width 0.
    """
    values = [float(value) for value in values]
    if len(values) < 3:
        raise Refusal(f"a prediction interval needs at least 3 seed runs, found {len(values)}")
    if max(values) == min(values):
        raise Refusal(
            f"all {len(values)} seed runs gave {values[0]}: no spread to take a tolerance from, "
            "use tolerance kind exact"
        )
    t = student_t_quantile((1 + level) / 2, len(values) - 1)
    half = t * statistics.stdev(values) * math.sqrt(1 + 1 / len(values))
    mean = statistics.fmean(values)
    return mean - half, mean + half


def finite_sample_width(share, published, run, level):
    """Half width of the two-sided `level` interval of the difference of two shares in [0, 1], over
    `published` and `run` draws: z · sqrt(p (1 − p) (1/published + 1/run)), p = `share`.

    Of a mean over independent queries of other values in [0, 1], such as average precisions, it is an upper
    bound: none of them has a larger variance than p (1 − p). Micro average precision is no such mean, since
    one ranking holds the pairs of all queries: there it is a stand-in for a width that nobody published.
    """
    z = statistics.NormalDist().inv_cdf((1 + level) / 2)
    return z * math.sqrt(share * (1 - share) * (1 / published + 1 / run))


def spread_width(times, deviation=None, values=()):
    """`times` a published standard deviation, or the one (divisor n − 1) of published `values`."""
    return times * (statistics.stdev(values) if values else deviation)


def spread_coverage(times, runs):
    """How often one new value lies within `times` standard deviations (of `runs` values) of their mean:
    Student's t with `runs` − 1 degrees of freedom, t = times / √(1 + 1/runs)."""
    return 2 * student_t_cdf(times / math.sqrt(1 + 1 / runs), runs - 1) - 1


def derived(basis, expected):
    """The half width that a claim's basis gives, None where its kind computes none; ValueError "key: why"."""
    if basis.kind == "published spread":
        if (basis.deviation is None) == (len(basis.values) < 2):
            raise ValueError("deviation: expected a published deviation, or two or more published values")
        if not basis.times or basis.times <= 0:
            raise ValueError(f"times: expected a number above 0, found {basis.times}")
        return spread_width(basis.times, basis.deviation, basis.values)
    if basis.kind == "finite sample":
        for key in ("published", "run"):
            if (getattr(basis, key) or 0) < 2:
                raise ValueError(f"{key}: expected how many were drawn, found {getattr(basis, key)}")
        if not 0 < (basis.level or 0) < 1:
            raise ValueError(f"level: expected a number in (0, 1), found {basis.level}")
        scale = basis.scale or 1
        if expected is None or not 0 < expected / scale < 1:
            raise ValueError(f"scale: expected {expected} to be a share once it is divided by {scale}")
        return scale * finite_sample_width(expected / scale, basis.published, basis.run, basis.level)
    return None


def stated_width(width):
    """A half width as claims state it: two digits."""
    return float(f"{width:.1e}")


def is_informative_only(interval, trivial_values):
    """True when the interval does not lie wholly above all that was reached without training."""
    return bool(trivial_values) and interval[0] <= max(trivial_values)
