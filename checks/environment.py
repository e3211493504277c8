"""`encore environment`: what the interpreter or image of an environment is, beside what it should be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from checks.size import PROJECT
from encore.runtime.refusal import Refusal

LOCAL = "cpu"  # the environment that runs without an image


def known_environments():
    """The names in locks/environments.yaml."""
    return list(yaml.safe_load((PROJECT / "locks" / "environments.yaml").read_text(encoding="utf-8")))


def check_environment(name, python=None):
    """(exit status, rows {what, wanted, found, state, stated}) of the check, run where `name` runs.

    The status is that of the program: 0 as defined, 1 deviating, 2 or another one when it could not be run
    and has said why; rows are None then. python: an interpreter that takes the place of the image.
    """
    status, text = run_there(name, python, "encore.runtime.fingerprint", name, "--json")
    if status not in (0, 1):
        return status, None
    try:
        return status, json.loads(text)
    except ValueError:
        raise Refusal(f"{name}: its interpreter printed no check: see what it says above") from None


def run_canary(name, python=None, as_json=False):
    """(exit status, output) of the numerical canary, run where `name` runs."""
    return run_there(name, python, "encore.runtime.canary", *(["--json"] if as_json else []))


def run_there(name, python, module, *arguments):
    """Run a worker module in the environment `name`: (exit status, output); its errors pass through."""
    done = subprocess.run(
        [*launcher(name, python), "-m", module, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT / "src")},
    )
    return done.returncode, done.stdout


def launcher(name, python=None):
    """The command that starts Python in the environment `name`; raises Refusal."""
    known = known_environments()
    if name not in known:
        raise Refusal(f"{name}: no such environment; there are {', '.join(known)}")
    if python is None and name != LOCAL and os.environ.get("ENCORE_PYTHON"):
        python = Path(os.environ["ENCORE_PYTHON"])
    if python is not None:
        if not os.access(python, os.X_OK) or python.is_dir():
            raise Refusal(f"{python}: no interpreter there: name one with --python or ENCORE_PYTHON")
        return [str(python)]
    if name == LOCAL:
        return [sys.executable]
    return [str(PROJECT / "bin" / "in-image"), name, "python"]
