"""What a result was made with: interpreter, libraries, device, code revision, time, memory.

`python -m encore.runtime.fingerprint` prints it for the interpreter that runs it; with the name of an
environment it prints how this interpreter differs from that environment, and exits with 0, 1 (something
deviates) or 2 (no such environment).
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import glob
import hashlib
import json
import os
import platform
import re
import resource
import subprocess
import sys
import time

from encore.runtime import environment, hardware
from encore.runtime.numerics import numerics
from encore.runtime.refusal import Refusal

LIBRARIES = ("numpy", "torch", "PIL", "h5py", "yaml", "tensorboard")
# A run rewrites these itself, so they do not make a checkout dirty.
RUN_FILES = ("dvc.lock", "metrics/", "fingerprints/", "plots/", "report/", "inputs/", "claims/seeds/")


def fingerprint():
    """Everything about the environment that a result may depend on, as a JSON-able dict."""
    values = {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "machine": machine(),
        "libraries": {name: version for name, version in ((n, _version(n)) for n in LIBRARIES) if version},
        "image_digest": os.environ.get("ENCORE_IMAGE_DIGEST", "none"),
        "environment": os.environ.get("ENCORE_ENVIRONMENT", "none"),
        "stand_in": os.environ.get("ENCORE_STAND_IN") == "yes",
    }
    values.update(_numpy())
    values.update(_torch())
    values.update(_pillow())
    values.update(
        revision(
            os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
        )
    )
    return values


def machine():
    """A short digest that tells machines apart without naming them.

    `ENCORE_MACHINE` stands for the host inside a container. `checks/origin.py` computes the same.
    """
    text = os.environ.get("ENCORE_MACHINE")
    if text is None:
        identity = ""
        if os.path.isfile("/etc/machine-id"):
            with open("/etc/machine-id", encoding="ascii", errors="replace") as file:
                identity = file.read().strip()
        text = identity + " " + platform.node()
    return hashlib.sha256(("encore machine " + text).encode("utf-8", "replace")).hexdigest()[:12]


def revision(root):
    """{revision, dirty}: the git commit of `root` and whether tracked files differ, or 'no git'."""

    def git(*arguments):
        return subprocess.run(
            ("git", "-C", root) + arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            universal_newlines=True,
        ).stdout

    try:
        commit = git("rev-parse", "HEAD").strip()
        changed = [line[3:] for line in git("status", "--porcelain").splitlines()]
    except (OSError, subprocess.CalledProcessError):
        return {"revision": "no git", "dirty": False}
    own = [path for path in changed if not _written_by_runs(path)]
    return {"revision": commit, "dirty": bool(own)}


def _written_by_runs(path):
    path = path[len("mini/") :] if path.startswith("mini/") else path
    return path.startswith(RUN_FILES)


class Clock:
    """Wall time and peak memory of a stage."""

    def __init__(self):
        self._began = time.time()

    def reading(self):
        """{wall_seconds, peak_memory_bytes (this process and its largest child), finished (UTC)}."""
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        finished = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        return {
            "wall_seconds": round(time.time() - self._began, 3),
            "peak_memory_bytes": 1024 * (own + children),
            "finished": finished.isoformat(),
        }


def _version(name):
    module = sys.modules.get(name)
    return str(getattr(module, "__version__", "")) or None if module else None


def _numpy():
    """{blas, blas_threads}: the kernels that numpy's OpenBLAS chose for this processor, e.g. SkylakeX.

    Two processors of one name may get different ones, and a product of matrices differs with them in its last
    bits. Empty without numpy, or where it came with another library.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return {}
    folder = os.path.dirname(os.path.abspath(numpy.__file__))
    values = {}
    for path in glob.glob(folder + ".libs/*openblas*") + glob.glob(
        os.path.join(folder, ".libs", "*openblas*")
    ):
        library = ctypes.CDLL(path)  # numpy has loaded it already
        core = _function(library, "openblas_get_corename")
        if core is not None:
            core.restype = ctypes.c_char_p
            values["blas"] = core().decode("ascii", "replace")
        threads = _function(library, "openblas_get_num_threads")
        if threads is not None:
            values["blas_threads"] = int(threads())
    return values


def _function(library, name):
    """A function of OpenBLAS under the names that the builds for numpy give it, or None."""
    names = (pattern.format(name) for pattern in ("scipy_{}64_", "{}64_", "scipy_{}", "{}"))
    return next((getattr(library, found) for found in names if hasattr(library, found)), None)


def _torch():
    torch = sys.modules.get("torch")
    if torch is None:
        return {"device": "not used"}
    values = {
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda or "none",
        "cudnn": str(torch.backends.cudnn.version() or "none"),
        "compiled_for": " ".join(hardware.compiled(torch)) or "none",
        "cpu_capability": _cpu_capability(torch),
        "numerics": numerics(),
    }
    devices = hardware.devices(torch)
    if devices:
        values["device"] = devices[0][0]
        values["capability"] = hardware.architecture_name(devices[0][1])
        values["driver"] = hardware.driver() or "unknown"
        objection = hardware.objection_here()
        if objection:
            values["hardware_objection"] = objection
            values["hardware_accepted"] = hardware.accepted()
    return values


def _cpu_capability(torch):
    """The widest vector instructions that torch uses on this processor, e.g. AVX2."""
    if hasattr(torch.backends, "cpu"):
        return torch.backends.cpu.get_cpu_capability()
    found = re.search(r"CPU capability usage: (.+)", torch.__config__.show())
    return found.group(1).strip() if found else "unknown"


def _pillow():
    if "PIL" not in sys.modules:
        return {}
    from PIL import features

    return {
        "jpeg": "{} {}".format(
            "libjpeg-turbo" if features.check_feature("libjpeg_turbo") else "libjpeg",
            features.version_codec("jpg"),
        ),
        "libjpeg_turbo": str(features.version_feature("libjpeg_turbo") or "none"),
        "freetype": str(features.version_module("freetype2")),
        "raqm": bool(features.check_feature("raqm")),
    }


def _processor():
    if os.path.isfile("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m encore.runtime.fingerprint", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("environment", nargs="?", help="compare this interpreter with that environment")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args(arguments)
    if arguments.environment is None:
        print(json.dumps(fingerprint(), indent=1, sort_keys=True))
        return 0
    try:
        environment.definition(arguments.environment)  # before torch is loaded for it
        rows = environment.compare(arguments.environment, environment.findings(load_torch=True))
    except Refusal as refusal:
        print("encore: {}".format(refusal), file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps([row._asdict() for row in rows], indent=1))
    else:
        print("\n".join(environment.table(arguments.environment, rows)))
    return 1 if environment.deviations(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
