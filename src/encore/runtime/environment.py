"""The environment check: what this interpreter is, beside the definition of the environment it should be."""

from __future__ import annotations

import os
import platform
import re
import sys
import warnings
from typing import Dict, NamedTuple, Optional, Tuple

from encore.runtime import hardware
from encore.runtime.definition import definition, normalised, pins, stated
from encore.runtime.shared_memory import shared_memory

OK, DEVIATES, STAND_IN, ABSENT, REFUSED = "ok", "deviates", "stand-in", "absent", "refused"
NONE = "none"
# A conda installation of torch has CUDA in other packages, and builds nothing.
CUDA_PARTS = re.compile(r"(nvidia-.*|cuda-.*|cudatoolkit|triton|pytorch-triton|cmake|lit)$")
OTHER_NAMES = {"faiss-gpu": "faiss", "faiss-cpu": "faiss"}
"""What conda calls a library that the package index calls otherwise."""


class Torch(NamedTuple):
    """What torch says of itself and of the GPUs."""

    cuda: str = NONE
    cudnn: str = NONE
    compiled: Tuple[str, ...] = ()
    devices: Tuple[Tuple[str, Tuple[int, int]], ...] = ()
    """(name, (major, minor)) of each GPU."""
    no_device: str = ""
    """Why there is none, as far as torch says."""
    objection: Optional[str] = None


class Found(NamedTuple):
    """What this interpreter is."""

    python: str
    libraries: Dict[str, str]
    torch: Optional[Torch] = None
    """None: not loaded."""
    torch_error: str = ""
    driver: Optional[str] = None
    shared_memory: Optional[Tuple[int, int]] = None
    stand_in: bool = False
    """Whether it declares itself a stand-in (ENCORE_STAND_IN=yes)."""


class Row(NamedTuple):
    """One line of the check."""

    what: str
    wanted: str
    found: str
    state: str
    stated: bool = True
    """False for a library that came with another one."""


def findings(load_torch=False):
    """The Found of this interpreter; torch is looked at where it is loaded, or loaded for it."""
    error = ""
    if load_torch:
        try:
            import torch
        except (ImportError, OSError) as problem:
            error = " ".join(str(problem).split()) or type(problem).__name__
    torch = _torch() if "torch" in sys.modules and not error else None
    return Found(
        platform.python_version(),
        _libraries(),
        torch,
        error,
        hardware.driver_version(hardware.driver()) if torch and torch.devices else None,
        shared_memory(),
        os.environ.get("ENCORE_STAND_IN") == "yes",
    )


def compare(name, found):
    """The rows of the check of environment `name`; Refusal for an unknown name or a lock that is missing."""
    wanted = definition(name)
    locked = _applying(pins(wanted.lock))
    right_torch = _public(found.libraries.get("torch", "")) == locked.get("torch")
    rows = [_python_row(wanted, found)]
    if found.torch_error:
        rows.append(Row("import torch", "works", found.torch_error, DEVIATES))
    if found.torch is not None:
        rows += _build_rows(wanted, found, right_torch) + _device_rows(wanted, found)
    if found.shared_memory is not None:
        free, total = (size / 1e9 for size in found.shared_memory)
        rows.append(Row("shared memory", "any", "{:.2f} of {:.2f} GB free".format(free, total), OK))
    return rows + _library_rows(locked, stated(wanted.lock), found.libraries)


def deviations(rows):
    """The rows that fail the check."""
    return [row for row in rows if row.state in (DEVIATES, REFUSED)]


def table(name, rows):
    """The check as lines of text: what was asked for, and whatever is not as it should be."""
    shown = [row for row in rows if row.stated or row.state != OK]
    cells = [("what", "wanted", "found", "state")] + [row[:4] for row in shown]
    widths = [max(len(row[column]) for row in cells) for column in (0, 1, 2)]
    lines = ["environment {}".format(name)]
    lines += ["  ".join([text.ljust(w) for text, w in zip(row, widths)] + [row[3]]) for row in cells]
    if len(rows) > len(shown):
        lines.append("and {} more libraries as locked".format(len(rows) - len(shown)))
    failed = deviations(rows)
    lines.append("not as defined: " + listing([row.what for row in failed]) if failed else "as defined")
    return lines


def listing(texts, most=8):
    """Texts in one line: "a, b and 5 more"."""
    rest = len(texts) - most
    return ", ".join(texts[:most]) + (" and {} more".format(rest) if rest > 0 else "")


def _python_row(wanted, found):
    short = {".".join(version.split(".")[:2]) for version in wanted.python}
    return _row(
        "Python",
        " or ".join(wanted.python),
        found.python,
        any(_begins(found.python, version) for version in wanted.python),
        found.stand_in and ".".join(found.python.split(".")[:2]) in short,
    )


def _build_rows(wanted, found, right_torch):
    """What torch was built with; another build of the right version may stand in."""
    torch, rows = found.torch, []
    may = found.stand_in and right_torch
    if wanted.cuda:
        rows.append(_row("CUDA", wanted.cuda, torch.cuda, torch.cuda == wanted.cuda, may))
    if wanted.cudnn:
        rows.append(_row("cuDNN", wanted.cudnn, torch.cudnn, _begins(torch.cudnn, wanted.cudnn), may))
    if wanted.capability:
        numbers = [tuple(map(int, re.match(r"sm_(\d+)(\d)$", text).groups())) for text in wanted.capability]
        ready = all(any(hardware.runs(code, number) for code in torch.compiled) for number in numbers)
        text = " ".join(torch.compiled) or NONE
        rows.append(_row("compiled for", " ".join(wanted.capability), text, ready, may))
    return rows


def _device_rows(wanted, found):
    torch, rows = found.torch, []
    if not torch.devices:
        reason = " ({})".format(torch.no_device) if torch.no_device else ""
        return [Row("GPU", " or ".join(wanted.gpu), NONE + reason, ABSENT)] if wanted.gpu else []
    names = sorted({name for name, _ in torch.devices})
    capabilities = sorted({hardware.architecture_name(capability) for _, capability in torch.devices})
    if wanted.gpu:
        right = all(any(gpu in name for gpu in wanted.gpu) for name in names)
        rows.append(_row("GPU", " or ".join(wanted.gpu), ", ".join(names), right))
    if wanted.capability:
        right = set(capabilities) <= set(wanted.capability)
        rows.append(_row("capability", " or ".join(wanted.capability), ", ".join(capabilities), right))
    if torch.objection:
        rows.append(Row("hardware", "code for " + ", ".join(capabilities), torch.objection, REFUSED))
    if wanted.driver:
        state = ABSENT  # a GPU works, but its driver does not say its version here
        if found.driver:
            state = OK if _numbers(found.driver) >= _numbers(wanted.driver) else DEVIATES
        rows.append(Row("driver", "at least " + wanted.driver, found.driver or "unknown", state))
    return rows


def _library_rows(locked, asked_for, libraries):
    rows = []
    for name, version in sorted(locked.items(), key=lambda item: (item[0] not in asked_for, item[0])):
        found = libraries.get(name) or libraries.get(OTHER_NAMES.get(name, name)) or "missing"
        rows.append(_row(name, version, found, _public(found) == version)._replace(stated=name in asked_for))
    return rows


def _row(what, wanted, found, right, may_stand_in=False):
    return Row(what, wanted, found, OK if right else STAND_IN if may_stand_in else DEVIATES)


def _applying(locked):
    """{name: version} of the pins that hold for this interpreter and can be compared."""
    kept = [pin for pin in locked if not CUDA_PARTS.match(pin.name)]
    if any(pin.marker for pin in kept):
        try:
            from packaging.markers import Marker
        except ImportError:  # it is in every lock with conditions, so its own row says that it is missing
            kept = [pin for pin in kept if not pin.marker]
        else:
            kept = [pin for pin in kept if not pin.marker or Marker(pin.marker).evaluate()]
    return {pin.name: _public(pin.version) for pin in kept}


def _libraries():
    """{normalised name: version} of the distributions that this interpreter finds."""
    try:
        from importlib import metadata
    except ImportError:  # Python 3.7
        import pkg_resources

        return {normalised(found.project_name): found.version for found in pkg_resources.working_set}
    found = {}
    for distribution in metadata.distributions():
        if distribution.metadata["Name"]:
            found.setdefault(normalised(distribution.metadata["Name"]), distribution.version)
    return found


def _torch():
    torch = sys.modules["torch"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        devices = tuple(hardware.devices(torch))
        objection = hardware.objection_here()
    return Torch(
        torch.version.cuda or NONE,
        cudnn_version(torch.backends.cudnn.version()),
        tuple(hardware.compiled(torch)),
        devices,
        str(caught[0].message).split(". ")[0] if caught and not devices else "",
        objection,
    )


def cudnn_version(number):
    """7605 -> "7.6.5", 91002 -> "9.10.2"; "none" for None."""
    if not number:
        return NONE
    thousand = 10000 if number >= 90000 else 1000
    return "{}.{}.{}".format(number // thousand, number % thousand // 100, number % 100)


def _public(version):
    """A version without its local part: "1.7.1+cu101" -> "1.7.1"."""
    return version.split("+")[0]


def _begins(version, wanted):
    return version == wanted or version.startswith(wanted + ".")


def _numbers(version):
    return [int(part) for part in version.split(".")]
