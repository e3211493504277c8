"""What one verdict rests on: its metric file, the stages behind that, and what was found beside it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from checks.fingerprint_file import read_fingerprint
from checks.lineage import lineage
from checks.verdict import evidence_of
from checks.verdict_text import number_text
from encore.runtime.refusal import Refusal

CRATE = "crate/ro-crate-metadata.json"


@dataclass(frozen=True)
class Stage:
    """A stage (with its item) that a number rests on, as its fingerprint records the run."""

    name: str
    seed: str
    machine: str
    revision: str
    finished: str
    wall_seconds: float | None


@dataclass(frozen=True)
class Chain:
    """The evidence of one claim.

    `digest`: SHA-256 of the metric file when it was judged; `changed`: the file is another one by now;
    `recomputed_from`: the file that its numbers come out of again, "" where there is none; `facts`: further
    [(what, text)]; `stages`: what it rests on, in the order of finishing; `note`: why they are not known.
    """

    file: str
    key: str
    digest: str
    changed: bool
    recomputed_from: str
    definition: str
    command: str
    facts: list[tuple[str, str]]
    stages: list[Stage]
    note: str = ""

    @property
    def seconds(self):
        """Wall time of all stages together."""
        return sum(stage.wall_seconds or 0.0 for stage in self.stages)

    def values(self, name):
        """What the stages have as their `name` (seed, machine, revision), each value once."""
        return ", ".join(sorted({getattr(stage, name) for stage in self.stages}))


def chains(folder, verdicts, claims):
    """{claim id: Chain} of the rows of verdicts.json; `claims` by id give what is not in them."""
    behind, found = {}, {}
    for row in verdicts:
        file, _, key = row["metric"].partition(": ")
        if file not in behind:
            behind[file] = stages_behind(folder, file)
        stages, note = behind[file]
        claim = claims.get(row["id"])
        digest = (row.get("evidence") or {}).get("metric_sha256", "")
        found[row["id"]] = Chain(
            file,
            key,
            digest,
            bool(digest) and _digest(Path(folder) / file) != digest,
            _recomputed_from(folder, file),
            claim.metric.definition if claim else "",
            claim.command if claim else "",
            facts(row, claim),
            stages,
            note,
        )
    return found


def stages_behind(folder, file):
    """([Stage] whose records are there, "") of a metric file, or ([], why they are not known)."""
    try:
        paths = lineage(folder, file).fingerprint_files(folder)
    except Refusal as refusal:
        return [], str(refusal)
    stages = [_stage(path, Path(folder) / "fingerprints") for path in paths]
    return sorted(stages, key=lambda stage: (stage.finished, stage.name)), ""


def facts(row, claim):
    """[(what, text)] of what a verdict may carry beside its number, as far as it does."""
    found = []
    interval, runs, why = row.get("interval"), row.get("runs"), row.get("why")
    if interval:
        found.append(("95 % bootstrap interval", " to ".join(map(number_text, interval))))
    if runs:
        found.append(("Several seeds", _runs(runs)))
    if claim is not None and claim.seeds is not None:
        seeds = len(claim.seeds.values)
        found.append(("Tolerance from", f"{seeds} seeds, prediction interval of level {claim.seeds.level:g}"))
    if why:
        found.append(("Why it deviates", _cause(why)))
    return found


def _cause(why):
    """A cause (stage, kind, text) as one sentence."""
    where = ", ".join(filter(None, (why.get("kind"), why.get("stage"))))
    return f"{why.get('text', '')} ({where})" if where else str(why.get("text", ""))


def _runs(runs):
    """What several seeds gave: how many, mean, spread, each value, and the test of the mean, if any."""
    mean, spread, values = number_text(runs.get("mean")), number_text(runs.get("spread")), runs.get("values")
    found = f"{runs.get('n')} runs, mean {mean}, spread {spread}"
    if values:
        listed = ", ".join(f"{seed}: {number_text(value)}" for seed, value in values.items())
        found += f" (by seed: {listed})"
    test = runs.get("test")
    if test:
        outside = "outside" if test.get("rejects") else "not outside"
        found += f"; {test['name']}: {outside} the tolerance at level {test['level']}, p = {test['p']:.3g}"
    return found


def _stage(path, place):
    record = read_fingerprint(path)
    return Stage(
        path.relative_to(place).with_suffix("").as_posix(),
        str(record.get("seed", "–")),
        record["machine"],
        str(record.get("revision", "–"))[:10] + (" + changes" if record.get("dirty") is True else ""),
        record["finished"][:16].replace("T", " "),
        record.get("wall_seconds"),
    )


def _recomputed_from(folder, file):
    evidence = evidence_of(file)
    return evidence if (Path(folder) / evidence).is_file() else ""


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
