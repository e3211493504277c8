"""`encore doctor`: can this machine and this clone run the pipeline, and what is to do first?"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path

from packaging.requirements import Requirement

from checks.data import survey
from checks.doctor_machine import machine_findings
from checks.finding import OK, PROBLEM, WARNING, Finding, ask
from checks.locks import CUDA_BUILD, lock, read_entries
from checks.raw_data.plan import summary
from encore.runtime.refusal import Refusal

PYTHONS = ((3, 11), (3, 14))
NAMED = 3


def examine(root):
    """The Findings on the clone in `root`, then on the machine; none of them changes anything."""
    root = Path(root)
    return [
        python(),
        packages(root),
        repository(root),
        *(pipeline(root, size) for size in (".", "mini")),
        data(root, "mini", needed=True),
        data(root, ".", needed=False),
        *machine_findings(root),
    ]


def python(version=sys.version_info):
    text = ".".join(map(str, version[:3]))
    if PYTHONS[0] <= tuple(version[:2]) < PYTHONS[1]:
        return Finding("python", OK, f"{text} at {sys.executable}")
    todo = "make the environment again with Python 3.11, 3.12 or 3.13: rm -r .venv && make setup"
    return Finding("python", PROBLEM, text, todo)


def packages(root):
    """The libraries of this interpreter beside those of locks/cpu.txt."""
    missing, other, count = [], [], 0
    try:
        texts = [lock(root, name).read_text(encoding="utf-8") for name in ("cpu", "assets")]
    except OSError as error:
        return Finding("packages", PROBLEM, f"no {error.filename}", "restore it from the repository")
    for pin in (pin for text in texts for pin in read_entries(text)):
        wanted = Requirement(pin)
        if _comes_with_cuda(pin) or not (wanted.marker is None or wanted.marker.evaluate()):
            continue
        count += 1
        version = _installed(wanted.name)
        if version is None:
            missing.append(wanted.name)
        elif not wanted.specifier.contains(version, prereleases=True):  # 2.13.0+cpu is 2.13.0
            other.append(f"{wanted.name} {version} instead of {next(iter(wanted.specifier)).version}")
    if not missing and not other:
        return Finding("packages", OK, f"all {count} as in locks/cpu.txt and locks/assets.txt")
    found = [f"{len(missing)} missing: {_few(missing)}"] if missing else []
    found += [f"{len(other)} of another version: {_few(other)}"] if other else []
    state = PROBLEM if missing else WARNING
    return Finding("packages", state, "; ".join(found), "run `rm -f .venv/ready && make setup`")


def _comes_with_cuda(pin):
    """CUDA libraries come or do not come with the build of torch that was found."""
    return bool(CUDA_BUILD.match(pin)) and not pin.startswith(("torch==", "torchvision=="))


def _installed(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _few(names):
    return ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")


def repository(root):
    """git, or that the tree has none, which DVC must know."""
    config = root / ".dvc" / "config.local"
    if (root / ".git").exists():
        status, output, error = ask(["git", "-C", str(root), "status", "--porcelain"])
        if status != 0:
            return Finding(
                "git", WARNING, f"a repository that git does not read ({error})", "install or mend git"
            )
        changed = len(output.splitlines())
        return Finding(
            "git", OK, f"a repository, {changed} files changed" if changed else "a clean repository"
        )
    if config.is_file() and "no_scm" in config.read_text(encoding="utf-8"):
        return Finding("git", OK, "no repository, and DVC knows")
    todo = "run `.venv/bin/dvc config --local core.no_scm true`"
    return Finding("git", PROBLEM, "no repository, and DVC does not know", todo)


def pipeline(root, size):
    """Whether DVC can read the pipeline of a size."""
    name = f"pipeline {size}"
    path = os.path.normpath(os.path.join(size, "dvc.yaml"))
    command = [sys.executable, "-m", "dvc", "stage", "list", path, "--name-only"]
    status, output, error = ask(command, cwd=root, env={**os.environ, "DVC_NO_ANALYTICS": "1"})
    if status == 0:
        return Finding(name, OK, f"{len(output.splitlines())} stages")
    todo = f"correct {path}, or restore it from the repository"
    return Finding(name, PROBLEM, error.removeprefix("ERROR: ") or "DVC does not start", todo)


def data(root, size, needed):
    """The raw data of a size in one line; needed: they are part of the repository, so none may lack."""
    name = f"data {size}"
    option = "" if size == "." else f" --size {size}"
    try:
        states = survey(root / size, digest=needed)
    except Refusal as refusal:
        return Finding(name, PROBLEM, str(refusal).split("\n")[0], "restore it from the repository")
    words = {state.word for state in states if state.blocks}
    if not words:
        return Finding(name, OK, summary(states))
    state = PROBLEM if needed or "wrong" in words else WARNING
    return Finding(
        name, state, summary(states), f"`encore data{option} --plan` says what to get and where to put it"
    )
