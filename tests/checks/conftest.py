"""A fabricated project: claims, and a mini folder with everything that verify and report read."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
import yaml
from PIL import Image

from checks.origin import this_machine
from checks.size import Size
from encore.data.shards import ShardWriter, write_manifest
from encore.systems.fkd.recover import snapshots


def claim_row(**changes):
    """One valid claim as a YAML mapping."""
    row = {
        "id": "mini_score",
        "system": "toy",
        "title": "Score after training",
        "tier": "mini",
        "metric": {"file": "metrics/toy/test.json", "key": "score", "definition": "a score"},
        "expected": 0.5,
        "tolerance": {"kind": "interval", "low": 0.4, "high": 0.6},
        "reason": "five seeds",
        "source": "seed runs",
        "gating": True,
        "command": "make mini",
        "hardware": "2 cores",
        "hours": 0.1,
        "disk": "1 GB",
        "basis": {"kind": "requirement"},
    }
    row.update(changes)
    return row


def picture(colour, side=16, file_format="JPEG"):
    """The bytes of a plain picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, file_format)
    return buffer.getvalue()


def write_shards(folder, images):
    """A data set of one shard from (name, bytes, label) rows."""
    folder.mkdir(parents=True)
    writer = ShardWriter(folder, 0)
    for name, data, label in images:
        writer.add(name, data, label)
    return write_manifest(folder, [writer.close()], "recipe")


class Batch:
    """Two classes of a synthesis, slot 0 of each, as the writer of the snapshots takes them."""

    classes, slots, kept = (0, 1), (0, 0), (True, True)


def write_strips(folder, iterations, side=16, seed=0):
    """The snapshots of two classes in `folder`, written as the synthesis writes them."""
    recipe = type("Recipe", (), {"snapshot_classes": 2})
    records = folder.parent / "records"
    draws = np.random.default_rng(seed)
    for iteration in iterations:
        pixels = draws.integers(0, 256, (2, side, side, 3)).astype(np.uint8)
        snapshots.write(str(records), recipe, Batch, iteration, pixels)
    return snapshots.write_strips(str(records), str(folder))


FKD = {
    "network": {"name": "resnet18", "classes": 2, "small_stem": True, "layers": [1, 1, 1, 1]},
    "students": {"resnet18": {"name": "resnet18", "classes": 2, "width": 8}, "vit": {"name": "vit_tiny"}},
    "student_names": ["vit", "resnet18"],
    "squeeze": {"published": None, "images": "digits.tar#train"},
    "train_kd": {"online": {"student": "resnet18", "images_per_class": 10}},
    "online_names": ["online"],
    "baselines": {
        "random": {"student": "resnet18", "images_per_class": 5, "recipe": {"distillation": None}},
        "full": {"student": "vit", "images_per_class": None, "recipe": {"distillation": {"temperature": 4}}},
    },
    "baseline_names": ["random", "full"],
}


def write_distillation(project, parameters):
    """Everything of the system fkd that a report reads, in the mini folder of `project`."""
    project.write_yaml("mini/params.yaml", {**parameters, "fkd": FKD})
    files = ["train/vit", "train/resnet18", "train_kd/online", "baseline/random", "baseline/full"]
    for place, file in enumerate(["squeeze", *files]):
        scores = {"top1": 90.5 - place, "top5": 99.0, "best_top1": 91.25, "epochs": 200, "steps": 10}
        project.write(f"mini/metrics/fkd/{file}.json", json.dumps(scores))
    for file in files:
        rows = "0,2,,\n1,1.5,40,60\n2,1.25,,\n3,1,70.5,90\n"
        project.write(f"mini/plots/fkd/{file}.csv", "step,train/loss,val/top1,val/top5\n" + rows)
    project.write("mini/plots/fkd/recover.csv", "iteration,cross_entropy,loss\n0,2,9\n20,1,3\n")
    recipe = {"iterations": 20, "snapshots": [20, 0, 5, 99], "snapshot_classes": 2}
    project.set_fingerprint("fkd/recover", parameters={"recipe": recipe})
    write_strips(project.mini / "plots/fkd/snapshots", [0, 5, 20])


DRIP = """stage,kernel,classes,epoch,total_epoch,trn_loss,val_loss
first,random,40,0,0,25.5,12.5
first,random,40,1,1,9,4.5
first,random,40,2,2,1.75,0.875
second,centroids,80,0,3,3.5,1.75
second,centroids,80,1,4,1.5,0.75
without,random,80,0,3,24.25,12
third,centroids,12000,0,5,2.75,1.375
"""


def write_drip(project):
    """Everything of the system drip that a report reads, in the mini folder of `project`."""
    project.write("mini/plots/drip/stages.csv", DRIP)
    compared = {"centroid_first_epoch_loss": 3.5, "random_first_epoch_loss": 24.25, "drop": 20.75}
    project.write("mini/metrics/drip/compare.json", json.dumps(compared))
    for stage, values in {"first": {}, "third": {"normalised_average_precision": 0.75}}.items():
        values = {"average_precision": 0.5, "queries": 10, **values}
        project.write(f"mini/metrics/drip/infer/{stage}.json", json.dumps(values))


REID = {"evaluated": ["plain", "pcb"], "evaluation": {"root": "persons.tar"}}
REID_SCORES = {
    "rank1": 0.5,
    "rank5": 0.75,
    "rank10": 0.75,
    "mAP": 0.375,
    "torchreid_rank1": 0.625,
    "torchreid_mAP": 0.4375,
    "multi_query_rank1": 0.6875,
    "multi_query_mAP": 0.5625,
    "queries": 10,
    "left_out": 1,
    "gallery": 10,
}


def person_states(asked):
    """How the ten matches of query number `asked` turn out: its first `asked` ones are right, the last is a
    distractor."""
    return ["right"] * asked + ["wrong"] * (9 - asked) + ["distractor"]


def write_persons(project):
    """Everything of the system reid but its parameters REID that a report reads, in the mini folder of
    `project`: ten queries, which have 0 to 9 right matches."""
    queries = [f"query/{label:04d}_c1s1_000001_01.jpg" for label in range(1, 11)]
    gallery = [f"bounding_box_test/{label:04d}_c2s1_000002_01.jpg" for label in range(10)]
    with tarfile.open(project.mini / "persons.tar", "w") as tar:
        for shade, name in enumerate(queries + gallery):
            data = picture((12 * shade, 0, 0), side=8)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    rows = ["query,rank,gallery,score,state\n"]
    for asked, query in enumerate(queries):
        for place, state in enumerate(person_states(asked)):
            rows.append(f"{query},{place + 1},{gallery[place]},{0.9 - place / 10:.1f},{state}\n")
    for run, mean in {"plain": 0.375, "pcb": 0.5}.items():
        scores = {**REID_SCORES, "mAP": mean}
        project.write(f"mini/metrics/reid/evaluate/{run}.json", json.dumps(scores))
        cmc = "".join(f"{rank},{min(0.25 * rank, 0.75)},{min(0.3 * rank, 1)}\n" for rank in range(1, 31))
        project.write(f"mini/plots/reid/cmc/{run}.csv", "rank,published,torchreid\n" + cmc)
        project.write(f"mini/predictions/reid/{run}.csv", "".join(rows))


PIPELINE = {
    "toy_train": {
        "params": ["toy.train"],
        "outs": ["models/toy", "fingerprints/toy/train.json", "fingerprints/toy/train/${item}.json"],
    },
    "toy_test": {
        "deps": ["models/toy"],
        "outs": ["fingerprints/toy/test.json"],
        "metrics": ["metrics/toy/test.json", "metrics/toy/other.json"],
    },
}


class Project:
    """A project in a temporary folder, with one system `toy` and the size `mini`."""

    def __init__(self, root):
        self.root, self.claims, self.mini = root, root / "claims", root / "mini"
        for folder in (self.claims, self.mini):
            folder.mkdir()
        self.write_yaml("mini/params.yaml", {"toy": {"train": {"rate": 0.1, "seed": 0, "workers": 2}}})
        self.write_yaml("claims/mini_params.yaml", {"toy": {"train": {"rate": 0.1}}})
        self.write_yaml("mini/dvc.yaml", {"stages": PIPELINE})
        self.set_claims(claim_row())
        self.set_metric(0.51)
        self.set_fingerprint("toy/test")

    def write(self, path, text):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target

    def write_yaml(self, path, value):
        return self.write(path, yaml.safe_dump(value))

    def set_claims(self, *rows):
        return self.write_yaml("claims/toy.yaml", list(rows))

    def set_metric(self, value, key="score", file="metrics/toy/test.json"):
        return self.write(f"mini/{file}", json.dumps({key: value}))

    def set_fingerprint(self, stage, **changes):
        row = {
            "machine": this_machine(),
            "finished": "2026-01-02T03:04:05+00:00",
            "seed": 0,
            "wall_seconds": 1.5,
            "peak_memory_bytes": 2**27,
            "python": "3.11.4",
            "libraries": {"numpy": "2.0.0"},
            "parameters": {},
        }
        return self.write(f"mini/fingerprints/{stage}.json", json.dumps({**row, **changes}))

    def size(self):
        return Size.of(self.mini, self.claims)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)
