"""The published CSV formats of predictions and ground truth.

Predictions: three fields a line, query id, reference id, score; optional first line exactly
`query_id,reference_id,score`. Ground truth: query id and reference id, empty where the query has no match;
optional first line exactly `query_id,reference_id`. Ids are any text without commas and line breaks, taken as
they stand.

One published behaviour is not kept: in a ground truth with another header text the official reader counts
that header as a true pair. A first line that looks like a header and is not the exact one is refused instead.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from encore.metrics.decimal_texts import decimal_texts
from encore.metrics.pairs import GroundTruth, Predictions, contained
from encore.runtime.atomic import replacing
from encore.runtime.bounded_file import LONGEST_LINE, read_bounded
from encore.runtime.refusal import Refusal

PREDICTIONS_HEADER = b"query_id,reference_id,score"
GROUND_TRUTH_HEADER = b"query_id,reference_id"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
ROWS_AT_A_TIME = 200000
LARGEST = 1 << 34
"""Bytes of a file: 16 GiB, seven times the largest published one."""


class IdTable:
    """Numbers id texts in order of first appearance: equal texts get equal numbers, others differ."""

    def __init__(self):
        self._number = defaultdict()
        self._number.default_factory = self._number.__len__  # an unknown text gets the next number

    def __len__(self):
        return len(self._number)

    def encode(self, texts):
        """int64 (n,): the numbers of `texts`, a list of bytes; new ones are added."""
        return np.fromiter(map(self._number.__getitem__, texts), dtype=np.int64, count=len(texts))

    @property
    def names(self):
        """The texts as a list of str, bytes that are not UTF-8 as in file names; position = number."""
        return [text.decode("utf-8", "surrogateescape") for text in self._number]


@dataclass(frozen=True)
class PairIds:
    """The id tables that predictions and ground truth of one evaluation share."""

    queries: IdTable = field(default_factory=IdTable)
    references: IdTable = field(default_factory=IdTable)


def read_predictions(path, ids):
    """Read a prediction CSV as Predictions, numbering its ids in `ids` (PairIds).

    Refuses, by file and line, a malformed or blank line, an empty id, a score that is no number, and NaN.
    """
    (queries, references, scores), first_line = _columns(path, 3, PREDICTIONS_HEADER)
    for column, what in ((queries, "query"), (references, "reference")):
        if b"" in column:
            raise Refusal(
                "expected a {} id, found none in line {} of {}".format(
                    what, first_line + column.index(b""), path
                )
            )
    try:
        score = np.fromiter(map(float, scores), dtype=np.float64, count=len(scores))
    except ValueError:
        row = next(row for row, text in enumerate(scores) if not _is_number(text))
        raise Refusal(
            "expected a number as score, found {!r} in line {} of {}".format(
                _shown(scores[row]), first_line + row, path
            )
        ) from None
    undefined = np.flatnonzero(np.isnan(score))
    if len(undefined):
        raise Refusal(
            "expected a score that can be ordered, found NaN in line {} of {}".format(
                first_line + undefined[0], path
            )
        )
    return Predictions(ids.queries.encode(queries), ids.references.encode(references), score)


def read_ground_truth(path, ids):
    """Read a ground truth CSV as GroundTruth, numbering its ids in `ids` (PairIds); refusals as for
    predictions."""
    (queries, references), first_line = _columns(path, 2, GROUND_TRUTH_HEADER)
    if b"" in queries:
        raise Refusal(
            "expected a query id, found none in line {} of {}".format(first_line + queries.index(b""), path)
        )
    labelled = ids.queries.encode(queries)
    matched = np.fromiter(map(bool, references), dtype=bool, count=len(references))
    reference = ids.references.encode([text for text in references if text])
    return GroundTruth(labelled[matched], reference, labelled)


def read_ground_truth_of(path, query_ids, reference_ids):
    """The GroundTruth of a CSV with positions in `query_ids` and `reference_ids` (lists of str) as ids.

    Refuses one without any true pair, and a query or reference of it that has no position.
    """
    ids = PairIds()
    ids.queries.encode([name.encode("utf-8") for name in query_ids])
    ids.references.encode([name.encode("utf-8") for name in reference_ids])
    truth = read_ground_truth(path, ids)
    if not len(truth):
        raise Refusal("{}: expected at least one true pair, found none".format(path))
    for what, numbers, count, table in (
        ("query", truth.labelled, len(query_ids), ids.queries),
        ("reference", truth.reference, len(reference_ids), ids.references),
    ):
        without = numbers[~contained(numbers, np.arange(count))]
        if len(without):
            raise Refusal(
                "{}: expected a descriptor of every {}, found none of {} ({} in all): evaluate the pictures "
                "that the ground truth belongs to".format(
                    path, what, table.names[without[0]], len(np.unique(without))
                )
            )
    return truth


def read_evaluation(predictions_path, ground_truth_path):
    """(Predictions, GroundTruth, PairIds) of two CSV files, with the ids numbered alike."""
    ids = PairIds()
    truth = read_ground_truth(ground_truth_path, ids)
    return read_predictions(predictions_path, ids), truth, ids


def write_predictions(path, query_ids, reference_ids, scores, decimals=None):
    """Write a prediction CSV with header, atomically, in the given order.

    `scores` are written exactly (the shortest text that reads back as the same float64), or with `decimals`
    digits after the point, which may make ties.
    """
    shown = repr if decimals is None else "{{:.{}f}}".format(decimals).format
    scores = np.asarray(scores, dtype=np.float64)
    if np.isnan(scores).any():
        raise Refusal("expected scores that can be ordered, found NaN for {}".format(path))
    _write_rows(path, PREDICTIONS_HEADER, query_ids, reference_ids, map(shown, scores.tolist()))


def write_numbered_predictions(path, query_ids, reference_ids, pairs, decimals=6):
    """Write a prediction CSV of row numbers, with header, atomically, in the given order: a million rows take
    a second.

    `query_ids`, `reference_ids`: ASCII texts of the rows, lists or arrays of fixed-length bytes; `pairs`: has
    `query` and `reference`, int64 (n,) row numbers, and `score` (n,). Scores are written as `"%.6f"` writes
    them.
    """
    sides = [
        (_id_characters(path, ids), numbers)
        for ids, numbers in ((query_ids, pairs.query), (reference_ids, pairs.reference))
    ]
    if not np.isfinite(pairs.score).all():
        raise Refusal("expected finite scores, found NaN or infinity for {}".format(path))
    with replacing(path) as file:
        file.write(PREDICTIONS_HEADER + b"\n")
        for first in range(0, len(pairs.score), ROWS_AT_A_TIME):
            rows = slice(first, first + ROWS_AT_A_TIME)
            columns = [characters[numbers[rows]] for characters, numbers in sides]
            columns.append(decimal_texts(pairs.score[rows], decimals))
            file.write(_lines(columns))


def _lines(columns):
    """The CSV lines of `columns`, each uint8 (n, w) with zeros where there is no character."""
    table = np.empty((len(columns[0]), sum(column.shape[1] + 1 for column in columns)), dtype=np.uint8)
    start = 0
    for column in columns:
        end = start + column.shape[1]
        table[:, start:end] = column
        table[:, end] = ord(",")
        start = end + 1
    table[:, -1] = ord("\n")
    return table[table != 0].tobytes()


def _id_characters(path, ids):
    """uint8 (n, w): the characters of the `ids`, ASCII texts, with zeros behind; Refusal for one that a CSV
    file cannot hold."""
    if not len(ids):
        return np.zeros((0, 1), dtype=np.uint8)
    try:
        texts = np.asarray(ids).astype("S")
    except UnicodeEncodeError as error:
        raise Refusal("expected ASCII ids, found {!r} for {}".format(error.object, path)) from None
    characters = texts.view(np.uint8).reshape(len(texts), -1)
    wrong = np.isin(characters, np.frombuffer(b",\r\n", dtype=np.uint8)).any(axis=1)
    wrong |= (characters[:, 0] == 0) | ((characters[:, :-1] == 0) & (characters[:, 1:] != 0)).any(axis=1)
    if wrong.any():
        raise Refusal(
            "expected ids of some characters, without commas and line breaks, found {!r} for {}".format(
                _shown(texts[int(np.argmax(wrong))]), path
            )
        )
    return characters


def write_ground_truth(path, query_ids, reference_ids):
    """Write a ground truth CSV with header, atomically; a query without a match has the reference ""."""
    _write_rows(path, GROUND_TRUTH_HEADER, query_ids, reference_ids)


def _write_rows(path, header, *columns):
    columns = [list(column) for column in columns]
    if len({len(column) for column in columns}) != 1:
        raise ValueError("columns of unequal length: {}".format([len(column) for column in columns]))
    with replacing(path, "w") as file:
        file.write(header.decode("ascii") + "\n")
        for row in zip(*columns):
            line = ",".join(row)
            if line.count(",") != len(columns) - 1 or "\n" in line or "\r" in line:
                raise Refusal(
                    "expected ids without commas and line breaks, found {!r} for {}".format(line, path)
                )
            file.write(line + "\n")


def _columns(path, width, header):
    """The `width` columns of a CSV file as lists of bytes, and the line number of their first entry."""
    data = read_table(path)
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    first, _, rest = data.partition(b"\n")
    first_line = 1
    if first == header:
        data, first_line = rest, 2
    elif _looks_like_header(first):
        raise Refusal(
            "expected the header {!r} or none, found {!r} in line 1 of {}".format(
                header.decode("ascii"), _shown(first), path
            )
        )
    if data and not data.endswith(b"\n"):
        data += b"\n"
    _check_lines(data, width, path, first_line)
    fields = data.replace(b"\n", b",").split(b",")
    del fields[-1]
    return [fields[column::width] for column in range(width)], first_line


def read_table(path):
    """The bytes of a CSV file; FileNotFoundError where there is none; Refusal, naming it, for one that cannot
    be read, is no plain file or too large, and as `_check_line_lengths`."""
    try:
        data = read_bounded(path, LARGEST)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Refusal("{}: cannot be read ({}): mend the path".format(path, error.strerror)) from None
    _check_line_lengths(data, path)
    return data


def _check_line_lengths(data, path):
    """Refuse a line of more than two LONGEST_LINE: one that is longer than one, and no other, may pass.

    Looks for a line break behind every LONGEST_LINE bytes only: a file of 2.4 GB takes milliseconds.
    """
    for start in range(0, len(data) - LONGEST_LINE, LONGEST_LINE):
        end = start + LONGEST_LINE
        if data.find(b"\n", start, end) < 0 and data.find(b"\r", start, end) < 0:
            raise Refusal(
                "expected lines of at most {} bytes, found a longer one at byte {} of {}".format(
                    LONGEST_LINE, start, path
                )
            )


def _check_lines(data, width, path, first_line):
    """Refuse the first line of `data` that does not have `width` fields."""
    characters = np.frombuffer(data, dtype=np.uint8)
    separators = characters[(characters == ord(",")) | (characters == ord("\n"))]
    row = np.frombuffer(b"," * (width - 1) + b"\n", dtype=np.uint8)
    whole = len(separators) // width
    wrong = (separators[: whole * width].reshape(whole, width) != row).any(axis=1)
    if not wrong.any() and whole * width == len(separators):
        return
    bad = int(np.argmax(wrong)) if wrong.any() else whole
    line = data.split(b"\n", bad + 1)[bad]
    found = repr(_shown(line)) if line.strip() else "a blank line"
    raise Refusal(
        "expected {} fields between commas, found {} in line {} of {}".format(
            width, found, first_line + bad, path
        )
    )


def _looks_like_header(line):
    fields = line.strip().lower().replace(b'"', b"").split(b",")
    names = [text.strip().replace(b"_", b"").replace(b" ", b"") for text in fields[:2]]
    return line.startswith(BYTE_ORDER_MARK) or (
        len(names) == 2 and names[0] in (b"query", b"queryid") and names[1] in (b"reference", b"referenceid")
    )


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shown(text):
    return text.decode("utf-8", "backslashreplace")[:80]
