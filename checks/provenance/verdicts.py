"""Verdicts as fact checks of claims, each tied to the file that it was read from."""

from __future__ import annotations

import json
import re

from checks.provenance.graph import ref, refs
from checks.provenance.run import Recorded
from checks.verify import verdicts_path
from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal

REQUIRED = ("id", "metric", "verdict", "system")
TEXTS = ("title", "reason", "source", "origin", "detail")


def read_verdicts(size):
    """The rows of verdicts.json, [] where there is none; raises Refusal for a file that is no such list."""
    path = verdicts_path(size)
    if not path.is_file():
        return []
    try:
        rows = read_json_file(path)
    except (OSError, RecursionError, ValueError):
        rows = None
    if not isinstance(rows, list) or not all(map(_is_verdict, rows)):
        raise Refusal(f"{path}: not a list of verdicts: write it again by `encore verify`")
    return rows


def _is_verdict(row):
    """Whether a row has what the crate tells of it."""
    if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in REQUIRED):
        return False
    texts = all(isinstance(row.get(key, ""), (str, type(None))) for key in TEXTS)
    return texts and isinstance(row.get("evidence") or {}, dict)


class Verdicts:
    """The verdicts of a run as entities; `problems` names those that were read from other bytes."""

    def __init__(self, run, graph, files, discretion):
        self._run, self._graph, self._files, self._discretion = run, graph, files, discretion
        self._recorded = {one.path: one for stage in run.stages for one in stage.wrote}
        self.problems = []

    def add(self, rows):
        """Add an entity for each row of verdicts.json; returns their ids in order."""
        return [self._verdict(row) for row in rows]

    def _verdict(self, row):
        graph, name = self._graph, row["id"]
        file, _, key = row["metric"].partition(": ")
        metric = self._entity(file)
        evidence = re.sub(r"^metrics/(.+)[.]json$", r"evidence/\1.npz", file)
        based = [metric, self._entity(evidence) if self._run.in_project(evidence) in self._recorded else None]
        self._compare(row, file)
        claims = self._claims_file(row["system"])
        graph.add(
            f"#claim/{name}",
            "Claim",
            name=row.get("title", name),
            text=f"{row['metric']}: expected {row.get('expected')}, tolerance "
            f"{json.dumps(row.get('tolerance'))}; because: {row.get('reason', '')}",
            citation=row.get("source"),
            appearance=None if claims is None else ref(claims),
        )
        graph.add(f"#value/{name}", "PropertyValue", name=key, value=row.get("value"))
        said = "; ".join(filter(None, (row.get("origin"), row.get("detail"))))
        rating = "-".join(row["verdict"].replace("(", "").replace(")", "").split())
        graph.add(f"#verdict-text/{rating}", "Rating", name=row["verdict"], alternateName=row["verdict"])
        return graph.add(
            f"#verdict/{name}",
            "ClaimReview",
            name=f"{name}: {row['verdict']}",
            claimReviewed=row.get("title", name),
            itemReviewed=ref(f"#claim/{name}"),
            reviewRating=ref(f"#verdict-text/{rating}"),
            about=ref(f"#value/{name}"),
            isBasedOn=refs([one for one in based if one is not None]),
            reviewBody=self._discretion.clean(said),
            isPartOf=ref(self._run.in_project("report/verdicts.json")),
        )

    def _entity(self, file):
        path = self._run.in_project(file)
        if path in self._recorded:
            return self._files.entity(self._recorded[path])
        return self._files.entity(Recorded(path, None)) if (self._run.root / path).is_file() else None

    def _claims_file(self, system):
        path = self._run.size.claims / f"{system}.yaml"
        try:
            return self._files.hold(path.resolve().relative_to(self._run.root).as_posix())
        except ValueError:
            return None  # claims that lie elsewhere than in the project

    def _compare(self, row, file):
        """Note a metric file that is no longer the one that was judged."""
        judged = (row.get("evidence") or {}).get("metric_sha256")
        entity = self._graph.crate.dereference(self._run.in_project(file))
        if judged and (entity is None or entity.get("sha256") != judged):
            self.problems.append(f"{row['id']}: {file} is not what was judged: run `encore verify` again")
