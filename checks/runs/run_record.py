"""The record of one run: its stages, small enough to be stored beside the claims."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from checks.fields import read_fields
from checks.runs.dvc_lock import read_lock
from checks.runs.out_digest import digests_of
from checks.runs.stage_record import StageRecord, read_json, read_mapping, record_stage
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal

FORMAT = "encore-run/1"
CANARY = "canary.json"


@dataclass(frozen=True)
class RunRecord:
    """The stages of one run in the order in which they feed each other.

    `canary`: {operation: verdict} of the numerical canary and the two keys it was compared under, where the
    folder holds the output of `encore environment cpu --canary --json` as canary.json.
    """

    stages: dict[str, StageRecord]
    canary: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_folder(cls, folder, stages=None):
        """The record of the run in the size folder `folder`, or of those of its stages that are named.

        Raises Refusal when there is no dvc.lock, or a metric, manifest, fingerprint or input record that is
        there cannot be read.
        """
        folder = Path(folder)
        locked = read_lock(folder)
        digests = digests_of(folder.resolve())
        found = {
            name: record_stage(folder, name, stage, digests)
            for name, stage in locked.items()
            if stages is None or name in stages
        }
        digests.remember()
        return cls(found, _canary(folder / CANARY))

    @classmethod
    def of_file(cls, path):
        """The record that `write` left in `path`; raises Refusal for anything else."""
        value = read_json(Path(path), "no such run record; `encore reference SIZE --output FILE` writes one")
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise Refusal(f"{path}: not a run record ({FORMAT}); `encore reference SIZE` writes one")
        try:
            stages = {name: _unpacked(row, value) for name, row in value["stages"].items()}
            canary = {str(key): str(item) for key, item in value["canary"].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Refusal(
                f"{path}: not a whole run record ({type(error).__name__}: {error}): write it again with "
                "`encore reference SIZE`"
            ) from None
        return cls(
            {name: read_fields(StageRecord, row, f"{path}: {name}") for name, row in stages.items()}, canary
        )

    @classmethod
    def of(cls, path):
        """The record of a size folder or of a record file."""
        return cls.of_folder(path) if Path(path).is_dir() else cls.of_file(path)

    def write(self, path):
        """Write the record as JSON with one line an entry; what several stages share stands there once."""
        files, fingerprints, stages = {}, {}, {}
        for name, stage in self.stages.items():
            row = {key: item for key, item in dataclasses.asdict(stage).items() if item not in ({}, "")}
            row["deps"] = " ".join(_shared(files, [dep, md5]) for dep, md5 in sorted(stage.deps.items()))
            row["fingerprint"] = _shared(fingerprints, stage.fingerprint)
            row["outs"] = {out: _present(entry) for out, entry in row.get("outs", {}).items()}
            stages[name] = row
        parts = {
            "canary": dict(sorted(self.canary.items())),
            "files": dict(sorted(files.items(), key=lambda entry: entry[1])),
            "fingerprints": dict(sorted(fingerprints.items())),
            "stages": stages,
        }
        text = "".join(_lines(parts))
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, "w") as file:
            file.write(text)

    @property
    def changed(self):
        """{output: what became of it} of those that are no longer what their stages wrote."""
        return {
            path: out.changed
            for stage in self.stages.values()
            for path, out in stage.outs.items()
            if out.changed is not None
        }


def _canary(path):
    if not path.is_file():
        return {}
    value = read_mapping(path)
    value = value.get("canary", value)  # as `encore environment` or as the canary itself prints it
    try:
        rows = {f"{row['operation']} ({row['compared_with']})": row["verdict"] for row in value["rows"]}
        return {"key": value["key"], "image_key": value["image_key"], **rows}
    except (KeyError, TypeError) as error:
        raise Refusal(
            f"{path}: not the canary's report ({type(error).__name__}: {error}): write it again with "
            f"`encore environment cpu --canary --json > {path}`"
        ) from None


def _shared(table, value):
    """The key of `value` in a table of what several stages share; it is entered when new."""
    key = hashlib.sha256(_text(value).encode()).hexdigest()[:10]
    table[key] = value
    return key


def _unpacked(row, record):
    return {
        "system": "",
        "item": "",
        **row,
        "deps": dict(record["files"][key] for key in row["deps"].split()),
        "fingerprint": record["fingerprints"][row["fingerprint"]],
    }


def _present(entry):
    return {key: item for key, item in entry.items() if item is not None}


def _lines(parts):
    yield f'{{"format": "{FORMAT}"'
    for part, entries in parts.items():
        yield f',\n"{part}": {{'
        yield ",".join(f"\n {_text(key)}: {_text(entry)}" for key, entry in entries.items())
        yield "}"
    yield "}\n"


def _text(value):
    """A value as JSON; raises Refusal for what JSON has no form for, as `.nan` or a date in params.yaml."""
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise Refusal(f"dvc.lock: a value that no record can hold ({error}): correct params.yaml") from None
