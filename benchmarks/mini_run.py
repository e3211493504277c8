"""Time and memory of the last mini run, stage by stage, from its fingerprints.

`elapsed_seconds` runs from the start of the first stage to the end of the last one; it says what `make mini`
took only where all stages ran in one go.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path

MINI = Path(__file__).resolve().parent.parent / "mini"


def run():
    """{stages: {name: …}, wall_seconds, elapsed_seconds, peak_memory_bytes}; {} before `make mini`."""
    stages, began, ended = {}, [], []
    for path in sorted((MINI / "fingerprints").rglob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        name = str(path.relative_to(MINI / "fingerprints").with_suffix(""))
        end = datetime.datetime.fromisoformat(found["finished"])
        began.append(end - datetime.timedelta(seconds=found["wall_seconds"]))
        ended.append(end)
        stages[name] = {key: found[key] for key in ("wall_seconds", "peak_memory_bytes")}
    if not stages:
        return {}
    return {
        "stages": stages,
        "wall_seconds": round(sum(entry["wall_seconds"] for entry in stages.values()), 1),
        "elapsed_seconds": round((max(ended) - min(began)).total_seconds(), 1),
        "peak_memory_bytes": max(entry["peak_memory_bytes"] for entry in stages.values()),
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
