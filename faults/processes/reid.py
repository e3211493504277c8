"""The training of person re-identification on several processes, which share the replicas of a batch."""

from __future__ import annotations

import yaml

from encore.systems.reid.run_folder import RunFolder
from faults.numerical.tiny_people import draw_people, reid_values
from faults.processes.shared_run import SharedStage, shared_rows

RUN = "tiny"
AT = (1, 1)


def rows(full):
    """Yield the Rows, all of the full suite: in short the stage's tests share it."""
    if full:
        yield from shared_rows(STAGE, full)


def prepare(folder):
    """Write people and a parameter file with one run, whose batches of 4 have 4 replicas, into a folder."""
    draw_people(folder / "people")
    values = reid_values("people", replicas=4, save_every=1, keep_bytes=10**6)
    (folder / "params.yaml").write_text(yaml.safe_dump({"reid": {"runs": {RUN: values}}}), encoding="utf-8")


def left(folder):
    """The weights and the history that the stage has published."""
    made = RunFolder(str(folder / "models" / "reid" / RUN))
    names = ("model.pth", "history.jsonl", "params.json", "classes.json")
    return {name: (folder / made.file(name)).read_bytes() for name in names}


STAGE = SharedStage("reid_train", "stages.reid.train", (RUN,), prepare, left, AT)
