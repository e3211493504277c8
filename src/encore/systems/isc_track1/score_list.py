"""Scored pairs of pictures as the score normalisation hands them on, and their CSV files (spec
isc-track1-test 3): header query_id,reference_id,score, six decimals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np

from encore.metrics.predictions import PREDICTIONS_HEADER, read_table
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.picture_ids import QUERIES, REFERENCES, Digits

MILLION = 1000000
LARGEST_SCORE = 100
"""Beyond any score of ours: inner products of unit vectors, less twice another."""
ROWS_AT_A_TIME = 200000


@dataclass(frozen=True, eq=False)
class ScoreList:
    """`query`, `reference`: int32 (n,) codes of picture_ids; `grade`: int32 (n,), the place of the score.

    A score with six decimals is a whole number of millionths m; its grade is 3 m. The two grades between are
    for scores that the penalty moved past their sixth decimal (penalty.py). Grades sort as the scores do and
    are equal where they are. `source`: file that the rows were read from, if any, with row i in line
    i + `first_line`.
    """

    query: np.ndarray
    reference: np.ndarray
    grade: np.ndarray
    source: Optional[str] = None
    first_line: int = 1

    def __len__(self):
        return len(self.query)

    def select(self, kept):
        """The rows that the boolean or index array `kept` picks."""
        return ScoreList(self.query[kept], self.reference[kept], self.grade[kept])

    def keys(self):
        """int64 (n,): one number a pair of ids, sorting by query, then by reference."""
        return (self.query.astype(np.int64) << 31) | self.reference

    def place(self, row):
        """Where row `row` was read: file and line."""
        return "{}: line {}".format(self.source or "list", row + self.first_line)


def joined(lists):
    """One ScoreList of the rows of all `lists`, one list after the other."""
    lists = list(lists)
    columns = ("query", "reference", "grade")
    none = [np.zeros(0, dtype=np.int32)]
    return ScoreList(*(np.concatenate([getattr(one, name) for one in lists] or none) for name in columns))


def read_score_list(path, multi_part=False):
    """The ScoreList of a CSV file, in its order.

    `multi_part`: the list of original queries and parts of references; its columns stand swapped in the file
    as published, R000123_7 under query_id, and stand right in the result. Refuses, by file and line, rows
    that are not two ids and a score of at most six decimals.
    """
    try:
        data = read_table(str(path))
    except FileNotFoundError:
        raise Refusal(
            "{}: missing: the vote needs this list; make it with `dvc repro`".format(path)
        ) from None
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    header = PREDICTIONS_HEADER + b"\n"
    first_line = 1
    if data.startswith(header):
        data, first_line = data[len(header) :], 2
    if data and not data.endswith(b"\n"):
        data += b"\n"
    comma, second_comma, end = _separators(data, path, first_line)
    start = np.append(np.zeros(1, dtype=np.int64), end[:-1] + 1)[: len(end)]
    text = Digits(data)
    spaces = (REFERENCES, QUERIES) if multi_part else (QUERIES, REFERENCES)
    codes = []
    for space, first, last in zip(spaces, (start, comma + 1), (comma, second_comma)):
        codes.append(space.parse(text, first, last))
        wrong = np.flatnonzero(codes[-1] < 0)
        if len(wrong):
            row = wrong[0]
            raise Refusal(
                "{}: line {}: expected an id like {}, found {!r}".format(
                    path, row + first_line, space.example, _shown(data[first[row] : last[row]])
                )
            )
    grade = _grades(text, second_comma + 1, end, data, "{}: line {{}}".format(path), first_line)
    query, reference = codes[::-1] if multi_part else codes
    return ScoreList(query, reference, grade, str(path), first_line)


def write_rows(path, query, reference, score):
    """Write a CSV of codes (QUERIES, REFERENCES) and float64 scores, in their order, with header, atomically.

    Scores are the shortest text that reads back as the same float64.
    """
    with replacing(path) as file:
        file.write(PREDICTIONS_HEADER + b"\n")
        for first in range(0, len(query), ROWS_AT_A_TIME):
            rows = slice(first, first + ROWS_AT_A_TIME)
            columns = QUERIES.texts(query[rows]), REFERENCES.texts(reference[rows]), score[rows].tolist()
            file.write("".join(map("{},{},{!r}\n".format, *columns)).encode("ascii"))


def _separators(data, path, first_line):
    """Positions, int64 (n,) each, of a row's two commas and of its end."""
    characters = np.frombuffer(data, dtype=np.uint8)
    found = np.flatnonzero(characters <= ord(","))
    row = np.frombuffer(b",,\n", dtype=np.uint8)
    if len(found) % 3 == 0 and (characters[found].reshape(-1, 3) == row).all():
        return tuple(found.reshape(-1, 3).T)
    for number, line in enumerate(data.split(b"\n")[:-1], first_line):
        if line.count(b",") != 2 or min(line) < ord(","):
            found = repr(_shown(line)) if line.strip() else "a blank line"
            raise Refusal(
                "{}: line {}: expected query_id,reference_id,score, found {}".format(path, number, found)
            )
    raise AssertionError("a row that is not like the others was not found")


def _grades(text, start, end, data, place, first_line):
    """int32 (n,): grades of the scores at text[start:end]."""
    negative = text.at(start) == ord("-")
    point = end - 7
    whole = text.number(start + negative, point)
    usual = (text.at(point) == ord(".")) & (whole >= 0) & (whole < LARGEST_SCORE)
    decimals = text.number(point + 1, end)
    millionths = whole * MILLION + decimals
    millionths[negative] *= -1
    for row in np.flatnonzero(~(usual & (decimals >= 0))):
        millionths[row] = _millionths(data[start[row] : end[row]], place.format(row + first_line))
    return (3 * millionths).astype(np.int32)


def _millionths(text, place):
    """The millionths of a score that is not written with exactly six decimals: 0.35, 1e-06."""
    try:
        value = float(text)
    except ValueError:
        raise Refusal("{}: expected a number as score, found {!r}".format(place, _shown(text))) from None
    if not -LARGEST_SCORE < value < LARGEST_SCORE:  # nor is NaN
        raise Refusal(
            "{}: expected a score between -{limit} and {limit}, found {}".format(
                place, _shown(text), limit=LARGEST_SCORE
            )
        )
    millionths = int(round(value * MILLION))
    if millionths / float(MILLION) != value:
        raise Refusal(
            "{}: expected a score with at most six decimals, as the score normalisation writes it, "
            "found {}".format(place, _shown(text))
        )
    return millionths


def _shown(text):
    return text.decode("utf-8", "backslashreplace")[:80]
