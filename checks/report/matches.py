"""Queries with their best matches, right and wrong marked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import PurePath

from checks.recipe import read_parameters
from checks.report.ingredients import Missing, need
from checks.report.thumbnails import thumbnail
from encore.data.image_source import open_source
from encore.metrics.predictions import read_evaluation
from encore.runtime.refusal import Refusal

SIDE = 112
BEST = 4


@dataclass(frozen=True)
class Tile:
    """One picture: its id, data URI, score (None for a query), and whether it is the true reference."""

    id: str
    picture: str
    score: float | None = None
    right: bool | None = None


@dataclass(frozen=True)
class Row:
    """A query, its best matches, and the true reference where it is not among them (`rank` counts from 1).

    `has_match` False: a distractor, for which every match is wrong. `rank` None: the true reference was not
    returned. `alike`: how many other queries of its kind have no prediction either, where it has none.
    """

    query: Tile
    matches: list[Tile]
    has_match: bool
    missed: Tile | None = None
    rank: int | None = None
    alike: int = 0


class PictureSet:
    """The pictures of a source by id, the file name without its ending.

    `source` is relative to the size folder: a folder, a data set, or `photos.tar#references`.
    """

    def __init__(self, folder, source):
        need(folder, source.partition("#")[0])
        self._spec = source
        self._source = open_source(f"{folder}/{source}")
        self._positions = {PurePath(name).stem: i for i, name in enumerate(self._source.names)}

    def tile(self, name, score=None, right=None):
        if name not in self._positions:
            raise Missing(f"the picture {name} is named by the predictions and missing from {self._spec}")
        return Tile(name, thumbnail(self._source.read(self._positions[name]), SIDE), score, right)


PREDICTIONS = {
    "isc_track2": "predictions/isc_track2/trained.csv",
    "isc_track1": "submission/isc_track1/submit_50k.csv",
}


def gallery(folder, system="isc_track2", matched=9, distractors=3):
    """Rows for queries that have a match, from the most to the least confident, and for some distractors."""
    predictions_file = need(folder, PREDICTIONS[system])
    truth_file = need(folder, "data/isc_queries/ground_truth.csv")
    need(folder, "data/isc_queries/manifest.json")
    queries = PictureSet(folder, "data/isc_queries")
    references = PictureSet(folder, reference_source(need(folder, "params.yaml"), system))
    ranked, truth = _ranked(predictions_file, truth_file)
    rows = []
    for has_match, count in ((True, matched), (False, distractors)):
        names = sorted(query for query in truth if bool(truth[query]) == has_match)
        answered = sorted((query for query in names if ranked.get(query)), key=lambda q: -ranked[q][0][1])
        silent = [query for query in names if not ranked.get(query)]
        for query in _spread(answered, count - bool(silent)) + silent[:1]:
            row = _row(query, ranked.get(query, []), truth[query], queries, references)
            rows.append(dataclasses.replace(row, alike=0 if row.matches else len(silent) - 1))
    return rows


def reference_source(path, system):
    """Where a params.yaml says the reference pictures are: `<system>.extract.references`; raises Refusal."""
    section = read_parameters(path).get(system) or {}
    source = (section.get("extract") or {}).get("references")
    if not isinstance(source, str):
        raise Refusal(f"{path}: {system}.extract.references: expected the source of the reference pictures")
    return source


def _ranked(predictions_file, truth_file):
    """({query: [(reference, score), best first]}, {query: set of its true references})."""
    predictions, truth, ids = read_evaluation(predictions_file, truth_file)
    query_names, reference_names = ids.queries.names, ids.references.names
    true = {query_names[query]: set() for query in truth.labelled.tolist()}
    for query, reference in zip(truth.query.tolist(), truth.reference.tolist()):
        true[query_names[query]].add(reference_names[reference])
    ranked = {}
    for query, reference, score in zip(
        predictions.query.tolist(), predictions.reference.tolist(), predictions.score.tolist()
    ):
        ranked.setdefault(query_names[query], []).append((reference_names[reference], score))
    for rows in ranked.values():
        rows.sort(key=lambda row: (-row[1], row[0]))
    return ranked, true


def _row(query, ranked, true, queries, references):
    best = ranked[:BEST]
    matches = [references.tile(name, score, name in true) for name, score in best]
    missed, rank = None, None
    if true and not any(tile.right for tile in matches):
        place = next((i for i, (name, _) in enumerate(ranked) if name in true), None)
        rank = None if place is None else place + 1
        missed = references.tile(
            sorted(true)[0] if place is None else ranked[place][0],
            None if place is None else ranked[place][1],
            True,
        )
    return Row(queries.tile(query), matches, bool(true), missed, rank)


def _spread(items, count):
    """`count` of `items` at even distances, the first and the last among them."""
    if len(items) <= count:
        return items
    return [items[round(i * (len(items) - 1) / max(1, count - 1))] for i in range(count)]
