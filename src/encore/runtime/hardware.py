"""The hardware rule: whether torch, as it is compiled, runs on a device, and which environment would."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from encore.runtime.definition import definitions

ACCEPT = "ENCORE_ACCEPT_HARDWARE"


def runs(architecture, capability):
    """Whether code for `architecture` ("sm_86", "compute_70") runs on a device of `capability` (8, 9).

    sm_XY runs where the major number is the same and Y not above the device's, PTX (compute_XY) where XY is
    not above it, and code for one architecture only (sm_90a) there.
    """
    found = re.match(r"(sm|compute)_(\d+)(\d)([a-z]?)$", architecture)
    if found is None:
        return False
    kind, major, minor, suffix = found.groups()
    compiled, capability = (int(major), int(minor)), tuple(capability)
    if suffix == "a":
        return compiled == capability
    return compiled <= capability and (kind == "compute" or compiled[0] == capability[0])


def known_bad(capability, cuda):
    """Why this CUDA must not be used on this device, whatever torch is compiled for; None where nothing is
    known."""
    if cuda == "11.0":
        return "CUDA 11.0 gives wrong results (reported by ISC 2021 Track 1)"
    if cuda.startswith("10.") and tuple(capability) >= (8, 0):
        # The conda build of torch 1.7.1 carries PTX that would start there; its cuDNN and cuBLAS do not.
        return "CUDA {} has no libraries for {}".format(cuda, architecture_name(capability))
    return None


def objection(architectures, capability, cuda):
    """Why torch must not run on a device, with the environment that would, as one line; None where it may.

    architectures: what torch is compiled for (torch.cuda.get_arch_list()); capability: (major, minor) of the
    device; cuda: version of the CUDA that torch was built with.
    """
    why = known_bad(capability, cuda)
    if why is None and not architectures:
        why = "this torch does not say what it is compiled for (1.7 and later do)"
    elif why is None:
        if any(runs(architecture, capability) for architecture in architectures):
            return None
        why = "torch is compiled for {} and has no code for {}".format(
            " ".join(architectures), architecture_name(capability)
        )
    return "{}; {}".format(why, suitable(capability))


def suitable(capability):
    """Which environments run on a device, as text."""
    names = [
        "{} (CUDA {})".format(found.name, found.cuda)
        for found in definitions().values()
        if any(runs(architecture, capability) for architecture in found.compiled)
        and known_bad(capability, found.cuda) is None
    ]
    if names:
        return "environments that run there: {}".format(", ".join(names))
    return "no pinned environment runs there, today's torch (environment cpu) may"


def architecture_name(capability):
    """(8, 9) -> "sm_89"."""
    return "sm_{}{}".format(*capability)


def devices(torch):
    """[(name, (major, minor))] of the GPUs that torch can use."""
    if not torch.cuda.is_available():
        return []
    return [
        (torch.cuda.get_device_name(number), tuple(torch.cuda.get_device_capability(number)))
        for number in range(torch.cuda.device_count())
    ]


def compiled(torch):
    """The architectures that torch is compiled for; empty for a build without CUDA and before torch 1.7."""
    if torch.cuda.is_available() and hasattr(torch.cuda, "get_arch_list"):
        return list(torch.cuda.get_arch_list())
    flags = getattr(torch._C, "_cuda_getArchFlags", None)  # the same without a GPU, where the former is empty
    return ((flags() if flags is not None else None) or "").split()


def objection_here():
    """The objection to the first GPU of this process that has one, or None; None too while torch is not
    loaded."""
    torch = sys.modules.get("torch")
    if torch is None or torch.version.cuda is None:
        return None
    for name, capability in devices(torch):
        found = objection(compiled(torch), capability, torch.version.cuda)
        if found:
            return "{}: {}".format(name, found)
    return None


def accepted():
    """Whether the user runs on hardware that the rule refuses (`--accept-hardware`)."""
    return os.environ.get(ACCEPT) == "1"


def driver():
    """How the NVIDIA driver names itself, or None where there is none."""
    path = "/proc/driver/nvidia/version"
    if os.path.isfile(path):
        with open(path, encoding="ascii", errors="replace") as file:
            return file.readline().strip()
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            universal_newlines=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.split("\n")[0].strip() or None if answer.returncode == 0 else None


def driver_version(text):
    """The version in what `driver` returns, as text: "535.104.05"; None where there is none."""
    found = re.search(r"\b\d{3,}\.\d+(\.\d+)?", text or "")
    return found.group() if found else None
