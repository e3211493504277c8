"""Evidence of a detector: the true boxes of the validation pictures, and those that it found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.metrics.detection_ap import average_precisions, judged
from encore.metrics.evidence.archive import encoded
from encore.metrics.evidence.resampling import Pool, drawn_values, quotient


@dataclass(frozen=True, eq=False)
class Boxes:
    """`truth`: for each picture float64 (m, 5), x1, y1, x2, y2, class; `found`: for each float32 (n, 6), x1,
    y1, x2, y2, confidence, class; `classes`: their names, whose places the classes are."""

    kind = "boxes"

    truth: tuple
    found: tuple
    classes: tuple

    @classmethod
    def read(cls, entries):
        """The evidence in the Entries of a file; Refusal where they are none."""
        truth, found = _split(entries, "truth", 5), _split(entries, "found", 6)
        if len(truth) != len(found):
            raise entries.refusal(
                "found_count", "expected {} pictures, found {}".format(len(truth), len(found))
            )
        return cls(truth, found, tuple(entries.texts("classes")))

    def arrays(self):
        """{name: array} for a file."""
        return {
            "truth": _joined(self.truth, 5, np.float64),
            "truth_count": np.array([len(rows) for rows in self.truth], dtype=np.int64),
            "found": _joined(self.found, 6, np.float32),
            "found_count": np.array([len(rows) for rows in self.found], dtype=np.int64),
            "classes": encoded(self.classes),
        }

    def measure(self):
        """{average_precision_<class>, average_precision (their mean), validation_images}."""
        numbered = average_precisions(self.truth, self.found, range(len(self.classes)))
        found = {self._key(number): value for number, value in sorted(numbered.items())}
        if found:
            found["average_precision"] = float(np.mean(list(found.values())))
        return dict(found, validation_images=len(self.truth))

    def units(self):
        """Names of what is drawn, a list: the pictures, by place and true boxes."""
        return [(place, np.asarray(rows).tobytes()) for place, rows in enumerate(self.truth)]

    def bootstrap(self, draws, seed, pool=None):
        """{key: float64 (draws,)} over pictures drawn with replacement, from a Pool where that is given; a
        picture that is drawn w times counts as w equal ones side by side. NaN where a draw has no true box of
        the class."""
        by_class = {}
        for number in range(len(self.classes)):
            pictures, right = judged(self.truth, self.found, number)
            positives = np.array([np.count_nonzero(rows[:, 4] == number) for rows in self.truth])
            if positives.any():
                by_class[self._key(number)] = (pictures, right, positives)

        def values(counts):
            found = {key: _area(counts, *parts) for key, parts in by_class.items()}
            columns = np.stack(list(found.values()))
            here = ~np.isnan(columns)
            mean = quotient(np.where(here, columns, 0).sum(axis=0), here.sum(axis=0))
            return dict(found, average_precision=mean)

        if not by_class:
            return {}
        numbers = max(len(parts[0]) for parts in by_class.values())
        return drawn_values(pool or Pool.own(len(self.truth)), draws, seed, values, numbers)

    def _key(self, number):
        return "average_precision_" + self.classes[number].lower()


def _area(counts, pictures, right, positives):
    """float64 (d,): the average precision where each picture counts `counts` (d, pictures).

    The best precision at a recall or any higher one stands behind the last copy of a right box: wrong boxes
    and copies before it only lower it.
    """
    weights = counts[:, pictures]
    places = np.flatnonzero(right)
    own = weights[:, places]
    precision = quotient(np.cumsum(own, axis=1), np.cumsum(weights, axis=1)[:, places])
    precision = np.where(own > 0, precision, 0)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return quotient((best * own).sum(axis=1), counts.dot(positives))


def _joined(pictures, width, dtype):
    rows = [np.asarray(rows, dtype=dtype).reshape(-1, width) for rows in pictures]
    return np.concatenate(rows + [np.zeros((0, width), dtype=dtype)])


def _split(entries, name, width):
    counts = entries.integers(name + "_count")
    if len(counts) and counts.min() < 0:
        raise entries.refusal(name + "_count", "expected counts, found {}".format(int(counts.min())))
    rows = entries.floats(name, width, int(counts.sum()))
    return tuple(np.split(rows, np.cumsum(counts)[:-1])) if len(counts) else ()
