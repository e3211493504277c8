"""A size of person re-identification whose pictures bring about a fault: those of one batch are the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from encore.systems.reid.params_json import params_from
from encore.systems.reid.training_batches import TrainingBatches
from encore.systems.reid.training_pictures import open_training_pictures
from faults.numerical.tiny_people import draw_people, reid_values

MODULE = "stages.reid.train"
RUN = "tiny"
ARGUMENTS = (RUN,)
OUTPUT = f"models/reid/{RUN}"
AT = (1, 1)
"""(epoch, step) of the batch."""


def build(folder, **own):
    """Write people and a parameter file with one run into `folder`; own: of the run's block `encore` -> the
    names of the pictures that are equal."""
    folder = Path(folder)
    people = folder / "people"
    draw_people(people)
    values = dict(reid_values("people", **own), data_augmentation={"mirror": False, "random_erasing": False})
    params = params_from(values, "faults")[0]
    names = TrainingBatches(open_training_pictures(str(people)), params).names(*AT)
    for name in names[1:]:
        shutil.copyfile(people / names[0], people / name)
    text = yaml.safe_dump({"reid": {"runs": {RUN: values}}})
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return names
