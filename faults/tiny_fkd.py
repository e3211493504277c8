"""A tiny project of the system fkd: pictures, a teacher and labels, for runs of its trainers in seconds."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from encore.data.class_folders import ClassFolders
from encore.runtime.stage import run_stage
from encore.systems.fkd.networks import NetworkShape, build
from encore.systems.fkd.relabel import RelabelRecipe, relabel
from faults.poisoned_fkd import poisoned, taken_apart

ROOT = Path(__file__).resolve().parents[1]
SIZE, CLASSES, EPOCHS, STEPS = 16, 3, 2, 3
BATCH = 8
PICTURES = 21
"""In batches of 8, so that the last one of an epoch has 5."""
SHAPE = {"name": "resnet18", "classes": CLASSES, "small_stem": True, "width": 4, "layers": [1, 1, 1, 1]}
RECIPE = {
    "seed": 3,
    "size": SIZE,
    "augmentation": {"crop": "padded", "pad": 1, "flip": 0.5},
    "epochs": EPOCHS,
    "batch": BATCH,
    "replicas": 1,
    "optimizer": {"learning_rate": 0.05},
    "schedule": {"kind": "cosine"},
    "validation_resize": SIZE,
    "save_every": 1,
    "workers": 0,
    "layout": "model",
}
STUDENT = {
    "seed": 5,
    "batch": BATCH,
    "accumulation": 2,
    "epochs": EPOCHS,
    "size": SIZE,
    "mix": "cutmix",
    "workers": 0,
    "validate_every": 1,
    "validation_resize": SIZE,
    "save_every": 1,
}
SECTION = {
    "network": SHAPE,
    "students": {"small": dict(SHAPE, width=3)},
    "squeeze": {"images": "train", "validation": "test", "recipe": dict(RECIPE, replicas=4)},
    "train": {"images": "train", "labels": "labels", "validation": "test", "recipe": STUDENT},
    "train_kd": {
        "small": {
            "student": "small",
            "images": "train",
            "validation": "test",
            "images_per_class": None,
            "recipe": dict(
                RECIPE,
                batch=BATCH // 2,
                accumulation=2,
                layout="state_dict",
                optimizer={"name": "adamw", "learning_rate": 0.003, "weight_decay": 0.01, "decay": "weights"},
                distillation={"temperature": 4, "mix": "cutmix"},
            ),
        }
    },
    "baselines": {"full": {"student": "small", "images": "train", "validation": "test", "recipe": RECIPE}},
}
TEACHER = "models/fkd/teacher.pth"
COMMANDS = {
    "fkd_squeeze": ("stages.fkd.squeeze",),
    "fkd_train": ("stages.fkd.train", "small"),
    "fkd_train_kd": ("stages.fkd.train_kd", "small"),
    "fkd_baseline": ("stages.fkd.baseline", "full"),
}
OUTPUTS = {
    "fkd_squeeze": TEACHER,
    "fkd_train": "models/fkd/students/small",
    "fkd_train_kd": "models/fkd/train_kd/small.pth",
    "fkd_baseline": "models/fkd/baseline/full.pth",
}
"""What a stage publishes, a file or a folder."""


def write_project(folder):
    """Write the project into `folder`: train, test, labels of two epochs, the teacher, params.yaml."""
    folder = Path(folder)
    patterns = np.random.RandomState(99).randint(40, 216, (CLASSES, SIZE, SIZE, 3))
    for seed, (part, copies) in enumerate((("train", PICTURES // CLASSES), ("test", 3))):
        draw = np.random.RandomState(seed)
        for number, pattern in enumerate(patterns):
            place = folder / part / f"class{number}"
            place.mkdir(parents=True)
            for copy in range(copies):
                noisy = pattern + draw.randint(-20, 21, pattern.shape)
                Image.fromarray(noisy.astype(np.uint8)).save(place / f"{copy:02d}.png")
    teacher = build(network_shape("network"), 1, SIZE)
    (folder / TEACHER).parent.mkdir(parents=True)
    torch.save(teacher.state_dict(), folder / TEACHER)
    recipe = RelabelRecipe(batch=BATCH, epochs=EPOCHS, size=SIZE, min_scale=0.5, mix="cutmix", workers=0)
    images = ClassFolders(str(folder / "train"))
    relabel(recipe, images, teacher, str(folder / "labels"), CLASSES, device="cpu")
    (folder / "params.yaml").write_text(yaml.safe_dump({"fkd": SECTION}), encoding="utf-8")


def network_shape(name):
    """The NetworkShape of the section `network`, or of a student."""
    values = SECTION["network"] if name == "network" else SECTION["students"][name]
    return NetworkShape(**dict(values, layers=tuple(values["layers"])))


def command(stage, *flags, processes=None, restarts=0, poison=None):
    """The command line of a stage; processes: started by torchrun, which starts them again `restarts` times.

    poison: of `faults.poisoned_fkd`, in front of the stage's own.
    """
    launcher = [sys.executable]
    if processes is not None:
        launcher += ["-m", "torch.distributed.run", f"--nproc_per_node={processes}"]
        launcher += ["--master_addr=127.0.0.1", f"--master_port={_free_port()}"]
        launcher += [f"--max_restarts={restarts}", "--monitor_interval=0.2"]
    module = list(COMMANDS[stage]) if poison is None else ["faults.poisoned_fkd", poison, *COMMANDS[stage]]
    return [*launcher, "-m", *module, *flags]


def run(folder, *arguments, timeout=300, **options):
    """Run a stage (see `command`) in `folder` -> subprocess.CompletedProcess with text."""
    path = os.pathsep.join(str(ROOT / part) for part in ("src", ""))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ENCORE_")}
    return subprocess.run(
        command(*arguments, **options),
        cwd=folder,
        env=dict(inherited, PYTHONPATH=path, OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES=""),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def run_forked(folder, stage, *flags, processes=1, poison=None, timeout=120):
    """Run a stage in forks of this process, which save the time to load torch -> (status of each, in order;
    what each said). One that hangs is ended, and its status is that of SIGKILL."""
    shared = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    context = multiprocessing.get_context("fork")
    children = [
        context.Process(target=_forked, args=(folder, rank, shared, stage, flags, poison))
        for rank in range(processes)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout)
        if child.exitcode is None:
            child.kill()
            child.join()
    said = [_log(folder, rank).read_text(encoding="utf-8") for rank in range(processes)]
    return [child.exitcode for child in children], said


def outcome(place, stage):
    """What a stage has published, {file name: content}, and its metrics; TensorBoard's times are no part."""
    output = Path(place) / OUTPUTS[stage]
    files = [output] if output.is_file() else sorted(output.iterdir()) if output.exists() else []
    files = [path for path in files if not path.name.startswith("events")]
    return {path.name: content_of(path) for path in files + sorted((Path(place) / "metrics").rglob("*.json"))}


def content_of(path):
    """What a file holds, for comparing bits; of torch's files what is in them, since equal contents may be
    pickled in more than one way."""
    if path.suffix not in (".pth", ".tar"):
        return path.read_bytes()
    return _plain(torch.load(path, map_location="cpu", weights_only=True))


def _plain(value):
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return [(key, _plain(part)) for key, part in value.items()]
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def _forked(folder, rank, shared, stage, flags, poison):
    with open(_log(folder, rank), "w", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    os.environ.update(shared, RANK=str(rank), LOCAL_RANK=str(rank))
    os.chdir(folder)
    torch.set_num_threads(1)
    module, *words = COMMANDS[stage]
    sys.argv = [module, *words, *flags]
    with poisoned(*taken_apart(poison)) if poison else contextlib.nullcontext():
        run_stage(importlib.import_module(module).main)


def _log(folder, rank):
    return Path(folder) / f"said.{rank}"


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
