"""Evidence files read again: their numbers, and what these would have been with other queries."""

from __future__ import annotations

import os

from encore.metrics.evidence.archive import NoEvidence, decoded, read_archive
from encore.metrics.evidence.boxes import Boxes
from encore.metrics.evidence.classified_pictures import ClassifiedPictures
from encore.metrics.evidence.counts import Counts
from encore.metrics.evidence.differences import HERE, Differences
from encore.metrics.evidence.entries import Entries
from encore.metrics.evidence.evidence_file import FORMAT
from encore.metrics.evidence.feature_pairs import FeaturePairs
from encore.metrics.evidence.loss_curves import LossCurves
from encore.metrics.evidence.person_rankings import PersonRankings
from encore.metrics.evidence.ranked_pairs import RankedPairs
from encore.metrics.evidence.resampling import Pool
from encore.runtime.refusal import Refusal

KINDS = {
    part.kind: part
    for part in (
        RankedPairs,
        ClassifiedPictures,
        PersonRankings,
        Boxes,
        Counts,
        LossCurves,
        FeaturePairs,
        Differences,
    )
}


def read_evidence(path):
    """The Evidence of the file `path`; NoEvidence for a missing one, Refusal, naming file and entry, for a
    damaged one and for a kind that this version does not know."""
    arrays = read_archive(path)
    if _text(arrays.get("format")) != FORMAT:
        raise Refusal(
            "{}: format: expected {}, found {}: made by another version, run its stage again".format(
                path, FORMAT, _text(arrays.get("format"))
            )
        )
    parts, number = [], 0
    while "{}/kind".format(number) in arrays:
        parts.append(_part(path, number, arrays))
        number += 1
    if not parts:
        raise Refusal("{}: 0/kind: missing: pull it again, or run its stage".format(path))
    return Evidence(path, parts)


class Evidence:
    """The parts of one file, and the files beside it that their differences name."""

    def __init__(self, path, parts):
        self.path = os.fspath(path)
        self._parts = [part for part in parts if not isinstance(part, Differences)]
        self._differences = [part for part in parts if isinstance(part, Differences)]
        self._others = {HERE: self}
        self._numbers, self._drawn = None, {}

    def measure(self):
        """{key: number}: what the metric file says; NoEvidence, naming file and key, where a side of a
        difference is not there."""
        found = self._own_numbers()
        for part in self._differences:
            found.update(part.measure(self._side))
        return found

    def number(self, key):
        """One number, whatever others are there; NoEvidence, naming file and key, where this one is not, or a
        side of it."""
        for row in self._rows():
            if row.key == key:
                return self._side(row.of, row.of_key) - self._side(row.less, row.less_key)
        found = self._own_numbers()
        if key not in found:
            there = sorted(set(found).union(row.key for row in self._rows()))
            raise NoEvidence(
                "{}: {}: no such number in it; there are {}".format(self.path, key, ", ".join(there))
            )
        return found[key]

    def bootstrap(self, draws, seed):
        """{key: float64 (draws,)}: the numbers with queries, persons or pictures drawn with replacement, of
        those that have such. Equal draws for equal `seed`. Both sides of a difference are drawn alike, from
        all that either is about."""
        found = {}
        for number in range(len(self._parts)):
            found.update(self._own_draws(number, draws, seed))
        for part in self._differences:
            found.update(part.bootstrap(lambda row: self._drawn_alike(row, draws, seed)))
        return found

    def _rows(self):
        return [row for part in self._differences for row in part.rows]

    def _own_numbers(self):
        """Those of all parts but differences; `_numbers` keeps them part by part."""
        if self._numbers is None:
            self._numbers = [_naming(self.path, lambda part: part.measure(), part) for part in self._parts]
        return {key: value for numbers in self._numbers for key, value in numbers.items()}

    def _own_draws(self, number, draws, seed, pool=None):
        part = self._parts[number]
        if not hasattr(part, "bootstrap"):
            return {}
        if pool is not None:
            return _naming(self.path, lambda part: part.bootstrap(draws, seed, pool), part)
        if (number, draws, seed) not in self._drawn:
            self._drawn[number, draws, seed] = _naming(
                self.path, lambda part: part.bootstrap(draws, seed), part
            )
        return self._drawn[number, draws, seed]

    def _drawn_alike(self, row, draws, seed):
        """The draws of both sides of a Difference, or None."""
        try:
            sides = [self._other(row.of)._place_of(row.of_key), self._other(row.less)._place_of(row.less_key)]
        except NoEvidence:
            return None
        (of, number), (less, other) = sides
        pair = of._parts[number], less._parts[other]
        if pair[0].kind != pair[1].kind or not hasattr(pair[0], "bootstrap"):
            return None
        place = row.of, number, row.less, other, draws, seed
        if place not in self._drawn:
            units = [part.units() for part in pair]
            pools = (None, None) if units[0] == units[1] else Pool.pair(*units)
            self._drawn[place] = (
                of._own_draws(number, draws, seed, pools[0]),
                less._own_draws(other, draws, seed, pools[1]),
            )
        return tuple(drawn[key] for drawn, key in zip(self._drawn[place], (row.of_key, row.less_key)))

    def _place_of(self, key):
        """(this Evidence, number of the part that gives `key`); NoEvidence where none does."""
        self._own_numbers()
        for number in reversed(range(len(self._parts))):
            if key in self._numbers[number]:
                return self, number
        raise NoEvidence("{}: {}: no such number in it".format(self.path, key))

    def _side(self, path, key):
        """A number of another file, or of this one beside its differences."""
        other, number = self._other(path)._place_of(key)
        return other._numbers[number][key]

    def _other(self, path):
        if path not in self._others:
            other = read_evidence(os.path.join(os.path.dirname(self.path), *path.split("/")))
            if other._differences:
                raise Refusal("{}: names {}, which is a difference itself".format(self.path, other.path))
            self._others[path] = other
        return self._others[path]


def _part(path, number, arrays):
    kind = _text(arrays["{}/kind".format(number)])
    if kind not in KINDS:
        raise Refusal(
            "{}: {}/kind: expected one of {}, found {}: made by another version, run its stage again".format(
                path, number, ", ".join(sorted(KINDS)), kind
            )
        )
    start = "{}/".format(number)
    own = {name[len(start) :]: values for name, values in arrays.items() if name.startswith(start)}
    return _naming(path, KINDS[kind].read, Entries(own, "{}: {}".format(path, kind)))


def _naming(path, call, argument):
    """`call(argument)`; a refusal of the metrics' code, which knows no file, names `path`."""
    try:
        return call(argument)
    except Refusal as refusal:
        if str(refusal).startswith(str(path)):
            raise
        raise Refusal("{}: {}".format(path, refusal)) from None


def _text(values):
    """The only line of an entry, or None."""
    try:
        (text,) = decoded(values)
    except (AttributeError, ValueError):
        return None
    return text
