"""What `encore doctor` looks at of the machine: disk, memory, cores, GPUs, containers."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from checks.finding import OK, PROBLEM, WARNING, Finding, ask

GIGABYTE = 10**9
DISK_OF_MINI = 2 * GIGABYTE
SHARED_MEMORY = GIGABYTE
MEMORY = 4 * GIGABYTE
RUNTIMES = ("docker", "podman", "apptainer")

# The hardware rule belongs to the worker code, which the checks do not import: it is asked in a process.
RULE = """
import json, sys
from encore.runtime.definition import definitions
from encore.runtime.hardware import objection
found = {}
for text in sys.argv[1:]:
    capability = tuple(map(int, text.split(".")))
    found[text] = {
        name: {"objection": objection(list(row.compiled), capability, row.cuda), "driver": row.driver}
        for name, row in definitions().items() if row.cuda
    }
print(json.dumps(found))
"""


def machine_findings(root):
    """The findings on disk, shared memory, cores, memory, GPUs and container runtime, in this order."""
    return [
        disk(root),
        shared_memory(),
        cores(),
        memory(),
        *gpus(root),
        container_runtime(root),
    ]


def disk(root):
    free = shutil.disk_usage(root).free
    found = f"{_gigabytes(free)} free at {root}"
    if free < DISK_OF_MINI:
        return Finding("disk", PROBLEM, found, f"free {_gigabytes(DISK_OF_MINI)}: a mini run needs that")
    return Finding("disk", OK, found + " (`encore forecast` says what the published size needs)")


def shared_memory(place="/dev/shm"):
    if not os.path.isdir(place):
        return Finding("shared memory", WARNING, f"no {place}", "train with 0 loader processes")
    usage = shutil.disk_usage(place)
    found = f"{_gigabytes(usage.free)} of {_gigabytes(usage.total)} free at {place}"
    if usage.free < SHARED_MEMORY:
        todo = "remount it larger (in a container: --shm-size), or train with fewer loader processes"
        return Finding("shared memory", WARNING, found, todo)
    return Finding("shared memory", OK, found)


def cores():
    if hasattr(os, "sched_getaffinity"):
        return Finding("cores", OK, f"{len(os.sched_getaffinity(0))}")
    return Finding("cores", OK, f"{os.cpu_count()}")


def memory(limit=Path("/sys/fs/cgroup/memory.max")):
    """The memory of the machine, or of the container where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if limit.is_file() and limit.read_text().strip().isdigit():
        total = min(total, int(limit.read_text()))
    if total < MEMORY:
        todo = f"a mini run is tested with {_gigabytes(MEMORY)} and more: close other programs"
        return Finding("memory", WARNING, _gigabytes(total), todo)
    return Finding("memory", OK, _gigabytes(total))


def gpus(root):
    """A finding for each GPU: which environments have code for it."""
    query = [
        "nvidia-smi",
        "--query-gpu=name,compute_cap,memory.total,driver_version",
        "--format=csv,noheader",
    ]
    status, output, error = ask(query)
    rows = [[text.strip() for text in line.split(",")] for line in output.splitlines()]
    if status is None or (status == 0 and not rows):
        todo = "mini size runs without; for the published size use a machine with an NVIDIA GPU"
        return [Finding("gpu", WARNING, "none (nvidia-smi finds no device)", todo)]
    if status != 0 or any(len(row) != 4 for row in rows):
        return [
            Finding("gpu", WARNING, f"nvidia-smi: {error or output[:80]}", "mend or update the NVIDIA driver")
        ]
    rules = _rules(root, sorted({row[1] for row in rows}))
    if rules is None:
        return [Finding("gpu", PROBLEM, "the hardware rule could not be asked", "run `make setup`")]
    return [_gpu(row, rules[row[1]]) for row in rows]


def _rules(root, capabilities):
    """{capability: {environment: {objection, driver}}}, None where the worker code does not answer."""
    environment = {**os.environ, "PYTHONPATH": str(Path(root) / "src")}
    status, output, _ = ask([sys.executable, "-c", RULE, *capabilities], env=environment)
    return json.loads(output) if status == 0 else None


def _gpu(row, rules):
    name, capability, size, driver = row
    may = [environment for environment, rule in rules.items() if rule["objection"] is None]
    not_ = {
        environment: rule["objection"].split(";")[0]
        for environment, rule in rules.items()
        if rule["objection"]
    }
    found = (
        f"{name}, {size}, compute capability {capability}, driver {driver}: runs {', '.join(may) or 'none'}"
    )
    found += "".join(f"; not {environment} ({why})" for environment, why in not_.items())
    old = [environment for environment in may if _older(driver, rules[environment]["driver"])]
    if old:
        needed = rules[old[0]]["driver"]
        return Finding("gpu", WARNING, found, f"update the driver: {old[0]} needs {needed} or newer")
    if not may:
        return Finding(
            "gpu", WARNING, found, "set python.cuda101 and python.cuda118 to bin/local in params.yaml"
        )
    return Finding("gpu", OK, found)


def _older(driver, needed):
    try:
        return [int(part) for part in driver.split(".")] < [int(part) for part in needed.split(".")]
    except ValueError:
        return False


def container_runtime(root):
    """Which runtime starts the pinned environments, and which of their images are there."""
    name = os.environ.get("ENCORE_RUNTIME") or next(filter(shutil.which, RUNTIMES), None)
    without = "mini size runs without"
    if name is None:
        todo = f"{without}; for the published size install {', '.join(RUNTIMES[:-1])} or {RUNTIMES[-1]}"
        return Finding("containers", WARNING, "no container runtime", todo)
    if shutil.which(name) is None:
        return Finding(
            "containers", PROBLEM, f"ENCORE_RUNTIME: there is no program {name}", "correct or unset it"
        )
    if "apptainer" in name or "singularity" in name:
        images = sorted(path.name for path in Path(root).glob("encore-*.sif"))
        return _images(name, images)
    status, _, error = ask([name, "version"], timeout=20)
    if status != 0:
        todo = f"start its daemon, or set ENCORE_RUNTIME; {without}"
        return Finding("containers", WARNING, f"{name} does not answer ({error[:80]})", todo)
    known = sorted(path.name.replace("Dockerfile.", "encore-") for path in Path(root).glob("Dockerfile.*"))
    return _images(
        name, [image for image in known if ask([name, "image", "inspect", image], timeout=20)[0] == 0]
    )


def _images(name, images):
    if images:
        return Finding("containers", OK, f"{name}, images {', '.join(images)}")
    todo = "for the published size: docker build -f Dockerfile.cuda118 -t encore-cuda118 . (and cuda101)"
    return Finding("containers", WARNING, f"{name}, no image of an environment", todo)


def _gigabytes(count):
    return f"{count / GIGABYTE:,.1f} GB"
