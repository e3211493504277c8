"""The penalty on scores of turned and cropped queries, as the published chain of CSV files computes it.

A penalised score is written with all its digits and read again by pandas 1.3, whose reader keeps 17 digits
and divides by a power of ten: about one score in four moves by a unit in the last place. Published quirk: it
decides which scores are equal, and equal scores cancel each other in the final rule, so that the reader is
followed digit by digit here. A second round trip changes nothing more (spec isc-track1-test 4.4).
"""

from __future__ import annotations

import numpy as np

from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.score_list import MILLION

DIGITS_READ = 17
_EXACT_DIGITS = 15
_UNKNOWN = 2


def read_back(value):
    """The float64 that pandas 1.3 reads where `value` (float) was written with the fewest exact digits."""
    mantissa, _, power = repr(abs(value)).partition("e")
    whole, _, decimals = mantissa.partition(".")
    digits = (whole + decimals)[:DIGITS_READ]  # a leading zero counts as a digit there
    number = float(int(digits[:_EXACT_DIGITS]))
    for digit in digits[_EXACT_DIGITS:]:
        number = number * 10.0 + int(digit)  # rounded at every step
    number /= float("1e{}".format(len(digits) - len(whole) - int(power or 0)))  # the power itself is rounded
    return -number if value < 0 else number


class Penalty:
    """Takes `value` (at most six decimals) off scores; translates grades (ScoreList) to scores.

    A penalised score lies on a millionth or a hair beside it: `_sides` holds, by millionths of the score
    before, whether it is above (1), on (0) or below (-1).
    """

    def __init__(self, value=0.05):
        self.value = float(value)
        self._millionths = int(round(self.value * MILLION))
        if self._millionths / float(MILLION) != self.value:
            raise Refusal("penalty {}: expected at most six decimals".format(value))
        self._low = 0
        self._sides = np.zeros(0, dtype=np.int8)

    def penalised(self, grade):
        """int32 (n,): grades of the scores that have the `grade`s of whole millionths, less the penalty."""
        if not len(grade):
            return grade
        millionths = grade // 3
        self._learn(millionths)
        return 3 * (millionths - self._millionths) + self._sides[millionths - self._low]

    def scores(self, grade):
        """float64 (n,): the scores of `grade`s, penalised or not."""
        millionths = (grade + 1) // 3
        scores = millionths / float(MILLION)
        beside = np.flatnonzero(grade != 3 * millionths)
        if len(beside):
            before, where = np.unique(millionths[beside] + self._millionths, return_inverse=True)
            after = before / float(MILLION) - self.value
            scores[beside] = np.array([read_back(score) for score in after.tolist()])[where.ravel()]
        return scores

    def _learn(self, millionths):
        """Work out the sides of the scores that were not met before."""
        low, high = int(millionths.min()), int(millionths.max()) + 1
        if len(self._sides):
            low, high = min(low, self._low), max(high, self._low + len(self._sides))
        if (low, high) != (self._low, self._low + len(self._sides)):
            sides = np.full(high - low, _UNKNOWN, dtype=np.int8)
            sides[self._low - low :][: len(self._sides)] = self._sides
            self._low, self._sides = low, sides
        met = np.zeros(high - low, dtype=bool)
        met[millionths - low] = True
        new = np.flatnonzero(met & (self._sides == _UNKNOWN)) + low
        exact = (new - self._millionths) / float(MILLION)
        after = new / float(MILLION) - self.value
        moved = np.flatnonzero(after != exact)  # six decimals come back as they were written
        after[moved] = [read_back(score) for score in after[moved].tolist()]
        self._sides[new - low] = np.sign(after - exact)
