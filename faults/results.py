"""faults/results.json: what the last whole run of each suite found, and on which machine."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path

from encore.runtime.atomic import write_json
from encore.runtime.fingerprint import fingerprint

RESULTS = Path(__file__).resolve().parent / "results.json"
MADE_WITH = ("python", "libraries", "processor", "cores", "revision", "dirty")


def suite_record(rows, seconds):
    """What is kept of one run of a suite: its Rows as mappings, and what it ran on."""
    made = fingerprint()
    return {
        "finished": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round(seconds, 1),
        "made_with": {key: made[key] for key in MADE_WITH},
        "rows": [_mapping(row) for row in rows],
    }


def keep(records, path=RESULTS):
    """Write {suite: record} into `path`, atomically; suites that did not run now keep what is there."""
    held = json.loads(path.read_text(encoding="utf-8"))["suites"] if path.exists() else {}
    write_json(path, {"suites": {**held, **records}})


def _mapping(row):
    values = dataclasses.asdict(row)
    values.pop("suite")
    values["lost"] = row.lost
    values["seconds"] = round(row.seconds, 2)
    values["figures"] = dict(row.figures)
    return values
