"""Numerical faults in the training of person re-identification: one whole graph, and virtual replicas."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from encore.systems.reid.objective import Objective
from encore.systems.reid.params_json import params_from
from encore.systems.reid.run_folder import RunFolder
from encore.systems.reid.training import train_reid
from encore.systems.reid.training_pictures import open_training_pictures
from encore.systems.reid.training_run import ReidRun
from faults.numerical import equal_pictures
from faults.numerical.refused_run import KINDS, Trainer, refused_rows
from faults.numerical.replayed import replay_row
from faults.numerical.tiny_people import draw_people, reid_values

SHORT = ("NaN loss", "constant batch")


def rows(full):
    """Yield the Rows; full: every kind, replicas, and --replay-step by the command line."""
    with tempfile.TemporaryDirectory() as place:
        pictures = Path(place) / "people"
        names = draw_people(pictures)
        yield from refused_rows(reid_trainer(pictures, names), KINDS if full else SHORT)
        if full:
            yield from refused_rows(reid_trainer(pictures, names, replicas=2), KINDS)
    if full:
        yield replay_row("reid_train", equal_pictures, {})


def reid_trainer(pictures, names, **own):
    """The Trainer on the pictures in a folder; own: of the block `encore`."""
    params = params_from(reid_values(pictures, **own), "faults")[0]

    def train(folder):
        run = ReidRun(params, open_training_pictures(str(pictures)), lambda line: None)
        train_reid(run, RunFolder(str(folder)), "cpu", io.StringIO())

    def left(folder):
        found = RunFolder(str(folder))
        names = ("model.pth", "history.jsonl", "params.json", "classes.json")
        return dict({name: (folder / name).read_bytes() for name in names}, state=found.load_resume())

    place = "reid_train" + (" with encore.replicas" if "replicas" in own else "")
    scaled = lambda found, factor: found._replace(total=found.total * factor)  # noqa: E731
    return Trainer(place, train, left, (1, 1), 4, names, (Objective, "__call__"), scaled)
