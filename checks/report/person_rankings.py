"""Person re-identification: what each run reaches by both protocols, and what the best one ranks first."""

from __future__ import annotations

import csv
import dataclasses
import math
from dataclasses import dataclass
from pathlib import PurePosixPath

from checks.fields import read_fields
from checks.recipe import read_parameters, section_of
from checks.report.figures import BELOW, MOST_LINES, Series, line_figure
from checks.report.ingredients import Missing, need, read_columns
from checks.report.thumbnails import thumbnail
from encore.data.image_source import open_source
from encore.runtime.bounded_file import bounded_lines
from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal

CMC_COLUMNS = ["rank", "published", "torchreid"]
COLUMNS = ["query", "rank", "gallery", "score", "state"]
STATES = ("right", "wrong", "distractor")
KEPT = 10
"""So many matches of a query are in a file of predictions, or the whole gallery where it is smaller."""
RANKS = 20
TABLE_RANKS = (1, 5, 10)
SIDE = 144


@dataclass(frozen=True)
class Scores:
    """Shares from 0 to 1 of one run, and on how many queries they rest; None: not measured."""

    rank1: float
    rank5: float
    rank10: float
    mAP: float
    torchreid_rank1: float
    torchreid_mAP: float
    queries: int
    left_out: int
    multi_query_rank1: float | None = None
    multi_query_mAP: float | None = None
    reranked_rank1: float | None = None
    reranked_mAP: float | None = None

    def percent(self, name):
        value = getattr(self, name)
        return None if value is None else 100 * value


@dataclass(frozen=True)
class Match:
    """A gallery picture as the predictions have it: its score, and whether it is right, wrong or a
    distractor."""

    name: str
    score: float
    state: str


@dataclass(frozen=True)
class Row:
    """A query and its first matches, how many of all `listed` ones are right, and the pictures by name as
    data URIs."""

    query: str
    matches: list[Match]
    right: int
    listed: int
    pictures: dict[str, str]


@dataclass(frozen=True)
class PersonRankings:
    """`figures`: SVGs of the CMC curves; `runs`: what they reach, None: not yet; `missing`: files not yet
    there; `best`: the run with the highest mAP, which `rows` are of; `note`: why there are no rows."""

    figures: list[str]
    runs: dict[str, Scores | None]
    missing: list[str]
    best: str
    rows: list[Row]
    note: str | None


def person_rankings(folder, system="reid"):
    """The PersonRankings of the runs that a size's params.yaml has evaluated.

    Raises Missing where the parameters have no such system or nothing was evaluated, Refusal for bad files.
    """
    path = need(folder, "params.yaml")
    parameters = read_parameters(path)
    if system not in parameters:
        raise Missing(f"params.yaml has no section {system}")
    missing, runs, curves = [], {}, []
    for name in _evaluated(parameters, system, path):
        runs[name] = _if_there(folder, f"metrics/{system}/evaluate/{name}.json", read_scores, missing)
        curve = _if_there(folder, f"plots/{system}/cmc/{name}.csv", read_cmc, missing)
        curves += [] if curve is None else [Series(name, *curve)]
    measured = {name: scores for name, scores in runs.items() if scores}
    if not measured:
        raise Missing(f"metrics/{system}/evaluate holds no result of an evaluation yet")
    if len({(scores.queries, scores.left_out) for scores in measured.values()}) > 1:
        raise Refusal(
            f"{folder}/metrics/{system}/evaluate: expected equal queries and left_out of all runs, found "
            "runs on other pictures: evaluate them again"
        )
    best = max(measured, key=lambda name: measured[name].mAP)
    try:
        rows, note = ranked_rows(folder, f"predictions/{system}/{best}.csv", parameters, system), None
    except Missing as error:
        rows, note = [], str(error)
    return PersonRankings(cmc_figures(curves), runs, missing, best, rows, note)


def _evaluated(parameters, system, path):
    names = section_of(parameters, f"{system}.evaluated")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise Refusal(f"{path}: {system}.evaluated: expected a list of runs, found {names!r}")
    return names


def _if_there(folder, file, read, missing):
    """What `read` makes of a file; None where it is missing, which is then noted."""
    try:
        return read(need(folder, file))
    except Missing:
        missing.append(file)
        return None


def read_scores(path):
    """The Scores of a metric file, which holds other numbers too; raises Refusal."""
    try:
        value = read_json_file(path)
    except ValueError as error:
        raise Refusal(f"{path}: not JSON ({error}): run its stage again") from None
    known = {field.name for field in dataclasses.fields(Scores)}
    if not isinstance(value, dict):
        raise Refusal(f"{path}: expected names with numbers, found {value!r:.40}: run its stage again")
    shown = {key: number for key, number in value.items() if key in known}
    scores = read_fields(Scores, shown, f"{path}: ")
    for key in sorted(known - {"queries", "left_out"}):
        share = getattr(scores, key)
        if share is not None and not 0 <= share <= 1:
            raise Refusal(f"{path}: {key}: expected a share from 0 to 1, found {share}: run its stage again")
    if not 0 <= scores.left_out <= scores.queries:
        raise Refusal(f"{path}: left_out: expected at most {scores.queries} queries, found {scores.left_out}")
    return scores


def read_cmc(path):
    """(ranks, percent of the queries with a right match up to there), published protocol; raises Refusal
    naming file and line."""
    columns = read_columns(path)
    if list(columns) != CMC_COLUMNS:
        raise Refusal(f"{path}: expected the columns {', '.join(CMC_COLUMNS)}, found {', '.join(columns)}")
    ranks, shares = columns["rank"], columns["published"]
    if not ranks:
        raise Refusal(f"{path}: line 2: expected rank 1, found the end of the file: run its stage again")
    for line, (rank, before, share) in enumerate(zip(ranks, [0.0, *shares], shares), 2):
        if rank != line - 1:
            raise Refusal(f"{path}: line {line}: expected rank {line - 1}, found {rank:g}")
        if not before <= share <= 1:
            raise Refusal(f"{path}: line {line}: expected a share from {before:g} to 1, found {share:g}")
    return ranks[:RANKS], [100 * share for share in shares[:RANKS]]


def cmc_figures(curves):
    """SVGs of the CMC curves, one for as many of them as a figure can tell apart."""
    parts = math.ceil(len(curves) / MOST_LINES)
    figures = []
    for part in range(parts):
        lines = curves[part * len(curves) // parts : (part + 1) * len(curves) // parts]
        title = "Queries with a right match up to a rank: " + "; ".join(map(_curve_text, lines))
        last = max(line.x[-1] for line in lines)
        figures.append(
            line_figure(
                f"persons-cmc-{part}",
                title,
                lines,
                "rank",
                "queries with a right match (%)",
                points=True,
                legend=BELOW,
                marks=("ranks of the table", {rank: str(rank) for rank in TABLE_RANKS if rank <= last}),
                size=(4.5, 3.6),
            )
        )
    return figures


def _curve_text(line):
    ranks = [rank for rank in (*TABLE_RANKS, RANKS) if rank <= len(line.y)]
    return f"{line.label} " + ", ".join(f"{line.y[rank - 1]:.1f} % at rank {rank}" for rank in ranks)


def ranked_rows(folder, file, parameters, system, count=8, matches=8):
    """`count` Rows from the best query of a file of predictions to the worst, at even distances."""
    ranked = read_predictions(need(folder, file))
    if not ranked:
        raise Missing(f"{file} holds no query yet")
    order = sorted(ranked, key=lambda query: (-precision_of(ranked[query]), query))
    if len(order) > count:
        order = [order[round(i * (len(order) - 1) / (count - 1))] for i in range(count)]
    source = PersonPictures(folder, parameters, system)
    rows = []
    for query in order:
        first = ranked[query][:matches]
        right = sum(match.state == "right" for match in ranked[query])
        names = [query, *(match.name for match in first)]
        pictures = {name: source.thumbnail(name, file) for name in names}
        rows.append(Row(query, first, right, len(ranked[query]), pictures))
    return rows


def precision_of(matches):
    """Average precision as far as the kept matches tell: the precision at each right one, summed, over 10.

    How many right ones the gallery has is not in the predictions.
    """
    right, total = 0, 0.0
    for place, match in enumerate(matches[:KEPT], 1):
        if match.state == "right":
            right += 1
            total += right / place
    return total / KEPT


def read_predictions(path):
    """{query: its matches, best first} of a CSV, in its order; raises Refusal naming file and line."""
    ranked = {}
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.reader(bounded_lines(file, path))
        header = next(rows, None)
        if header != COLUMNS:
            raise Refusal(f"{path}: expected the columns {', '.join(COLUMNS)}, found {header}")
        for row in rows:
            where = f"{path}: line {rows.line_num}"
            query, rank, match = _match(row, where)
            matches = ranked.setdefault(query, [])
            if rank != len(matches) + 1:
                raise Refusal(f"{where}: expected rank {len(matches) + 1} of {query}, found {rank}")
            matches.append(match)
    return ranked


def _match(row, where):
    if len(row) != len(COLUMNS):
        raise Refusal(f"{where}: expected {len(COLUMNS)} fields, found {len(row)}")
    try:
        rank, score = int(row[1]), float(row[3])
    except ValueError:
        raise Refusal(f"{where}: expected rank and score as numbers, found {row[1]!r}, {row[3]!r}") from None
    if not math.isfinite(score):
        raise Refusal(f"{where}: expected a finite score, found {row[3]}")
    if row[4] not in STATES:
        raise Refusal(f"{where}: expected the state {', '.join(STATES)}, found {row[4]!r}")
    return row[0], rank, Match(row[2], score, row[4])


class PersonPictures:
    """The pictures below `<system>.evaluation.root` by their path there: of a folder, or a tar as
    `file.tar#prefix`."""

    def __init__(self, folder, parameters, system):
        self.root = section_of(parameters, f"{system}.evaluation.root")
        if not isinstance(self.root, str):
            raise Refusal(
                f"{folder}/params.yaml: {system}.evaluation.root: expected where the pictures are, found "
                f"{self.root!r}"
            )
        place, mark, prefix = self.root.partition("#")
        self._path = need(folder, place)
        self._tar = None if self._path.is_dir() else open_source(f"{self._path}{mark}{prefix}")
        self._members = {} if self._tar is None else {name: i for i, name in enumerate(self._tar.names)}

    def thumbnail(self, name, named_by):
        """A data URI; raises Missing for a picture that is not there, Refusal for what is none."""
        file = self._path / name
        if not (file.is_file() if self._tar is None else name in self._members):
            raise Missing(f"the picture {name} is named by {named_by} and missing from {self.root}")
        data = file.read_bytes() if self._tar is None else self._tar.read(self._members[name])
        try:
            return thumbnail(data, SIDE)
        except OSError as error:
            raise Refusal(f"{self.root}: {name}: expected a picture, found none ({error})") from None


def short_name(name):
    """The name of a picture without its folders and its ending."""
    return PurePosixPath(name).stem
