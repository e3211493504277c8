"""The raw data that a run started from: count, digests, licence and source, and never a copy."""

from __future__ import annotations

import posixpath

from checks.provenance.graph import ref
from checks.raw_data.inputs import read_inputs
from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal

FIELDS = {"dataset": (str,), "path": (str,), "count": (int,), "bytes": (int,), "names_sha256": (str,)}
FIELDS = {**FIELDS, "licence": (str, type(None)), "sha256": (str, type(None))}
"""What the record of a data set holds, and of which kind it is."""


def data_sets(run):
    """{path of its record from the project's folder: row} of every data set that a stage checked; `source`
    is what inputs.yaml says of it."""
    found = {}
    for stage in run.stages:
        for recorded in stage.wrote:
            if posixpath.dirname(recorded.path) == run.in_project("inputs"):
                path = run.root / recorded.path
                if path.is_file():
                    found[recorded.path] = _row(path)
    path = run.size.folder / "inputs.yaml"
    inputs = read_inputs(path) if found and path.is_file() else {}
    for row in found.values():
        entry = inputs.get(row["dataset"])
        row["source"] = entry.source if entry else "not stated"
    return found


def data_set(run, graph, discretion, row):
    """The id of the entity of one data set."""
    digest = row.get("sha256")
    return graph.add(
        f"#data/{row['dataset']}",
        "Dataset",
        name=row["dataset"],
        alternateName=discretion.clean(run.in_project(row["path"])),
        description=f"{row['count']:,} files, {row['bytes']:,} bytes, not in this crate; from: "
        + discretion.clean(row["source"]),
        license=row["licence"],
        contentSize=str(row["bytes"]),
        sha256=digest,
        identifier=ref(_names_digest(graph, row)),
    )


def _names_digest(graph, row):
    return graph.add(
        f"#names/{row['dataset']}",
        "PropertyValue",
        name=f"file names of {row['dataset']}",
        propertyID="sha256 of the sorted file names, one a line",
        value=row["names_sha256"],
    )


def _row(path):
    try:
        row = read_json_file(path)
    except (OSError, RecursionError, ValueError):
        row = None
    row = row if isinstance(row, dict) else {}
    wrong = [key for key, kinds in FIELDS.items() if type(row.get(key)) not in kinds]
    if wrong:
        raise Refusal(f"{path}: {wrong[0]}: not a record of a data set: write it again by `encore data`")
    return row
