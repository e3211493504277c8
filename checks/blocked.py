"""Why a number is not there: data that are missing, a licence nobody agreed to, hardware, or nobody tried."""

from __future__ import annotations

import subprocess
from functools import lru_cache

from checks.raw_data.inputs import read_inputs

BLOCKED_DATA, BLOCKED_HARDWARE, BLOCKED_LICENCE = "blocked (data)", "blocked (hardware)", "blocked (licence)"
BLOCKED_STATES = (BLOCKED_DATA, BLOCKED_HARDWARE, BLOCKED_LICENCE)
NOT_ATTEMPTED = "not attempted"


def why_missing(claim, size, file, remedy="its stage has not run"):
    """(verdict, detail) of a claim whose `file` is not there: the first of data, licence and hardware that
    keeps it from being measured here."""
    lacking = [name for name in claim.inputs if not (size.folder / "inputs" / f"{name}.json").is_file()]
    if lacking:
        detail, access = f"missing {', '.join(lacking)}: see `encore data`", gated_inputs(size)
        for how in dict.fromkeys(access.values()):
            names = [name for name in lacking if access.get(name) == how]
            detail += f"; given {how}: {', '.join(names)}" if names else ""
        return BLOCKED_LICENCE if access.keys() & set(lacking) else BLOCKED_DATA, detail
    objection = gpu_objection(claim.gpu)
    if objection:
        return BLOCKED_HARDWARE, objection
    return NOT_ATTEMPTED, f"no {file}: {remedy}"


def gated_inputs(size):
    """{data set: what it is given after} of the inputs of a size that are not simply there to be fetched."""
    path = size.folder / "inputs.yaml"
    if not path.is_file():
        return {}
    after = {"registration": "after registration", "agreement": "after agreeing to terms"}
    access = {name: getattr(entry, "access", "open") for name, entry in read_inputs(path).items()}
    return {name: after[how] for name, how in access.items() if how in after}


def gpu_objection(need, memories=None):
    """What this machine lacks of a claim's Gpu, as text; None where it has it, or none is needed.

    memories: bytes of each device (default: what nvidia-smi lists).
    """
    if need is None:
        return None
    memories = gpu_memories() if memories is None else memories
    wanted = (need.memory_gb or 0) * 1e9
    fitting = sum(memory >= wanted for memory in memories)
    if fitting >= need.count:
        return None
    kind = f" with {need.memory_gb:g} GB" if need.memory_gb else ""
    found = ", ".join(f"{memory / 1e9:.0f} GB" for memory in memories) or "none"
    return f"needs {need.count} GPU{'s' if need.count > 1 else ''}{kind}, found {found} on this machine"


@lru_cache(maxsize=1)
def gpu_memories():
    """The memory of each NVIDIA GPU of this machine in bytes; () where nvidia-smi is not there or fails."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    rows = [row.strip() for row in done.stdout.splitlines()] if done.returncode == 0 else []
    return tuple(int(row) * 2**20 for row in rows if row.isdecimal())
