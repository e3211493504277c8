"""The fingerprints of all stages: what they share once, what differs in one row a stage."""

from __future__ import annotations

from dataclasses import dataclass

from checks.origin import read_fingerprint
from checks.report.ingredients import Missing

RUN_KEYS = ("seed", "wall_seconds", "peak_memory_bytes", "finished")
LEFT_OUT = ("parameters",)


@dataclass(frozen=True)
class Environments:
    """`shared`: {key: text} equal in all stages; `differing`: other keys; `stages`: {stage: {key: text}}."""

    shared: dict[str, str]
    differing: list[str]
    stages: dict[str, dict[str, str]]


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
    first = next(iter(stages.values()))
    shared = {
        key: first[key] for key in keys if all(stage.get(key) == first.get(key) for stage in stages.values())
    }
    return Environments(shared, [key for key in keys if key not in shared], stages)


def _flat(fingerprint):
    flat = {}
    for key, value in fingerprint.items():
        if key in LEFT_OUT:
            continue
        if isinstance(value, dict):
            flat.update({f"{key}.{name}": str(item) for name, item in value.items()})
        else:
            flat[key] = _shown(key, value)
    return flat


def _shown(key, value):
    if key == "peak_memory_bytes":
        return f"{value / 2**20:,.0f} MiB"
    if key == "wall_seconds":
        return f"{value:,.1f} s"
    return str(value)
