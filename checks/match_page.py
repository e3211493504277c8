"""The gallery of `encore match`: every query with its best references, on one self-contained page."""

from __future__ import annotations

import csv
import math
import os
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes

from markupsafe import Markup

from checks.report.figures import Series, line_figure
from checks.report.page import templates
from checks.report.thumbnails import thumbnail
from encore.runtime.atomic import replacing
from encore.runtime.bounded_file import bounded_lines, file_size
from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal

SIDE = 128
MOST_QUERIES = 200
MOST_REJECTED = 200
BINS = 30
LARGEST = 1 << 30
"""Bytes of matches.csv: half a million rows of two long names."""
LARGEST_JSON = 1 << 25
"""Bytes of match.json and rejected.json: 32 MiB, a quarter of a million pictures that cannot be read."""
HEADER = ["query_id", "reference_id", "score"]
MATCH_KEYS = {
    "folders",
    "normalisation",
    "queries_listed",
    "rows",
    "rows_left_out",
    "scales",
    "top",
    "unlike",
    "weights",
    "width",
}


@dataclass(frozen=True)
class Tile:
    """One picture: its id, data URI (None where it can no longer be read), and score (None for a query)."""

    id: str
    picture: str | None
    score: float | None = None
    above: bool = False


@dataclass
class Ranked:
    """What a matches.csv holds: the first 200 queries {query: [(reference, score), best first]}, the most
    confident first, and all scores."""

    shown: dict[str, list[tuple[str, float]]] = field(default_factory=dict)
    scores: array = field(default_factory=lambda: array("d"))
    best: array = field(default_factory=lambda: array("d"))


def write_gallery(folder):
    """Write `gallery.html` into the worker's output folder and return its path.

    Reads what the worker writes: matches.csv (query_id, reference_id, score, best first; ids are file names,
    escaped as in a URL), match.json (folders and settings) and rejected.json (folder, name, reason). At most
    200 queries are shown, the most confident first; matches.csv holds them all.
    """
    folder = Path(folder)
    found = read_match(folder / "match.json")
    ranked = read_matches(folder / "matches.csv")
    rejected = read_rejected(folder / "rejected.json")
    places = {side: picture_path(found["folders"][side]["folder"]) for side in ("queries", "references")}
    rows = [
        (
            _tile(query, places["queries"]),
            [_tile(name, places["references"], score, found["unlike"]) for name, score in matches],
        )
        for query, matches in ranked.shown.items()
    ]
    page = (
        templates()
        .get_template("gallery.html.j2")
        .render(
            rows=rows,
            queries=len(ranked.best),
            histogram=Markup(histogram(ranked, found["unlike"])),
            found=found,
            rejected=rejected[:MOST_REJECTED],
            rejected_count=len(rejected),
        )
    )
    path = folder / "gallery.html"
    with replacing(path, "w") as file:
        file.write(page)
    return path


def histogram(ranked, unlike=None):
    """An `<svg>` element: how often each score comes, over all pairs listed and over each query's best."""
    low, high = min(ranked.scores), max(ranked.scores)
    width = (high - low) / BINS or 1.0
    series = []
    for label, scores in (("all pairs listed", ranked.scores), ("best of each query", ranked.best)):
        counts = [0] * BINS
        for score in scores:
            counts[min(BINS - 1, int((score - low) / width))] += 1
        x = [low + width * ((i + 1) // 2) for i in range(2 * BINS)]
        series.append(
            Series(label, [x[0], *x, x[-1]], [0.0, *(float(counts[i // 2]) for i in range(2 * BINS)), 0.0])
        )
    title = f"Histogram of {len(ranked.scores)} scores, and of the best scores of {len(ranked.best)} queries"
    marks = None if unlike is None else ("", {unlike: "reached by chance"})
    return line_figure("scores", title, series, "score", "pairs", size=(6.4, 2.8), marks=marks)


def picture_path(name, folder=None):
    """The path of a picture or folder by its id, in which %2C stands for a comma and so on."""
    path = os.fsdecode(unquote_to_bytes(name))
    return Path(path) if folder is None else folder / path


def read_matches(path):
    """The Ranked of a matches.csv; raises Refusal naming file and line."""
    try:
        file_size(path, LARGEST)
        with open(path, encoding="utf-8", newline="") as file:
            ranked = _ranked(path, file)
    except FileNotFoundError:
        raise Refusal(f"{path}: no such file: the matching worker has not written its result") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Refusal(f"{path}: not a table of matches ({error}): run the match again") from None
    if not ranked.scores:
        raise Refusal(f"{path}: no matches: no query picture could be read")
    return ranked


def _ranked(path, file):
    ranked, seen = Ranked(), set()
    rows = csv.reader(bounded_lines(file, path), quoting=csv.QUOTE_NONE)
    if next(rows, None) != HEADER:
        raise Refusal(f"{path}: expected the header {','.join(HEADER)}")
    for row in rows:
        query, reference, score = _pair(path, rows.line_num, row)
        ranked.scores.append(score)
        if query not in seen:
            seen.add(query)
            ranked.best.append(score)
            if len(ranked.shown) < MOST_QUERIES:
                ranked.shown[query] = []
        if query in ranked.shown:
            ranked.shown[query].append((reference, score))
    return ranked


def _pair(path, line, row):
    try:
        query, reference, text = row
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise Refusal(f"{path}: line {line}: expected two names and a number")
    return query, reference, score


def read_match(path):
    """What the worker says of its run, the dict of a match.json; raises Refusal for another file."""
    found = _json(path)
    if not isinstance(found, dict) or set(found) != MATCH_KEYS:
        raise Refusal(f"{path}: expected the settings and counts of the matching worker: run it again")
    return found


def read_rejected(path):
    """The pictures left out, as dicts with folder (queries, references or normalise-with), name and
    reason."""
    rows = _json(path)
    if not isinstance(rows, list) or not all(map(_is_rejected, rows)):
        raise Refusal(f"{path}: expected a list of folder, name and reason from the matching worker")
    return rows


def _is_rejected(row):
    named = isinstance(row, dict) and set(row) == {"folder", "name", "reason"}
    return named and all(isinstance(text, str) for text in row.values())


def _tile(name, folder, score=None, unlike=None):
    try:
        picture = thumbnail(picture_path(name, folder).read_bytes(), SIDE)
    except (OSError, ValueError, SyntaxError):  # gone or changed since the worker has read it
        picture = None
    return Tile(name, picture, score, unlike is not None and score is not None and score > unlike)


def _json(path):
    try:
        return read_json_file(path, LARGEST_JSON)
    except (OSError, ValueError) as error:
        raise Refusal(f"{path}: expected a JSON file of the matching worker ({error})") from None
