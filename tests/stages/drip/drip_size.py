"""A size's folder of drip training's first stages, on the pictures of the mini size."""

import importlib
import json
import os
import sys

import yaml

from tests.golden_files import FOLDER

MINI = os.path.join(os.path.dirname(os.path.dirname(str(FOLDER))), "mini")
PHOTOS, DRIP = os.path.join(MINI, "photos.tar"), os.path.join(MINI, "drip.tar")

QUERIES = {
    "images": PHOTOS + "#distractors",
    "references": PHOTOS + "#references",
    "ground_truth": None,
    "held_out": {
        "chain": {
            "intensity": 1.0,
            "size": 32,
            "overlays": DRIP + "#imagenet",
            "templates": DRIP + "#screens",
            "text_layout": "basic",
        },
        "quality": 100,
        "per_reference": 1,
        "per_distractor": 1,
        "seed": 20210,
    },
    "workers": 1,
    "images_per_shard": 20,
    "max_rejected": 0,
}
PICTURES = {
    "training_images": PHOTOS + "#training",
    "imagenet_images": DRIP + "#imagenet",
    "face_frames": None,
    "query_images": "data/drip/queries",
    "reference_images": PHOTOS + "#references",
    "ground_truth": "data/drip/queries/ground_truth.csv",
    "size": 32,
    "workers": 1,
    "images_per_shard": 50,
    "templates": DRIP + "#screens",
    "templates_at_least": 4,
}
NETWORK = {"backbone": "resnet", "embedding": 8, "width": 2, "layers": [1, 1, 1, 1]}
ROLES = {
    "drip_training": ("training", 192),
    "drip_imagenet": ("imagenet", 31),
    "drip_queries": ("distractors", 24),
    "drip_references": ("references", 32),
    "drip_templates": ("screens", 7),
}


def write_size(folder, **sections):
    """Write params.yaml and the records of the data check into `folder`."""
    os.makedirs(str(folder / "inputs"), exist_ok=True)
    for role, (name, count) in ROLES.items():
        record = {"dataset": role, "path": "photos.tar#" + name, "count": count, "licence": "any"}
        (folder / "inputs" / (role + ".json")).write_text(json.dumps(record))
    write_parameters(folder, **sections)


def write_parameters(folder, **sections):
    values = {"network": NETWORK, "queries": QUERIES, "pictures": PICTURES}
    (folder / "params.yaml").write_text(yaml.safe_dump({"drip": dict(values, **sections)}))


def run(folder, monkeypatch, stage, *arguments):
    """Run the stage in this process."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [stage] + list(arguments))
    importlib.import_module("stages.drip." + stage).main()


def recorded(folder, kind, name):
    return json.loads((folder / kind / "drip" / (name + ".json")).read_text())
