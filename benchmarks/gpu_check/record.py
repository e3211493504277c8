"""The whole check of one device, and the record that it leaves."""

from __future__ import annotations

import datetime
import os
import re
import time
from pathlib import Path

import torch

from benchmarks.gpu_check import hardware_rule
from benchmarks.gpu_check.check import NotRun
from benchmarks.gpu_check.parts import PARTS, missing
from encore.runtime.atomic import write_json
from encore.runtime.fingerprint import fingerprint
from encore.runtime.refusal import Refusal

FOLDER = Path(__file__).resolve().parents[1]


def examine(device, quick, say, parts=PARTS):
    """The record as a JSON-able dict; `quick`: throughput at a tiny size. say(line): what is under way."""
    began = time.perf_counter()
    record = {
        "format": 1,
        "date": datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0).isoformat(),
        "device": device_name(device),
        "kind": device.type,
        "quick": quick,
        "canary": None,
        "throughput": [],
    }
    record["hardware"] = hardware_rule.rule(device)
    checks, not_run = [], []
    for part in parts:
        lacking = missing(part.libraries)
        if lacking:
            not_run.append(NotRun(part.name, "lacks " + lacking))
            continue
        say(part.name)
        found = part.run(device, quick)
        checks.extend(found.checks)
        not_run.extend(found.not_run)
        record.update(found.figures)
    record["environment"] = fingerprint()  # now all libraries are loaded
    record["checks"] = [check.entry() for check in checks]
    record["not_run"] = [reason._asdict() for reason in not_run]
    record["passed"] = bool(checks) and all(check.passed for check in checks)
    record["seconds"] = round(time.perf_counter() - began, 1)
    return record


def device_name(device):
    """What the device calls itself; the CPU is `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def record_path(name):
    """benchmarks/gpu-<name>.json: "NVIDIA H200" is gpu-nvidia-h200.json."""
    return FOLDER / "gpu-{}.json".format(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"))


def refuse_unwritable(path):
    """Refusal where no record can be written to `path`: known before the check, not after it."""
    folder = os.path.dirname(os.path.abspath(path))
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if os.path.isdir(path) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise Refusal("{}: no record can be written there: name a file in a folder of yours".format(path))


def write(path, record):
    """Write the record whole or not at all."""
    write_json(path, record)
