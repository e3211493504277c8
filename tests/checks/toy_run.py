"""A fabricated run: raw data, pictures made of it, a training, a test, and the dvc.lock that tells so."""

from __future__ import annotations

import hashlib
import json

import yaml

from checks.runs.out_digest import Digests
from checks.size import Size
from tests.checks.conftest import claim_row, picture, write_shards

STAGES = {
    "inputs": {"deps": ["inputs.yaml", "../checks/data.py"], "outs": ["inputs/photos.json"]},
    "toy_generate": {
        "deps": ["../stages/toy/generate.py", "../locks/cpu.txt", "inputs/photos.json"],
        "params": ["toy.generate"],
        "outs": ["data/pictures", "fingerprints/toy/generate.json", "metrics/toy/generate.json"],
    },
    "toy_train": {
        "deps": ["../stages/toy/train.py", "../locks/cpu.txt", "data/pictures"],
        "params": ["toy.train"],
        "outs": [
            "models/toy/logs",
            "models/toy/net.pth",
            "fingerprints/toy/train.json",
            "metrics/toy/train.json",
            "plots/toy/loss.csv",
        ],
    },
    "toy_test": {
        "deps": ["../stages/toy/test.py", "models/toy/net.pth", "data/pictures/manifest.json"],
        "outs": ["fingerprints/toy/test.json", "metrics/toy/test.json"],
    },
}
FACTS = {
    "python": "3.11.4",
    "platform": "Linux-6.1-x86_64-with-glibc2.36",
    "processor": "Example 1",
    "cores": 2,
    "machine": "000000000000",
    "libraries": {"PIL": "11.0.0", "numpy": "2.0.0", "torch": "2.5.0"},
    "device": "cpu",
    "threads": 1,
    "blas": "Haswell",
    "cpu_capability": "AVX2",
    "jpeg": "libjpeg-turbo 6.2",
    "environment": "none",
    "revision": "a" * 40,
    "dirty": False,
    "seed": 0,
    "finished": "2026-01-02T03:04:05+00:00",
    "wall_seconds": 1.5,
}


class ToyRun:
    """The run in `folder`; `score` is what its test came to. Change something, then `lock()`."""

    def __init__(self, folder, score=0.5, images=6, started="1"):
        self.folder = folder
        self.code = {
            name: name
            for name in (
                "checks/data.py",
                "locks/cpu.txt",
                *(f"stages/toy/{x}.py" for x in ("generate", "train", "test")),
            )
        }
        self.params = {
            "toy.generate": {"quality": 90, "seed": 0, "workers": 2},
            "toy.train": {"rate": 0.1, "epochs": 3, "seed": 0, "workers": 2},
        }
        self.stages = {name: dict(stage) for name, stage in STAGES.items()}
        self.write("inputs.yaml", "photos: here")
        self.input(count=images)
        self.pictures(images)
        self.write("models/toy/net.pth", "weights")
        self.write("models/toy/logs/checkpoint_0.pth", "weights of epoch 0")
        self.write(f"models/toy/logs/events.out.tfevents.{started}", started)
        self.write("models/toy/logs/log.txt", f"{started} pictures a second")
        self.write("plots/toy/loss.csv", "step,loss\n0,1\n")
        self.metrics("generate", images=images)
        self.metrics("train", loss=0.25)
        self.metrics("test", score=score, other=2)
        for stage in ("generate", "train", "test"):
            self.facts(stage)
        self.lock()

    def write(self, path, text):
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target

    def metrics(self, stage, **values):
        self.write(f"metrics/toy/{stage}.json", json.dumps(values))

    def input(self, **values):
        row = {"bytes": 100, "names_sha256": "n", "sha256": "s", "licence": "none", **values}
        self.write("inputs/photos.json", json.dumps(row))

    def facts(self, stage, **changes):
        libraries = {**FACTS["libraries"], **changes.pop("libraries", {})}
        self.write(f"fingerprints/toy/{stage}.json", json.dumps({**FACTS, **changes, "libraries": libraries}))

    def pictures(self, images, brightness=0):
        """The data set of `images` pictures; another brightness is other content."""
        folder = self.folder / "data/pictures"
        for path in folder.glob("*"):
            path.unlink()
        if folder.is_dir():
            folder.rmdir()
        rows = [
            (f"{number}.jpg", picture((9 * number, brightness, 0)), number % 2) for number in range(images)
        ]
        write_shards(folder, rows)

    def lock(self, **read):
        """Write dvc.lock as DVC does after these stages ran on what lies there now; `read`: {stage: {path:
        the text it held when the stage read it}}."""
        digests = Digests(self.folder)
        stages = {}
        for name, stage in self.stages.items():
            stages[name] = {
                "cmd": f"../bin/local -m stages.{name}",
                "deps": [self._dep(path, digests, read.get(name, {})) for path in stage["deps"]],
                "params": {"params.yaml": {key: self.params[key] for key in stage.get("params", ())}},
                "outs": [self._out(path, digests) for path in stage["outs"]],
            }
        self.write("dvc.lock", yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False))
        return self

    def claim_size(self, tmp_path):
        """A Size of this folder whose claims lie in `tmp_path`/claims."""
        claims = tmp_path / "claims"
        claims.mkdir(exist_ok=True)
        (claims / "toy.yaml").write_text(yaml.safe_dump([claim_row()]))
        return Size.of(self.folder, claims)

    def _dep(self, path, digests, read):
        text = self.code[path[3:]] if path.startswith("../") else read.get(path)
        if text is not None:
            return {"path": path, "md5": hashlib.md5(text.encode()).hexdigest()}
        return {"path": path, "md5": digests.of(path).md5}

    def _out(self, path, digests):
        found = digests.of(path)
        row = {"path": path, "hash": "md5", "md5": found.md5, "size": found.size}
        return row if found.nfiles is None else {**row, "nfiles": found.nfiles}


def otherwise(run, score=0.25):
    """Let the training, and so the test, of a run come out otherwise."""
    run.write("models/toy/net.pth", "other weights")
    run.metrics("train", loss=0.5)
    run.metrics("test", score=score, other=2)
    return run
