"""Evidence files read again: their numbers, and what these would have been with other queries."""

from __future__ import annotations

import os

from encore.metrics.evidence.archive import decoded, read_archive
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
    """The Evidence of the file `path`; Refusal, naming file and entry, for a missing or damaged file and for
    a kind that this version does not know."""
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
        self.path, self.parts = os.fspath(path), parts
        self._others = {}

    def measure(self):
        """{key: number}: what the metric file says; Refusal, naming the file, where the evidence has no such
        number."""
        found = self._own(lambda part: part.measure())
        measured = {HERE: found}

        def number_of(path, key):
            if path not in measured:
                measured[path] = self._other(path).measure()
            if key not in measured[path]:
                raise Refusal("{}: {}: no such number in it".format(self._place(path), key))
            return measured[path][key]

        for part in self._differences():
            found.update(part.measure(number_of))
        return found

    def bootstrap(self, draws, seed):
        """{key: float64 (draws,)}: the numbers with queries, persons or pictures drawn with replacement, of
        those that have such. Equal draws for equal `seed`."""
        found = self._own(lambda part: part.bootstrap(draws, seed) if hasattr(part, "bootstrap") else {})
        drawn = {HERE: found}

        def draws_of(path, key):
            if path not in drawn:
                drawn[path] = self._other(path).bootstrap(draws, seed)
            return drawn[path].get(key)

        for part in self._differences():
            found.update(part.bootstrap(draws_of))
        return found

    def _own(self, take):
        found = {}
        for part in self.parts:
            if not isinstance(part, Differences):
                found.update(_naming(self.path, take, part))
        return found

    def _differences(self):
        return [part for part in self.parts if isinstance(part, Differences)]

    def _place(self, path):
        return self.path if path == HERE else os.path.join(os.path.dirname(self.path), *path.split("/"))

    def _other(self, path):
        if path not in self._others:
            other = read_evidence(self._place(path))
            if other._differences():
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
