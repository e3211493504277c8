"""Curves through measured costs, fixed + coefficient * n ** exponent, and whether they grow too fast."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student

LEAST_DECADES = 3
LEAST_POINTS = 5
UPPER_DECADES = 2
BENT = 0.2
"""By so much the slope of the last decade may be above what is allowed: 1.6 times the cost."""
LEVEL = 0.975
"""One-sided: a growth counts as worse where it is at this confidence."""
STILL = 0.1
"""A memory that grows by less than this share of its least value, over all sizes, is constant."""
MOST_FILES_A_SHARD = 3
FEW_FILES = 4
"""By how many the most open files may differ between sizes: what is open for a moment may not be seen."""


class TooFewDecades(ValueError):
    """Sizes from which no growth can be told."""


@dataclass(frozen=True)
class Curve:
    """cost(n) = fixed + coefficient * n ** exponent, fitted to the logarithms of the costs.

    `covariance`: 2 x 2, of the logarithm of the coefficient and of the exponent; `residual`: standard
    deviation of the points about the curve, in logarithms; `freedom`: points less parameters; `quantile`: of
    Student's t, so many standard errors make a 95 % interval. `upper_exponent`: the slope of log cost, less
    the fixed part, over the upper decades of log n, with its standard error; `last_exponent`: between the
    largest size and that of a decade below.
    """

    fixed: float
    coefficient: float
    exponent: float
    exponent_error: float
    covariance: list
    residual: float
    freedom: int
    quantile: float
    smallest: int
    largest: int
    upper_exponent: float
    upper_error: float
    upper_freedom: int
    last_exponent: float

    def at(self, n):
        return self.fixed + self.coefficient * np.asarray(n, dtype=float) ** self.exponent

    def values(self):
        return asdict(self)


def fit(sizes, costs):
    """The Curve through `costs` (seconds or bytes, above 0) at `sizes`, rising; TooFewDecades where they span
    less than LEAST_DECADES or are fewer than LEAST_POINTS."""
    sizes, costs = np.asarray(sizes, dtype=float), np.asarray(costs, dtype=float)
    if len(sizes) < LEAST_POINTS or np.log10(sizes[-1] / sizes[0]) < LEAST_DECADES - 0.01:
        raise TooFewDecades(
            f"{len(sizes)} sizes from {sizes[0]:g} to {sizes[-1]:g}: expected {LEAST_POINTS} over "
            f"{LEAST_DECADES} decades at least"
        )
    # from log sizes about their middle, where coefficient and exponent are hardly correlated
    middle = np.log(sizes).mean()
    logs = np.log(sizes) - middle

    def model(parameters):
        return np.exp(parameters[0] + parameters[1] * logs) + parameters[2] * costs.min()

    slope, height = np.polyfit(logs, np.log(costs), 1)
    start = [height, slope, 1e-3]
    found = least_squares(
        lambda parameters: np.log(model(parameters) / costs),
        start,
        bounds=([-np.inf, -np.inf, 0], [np.inf, np.inf, 1]),
        x_scale=[1, 1, 0.1],
    )
    free = 3 if found.x[2] > 1e-6 else 2
    freedom = len(sizes) - free
    variance = float(2 * found.cost / freedom)
    jacobian = found.jac[:, :free]
    centred = variance * np.linalg.pinv(jacobian.T @ jacobian)[:2, :2]
    turned = np.array([[1, -middle], [0, 1]])
    covariance = turned @ centred @ turned.T
    fixed = float(found.x[2] * costs.min())
    upper, error, upper_freedom = upper_slope(sizes, costs - fixed)
    return Curve(
        fixed,
        float(np.exp(found.x[0] - found.x[1] * middle)),
        float(found.x[1]),
        float(np.sqrt(centred[1, 1])),
        covariance.tolist(),
        float(np.sqrt(variance)),
        freedom,
        float(student.ppf(LEVEL, freedom)),
        int(sizes[0]),
        int(sizes[-1]),
        upper,
        error,
        upper_freedom,
        _last_slope(sizes, costs - fixed),
    )


def upper_slope(sizes, costs):
    """(slope of log cost over log n in the upper decades, its standard error, points less 2)."""
    sizes, costs = np.asarray(sizes, dtype=float), np.asarray(costs, dtype=float)
    kept = (sizes >= 0.99 * sizes[-1] / 10**UPPER_DECADES) & (costs > 0)
    x, y = np.log(sizes[kept]), np.log(costs[kept])
    if len(x) < 3:
        raise TooFewDecades(f"{len(x)} sizes in the upper {UPPER_DECADES} decades: expected 3 at least")
    slope, height = np.polyfit(x, y, 1)
    left = y - slope * x - height
    error = np.sqrt((left @ left) / (len(x) - 2) / ((x - x.mean()) ** 2).sum())
    return float(slope), float(error), len(x) - 2


def _last_slope(sizes, costs):
    below = int(np.argmin(np.abs(np.log10(sizes[-1] / sizes) - 1)))
    return float(np.log(costs[-1] / costs[below]) / np.log(sizes[-1] / sizes[below]))


def slope_of_n_log_n(curve):
    """The upper slope that n log n itself has over the curve's upper decades."""
    sizes = np.geomspace(curve.largest / 10**UPPER_DECADES, curve.largest, 2 * UPPER_DECADES + 1)
    return upper_slope(sizes, sizes * np.log(sizes))[0]


def worse(curve, allowed):
    """Whether the curve's upper slope is above `allowed` at the LEVEL of confidence, or that of its last
    decade alone by more than BENT: where the slope itself rises, a line through all is uncertain."""
    surely = curve.upper_exponent - student.ppf(LEVEL, curve.upper_freedom) * curve.upper_error > allowed
    return bool(surely or curve.last_exponent > allowed + BENT)


def judged(points, per_object):
    """{time, memory: {curve …, verdict}, open_files, objects: {verdict …}} of a subject's points."""
    sizes = [point["n"] for point in points]
    time = fit(sizes, [point["processor_seconds"] for point in points])
    slower = worse(time, slope_of_n_log_n(time))
    return {
        "time": {**time.values(), "verdict": "worse than n log n" if slower else "n log n or better"},
        "memory": _memory(sizes, [point["peak_memory_bytes"] for point in points]),
        "open_files": _open_files(sizes, [point["open_files"] for point in points]),
        "objects": _objects(points, per_object),
    }


def _memory(sizes, costs):
    if max(costs) - min(costs) < STILL * min(costs):
        return {"most_bytes": max(costs), "verdict": "constant"}
    curve = fit(sizes, costs)
    return {**curve.values(), "verdict": "worse than n" if worse(curve, 1.0) else "n or better"}


def _open_files(sizes, counts):
    """Growth over the last decade: below, a number that has a bound may still rise to it."""
    last = [count for size, count in zip(sizes, counts) if size >= 0.99 * sizes[-1] / 10]
    grows = max(last) - min(last) > FEW_FILES
    return {"least": min(counts), "most": max(counts), "verdict": "grows" if grows else "constant"}


def _objects(points, per_object):
    """DVC objects against `per_object` entries a shard: a fixed number, and at most three for each shard."""
    counts = [point["objects"] for point in points]
    if not max(counts):
        return None
    if per_object is None:
        return {"most": max(counts), "verdict": "constant" if max(counts) == min(counts) else "grows"}
    shards = [-(-point["n"] // per_object) for point in points]
    a_shard = (counts[-1] - counts[0]) / max(1, shards[-1] - shards[0])
    fixed = counts[0] - a_shard * shards[0]
    fits = a_shard <= MOST_FILES_A_SHARD and all(
        count <= max(fixed, counts[0]) + MOST_FILES_A_SHARD * shard for count, shard in zip(counts, shards)
    )
    return {
        "most": max(counts),
        "fixed": fixed,
        "a_shard": a_shard,
        "entries_a_shard": per_object,
        "verdict": "n / shard" if fits else "grows faster than n / shard",
    }
