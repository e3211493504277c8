"""The fingerprints of all stages: what they share once, what differs in one row a stage."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from checks.fingerprint_file import read_fingerprint
from checks.report.ingredients import Missing

RUN_KEYS = ("seed", "wall_seconds", "peak_memory_bytes", "finished")
LEFT_OUT = ("parameters", "other_parameters", "published_flags", "recipe", "system", "stage", "item")
"""What belongs to one stage alone: its parameters, and the names that are in its file's name too."""
LONGEST = 40
"""Letters of a value that the page shows; digests and lists stay in the record."""


@dataclass(frozen=True)
class Environments:
    """`shared`: {key: text} equal in all stages that record the key; `differing`: other keys; `usual`: the
    value that most stages have of each of these; `stages`: {stage: {key: text}}. Keys that few stages record
    are theirs alone and only in `stages`."""

    shared: dict[str, str]
    differing: list[str]
    usual: dict[str, str]
    stages: dict[str, dict[str, str]]

    def unusual(self, stage):
        """[(key, text)] of what a stage records otherwise than most."""
        values = self.stages[stage]
        own = [key for key in self.differing if values.get(key, self.usual[key]) != self.usual[key]]
        return [(key, values[key]) for key in own]


def environments(folder):
    """All fingerprints below `<size>/fingerprints`; raises Missing when there is none."""
    place = folder / "fingerprints"
    files = sorted(place.rglob("*.json"))
    if not files:
        raise Missing("fingerprints/ is empty: no stage has run in this folder")
    stages = {
        path.relative_to(place).with_suffix("").as_posix(): _flat(read_fingerprint(path)) for path in files
    }
    keys = sorted({key for stage in stages.values() for key in stage} - set(RUN_KEYS))
    shared, usual = {}, {}
    for key in keys:
        values = Counter(stage[key] for stage in stages.values() if key in stage)
        if len(values) == 1 and 2 * values.total() > len(stages):
            shared[key] = next(iter(values))
        elif 2 * values.total() > len(stages) and max(map(len, values)) <= LONGEST:
            usual[key] = values.most_common(1)[0][0]
    return Environments(shared, list(usual), usual, stages)


def _flat(fingerprint):
    flat = {}
    for key, value in fingerprint.items():
        if key in LEFT_OUT:
            continue
        if isinstance(value, dict):
            flat.update({f"{key}.{name}": _shown(name, item) for name, item in value.items()})
        else:
            flat[key] = _shown(key, value)
    return flat


def _shown(key, value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key == "peak_memory_bytes":
        return f"{value / 2**20:,.0f} MiB"
    if key == "wall_seconds":
        return f"{value:,.1f} s"
    return str(value)
