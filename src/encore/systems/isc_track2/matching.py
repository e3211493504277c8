"""Copies between two collections of pictures, by multi-scale descriptors of one network."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import List

from encore.runtime.atomic import replacing, write_json
from encore.runtime.refusal import Refusal
from encore.search.multi_scale import mean_of_scales
from encore.search.nearest import nearest
from encore.systems.isc.prepared_pictures import Preparation


@dataclass(frozen=True)
class Match:
    """`reference` is the query's match number `rank` (from 1); `score`: cosine similarity, in [-1, 1]."""

    query: str
    reference: str
    rank: int
    score: float


@dataclass(frozen=True)
class Skipped:
    """A picture that was left out, the collection it is of ("queries" or "references"), and why."""

    collection: str
    name: str
    reason: str


@dataclass(frozen=True)
class MatchResult:
    """All matches, query by query, best first; and the pictures that were left out."""

    matches: List[Match]
    skipped: List[Skipped]

    def write(self, path):
        """Write the matches in the competition's format, best first a query: query_id,reference_id,score.

        The ids are file names, quoted as CSV asks for.
        """
        with replacing(path, "w") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("query_id", "reference_id", "score"))
            for match in self.matches:
                writer.writerow((_printable(match.query), _printable(match.reference), match.score))

    def write_skipped(self, path):
        """Write the pictures left out as a JSON list of {folder, name, reason}."""
        write_json(
            path,
            [
                {"folder": entry.collection, "name": _printable(entry.name), "reason": entry.reason}
                for entry in self.skipped
            ],
        )


def match_sources(queries, references, extractor, top=10):
    """The `top` most similar references of every query picture: a MatchResult.

    `queries`, `references`: objects with `names`, `read(i) -> bytes` and a length (as `open_source` gives).
    Similarity is the inner product of the mean descriptors over the scales of `extractor`'s recipe. Pictures
    that cannot be read are listed and skipped; Refusal when a side has none that can.
    """
    query_names, query, skipped_queries = _described("queries", queries, extractor)
    reference_names, reference, skipped_references = _described("references", references, extractor)
    score, index = nearest(query, reference, top)
    matches = [
        Match(name, reference_names[row], rank, float(similarity))
        for name, rows, similarities in zip(query_names, index, score)
        for rank, (row, similarity) in enumerate(zip(rows, similarities), 1)
    ]
    return MatchResult(matches, skipped_queries + skipped_references)


def _described(collection, images, extractor):
    """(names, descriptors float32 (n, d), [Skipped]) of the pictures of `images` that can be read."""
    scales = []
    for size in extractor.recipe.scales:
        rows, vectors, skipped = extractor.in_memory(images, Preparation(size))
        scales.append(vectors)
    skipped = [Skipped(collection, name, reason) for name, reason in skipped]
    if not len(rows):
        raise Refusal(
            "expected pictures among the {}, found {} files and none that can be read{}".format(
                collection,
                len(images),
                ": {} ({})".format(skipped[0].name, skipped[0].reason) if skipped else "",
            )
        )
    return [images.names[row] for row in rows], mean_of_scales(scales), skipped


def _printable(value):
    """Text that UTF-8 can hold: a file name may carry bytes that are no text."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")
