"""The gallery of `encore match`: every query with its best references, on one self-contained page."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from checks.report.figures import histogram_figure
from checks.report.page import templates
from checks.report.thumbnails import thumbnail
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal

SIDE = 128
MOST_QUERIES = 200
HEADER = ["query_id", "reference_id", "score"]


@dataclass(frozen=True)
class Tile:
    """One picture: its id, data URI, and score (None for a query)."""

    id: str
    picture: str
    score: float | None = None


def write_gallery(folder, top=5, mini_weights=True):
    """Write `gallery.html` into the worker's output folder and return its path.

    Reads what the worker writes: matches.csv (query_id, reference_id, score; file names as ids),
    files.json (the paths of queries and of references) and rejected.json (list of folder, name, reason).
    At most 200 queries are shown, the most confident first; matches.csv holds them all.
    """
    folder = Path(folder)
    ranked = read_matches(folder / "matches.csv")
    queries, references = read_files(folder / "files.json")
    order = sorted(ranked, key=lambda query: (-ranked[query][0][1], query))
    rows = [
        (_tile(query, queries, None), [_tile(name, references, score) for name, score in ranked[query][:top]])
        for query in order[:MOST_QUERIES]
    ]
    best = [ranked[query][0][1] for query in order]
    histogram = histogram_figure(
        "scores",
        f"Histogram of the best scores of {len(best)} queries",
        best,
        "best score of a query",
        "queries",
    )
    page = (
        templates()
        .get_template("gallery.html.j2")
        .render(
            rows=rows,
            queries=len(order),
            histogram=Markup(histogram),
            mini_weights=mini_weights,
            rejected=read_rejected(folder / "rejected.json"),
        )
    )
    path = folder / "gallery.html"
    with replacing(path, "w") as file:
        file.write(page)
    return path


def read_matches(path):
    """{query: [(reference, score), best first]} of a matches.csv; raises Refusal naming file and line."""
    try:
        file = open(path, encoding="utf-8", newline="")
    except FileNotFoundError:
        raise Refusal(f"{path}: no such file: the matching worker has not written its result") from None
    ranked = {}
    with file:
        rows = csv.reader(file)
        if next(rows, None) != HEADER:
            raise Refusal(f"{path}: expected the header {','.join(HEADER)}")
        for row in rows:
            try:
                query, reference, score = row
                ranked.setdefault(query, []).append((reference, float(score)))
            except ValueError:
                raise Refusal(f"{path}: line {rows.line_num}: expected two names and a number") from None
    if not ranked:
        raise Refusal(f"{path}: no matches: no query picture could be read")
    for matches in ranked.values():
        matches.sort(key=lambda match: (-match[1], match[0]))
    return ranked


def read_rejected(path):
    """The pictures left out, as dicts with folder (queries or references), name and reason."""
    rows = _json(path)
    if not isinstance(rows, list) or any(set(row) != {"folder", "name", "reason"} for row in rows):
        raise Refusal(f"{path}: expected a list of folder, name and reason from the matching worker")
    return rows


def read_files(path):
    """({query: path}, {reference: path}) of a files.json."""
    files = _json(path)
    if not isinstance(files, dict) or set(files) != {"queries", "references"}:
        raise Refusal(f"{path}: expected the paths of queries and of references from the matching worker")
    return files["queries"], files["references"]


def _tile(name, files, score):
    if name not in files:
        raise Refusal(f"files.json: no path for {name}, which matches.csv names")
    return Tile(name, thumbnail(Path(files[name]).read_bytes(), SIDE), score)


def _json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise Refusal(f"{path}: expected a JSON file of the matching worker ({error})") from None
