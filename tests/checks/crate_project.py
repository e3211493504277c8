"""A fabricated project that has run: three stages, code, a folder, raw data, an environment, verdicts."""

from __future__ import annotations

import hashlib
import json
import platform

import numpy as np
import yaml

from checks.runs.out_digest import Digests
from checks.verify import verify, write_verdicts

STAGES = {
    "inputs": {
        "desc": "Check the raw data",
        "cmd": "check",
        "deps": ["${root}/src/toy.py", "inputs.yaml"],
        "outs": ["inputs/photos.json", "inputs/faces.json"],
    },
    "toy_train": {
        "desc": "Train",
        "cmd": "train",
        "deps": ["${root}/src/toy.py", "${root}/locks/cpu.txt", "inputs/photos.json"],
        "params": ["toy.train"],
        "outs": ["models/toy", "fingerprints/toy/train.json"],
    },
    "toy_test": {
        "desc": "Test",
        "cmd": "test",
        "deps": ["models/toy/weights.pth"],
        "outs": ["fingerprints/toy/test.json"],
        "metrics": ["metrics/toy/test.json"],
    },
}
HERE = {"python": platform.python_version(), "libraries": {"numpy": np.__version__}, "revision": "c0ffee"}
LOCK = f"numpy=={np.__version__} \\\n    --hash=sha256:" + "a" * 64 + "\n"


def write_run(project):
    """Make `project` one whose run is finished and judged."""
    project.write_yaml("mini/params.yaml", {"root": "..", "toy": {"train": {"rate": 0.1, "layers": [1, 2]}}})
    project.write_yaml("claims/mini_params.yaml", {"toy": {"train": {"rate": 0.1, "layers": [1, 2]}}})
    project.write_yaml("mini/dvc.yaml", {"stages": STAGES})
    project.write("src/toy.py", "RATE = 0.1\n")
    project.write("locks/cpu.txt", LOCK)
    project.write("LICENSE", "MIT\n")
    project.write("mini/photos.tar", "pixels")
    project.write("mini/models/toy/weights.pth", "weights")
    project.write("mini/models/toy/logs/loss.csv", "1,2\n")
    write_inputs(project)
    project.set_fingerprint("toy/train", environment="none", image_digest="none", **HERE)
    project.set_fingerprint("toy/test", finished="2026-01-02T03:05:05+00:00", **HERE)
    write_lock(project)
    write_verdicts(project.size(), verify(project.size()))
    return project


def write_inputs(project):
    """Two data sets, of which only the photos lead to a number."""
    entry = {"path": "photos.tar#all", "used_by": "toy", "count": 2, "first": None, "last": None}
    entry = {**entry, "licence": "CC0", "source": "a museum", "place": "mini/photos.tar"}
    project.write_yaml("mini/inputs.yaml", {"photos": entry, "faces": {**entry, "licence": "on request"}})
    digest = hashlib.sha256(b"pixels").hexdigest()
    for name, licence in {"photos": "CC0", "faces": "on request"}.items():
        row = {"dataset": name, "path": "photos.tar#all", "count": 2, "bytes": 6, "names_sha256": "b" * 64}
        project.write(f"mini/inputs/{name}.json", json.dumps({**row, "licence": licence, "sha256": digest}))


def write_lock(project, without=()):
    """dvc.lock as DVC would write it for the files that are there, without some stages."""
    stages = {name: _locked(project, body) for name, body in STAGES.items() if name not in without}
    return project.write("mini/dvc.lock", yaml.safe_dump({"schema": "2.0", "stages": stages}))


def change_lock(project, change):
    """Let `change` alter the stages of dvc.lock."""
    path = project.mini / "dvc.lock"
    value = yaml.safe_load(path.read_text())
    change(value["stages"])
    path.write_text(yaml.safe_dump(value))


def _locked(project, body):
    parameters = yaml.safe_load((project.mini / "params.yaml").read_text())["toy"]
    row = {"cmd": f"python {body['cmd']}.py", "deps": [_entry(project, path) for path in body["deps"]]}
    if "params" in body:
        row["params"] = {"params.yaml": {"toy.train": parameters["train"]}}
    row["outs"] = [_entry(project, path) for path in [*body["outs"], *body.get("metrics", [])]]
    return row


def _entry(project, path):
    path = path.replace("${root}", "..")
    found = project.mini / path
    files = [one for one in found.rglob("*") if one.is_file()] if found.is_dir() else []
    size = sum(one.stat().st_size for one in files) if files else found.stat().st_size
    row = {"path": path, "hash": "md5", "md5": Digests(project.root).of(f"mini/{path}").md5, "size": size}
    return {**row, "nfiles": len(files)} if files else row
