"""Running the project's shell scripts in tests: with fakes for the programs they call, and few variables."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOLS = """awk basename bash cat chmod cp cut date dirname env find git grep id mkdir mktemp mv realpath rm
sed seq sh sha256sum sleep sort tail tar tr uname xargs""".split()


def script(path, text):
    """Write an executable shell script; returns its path as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


def run(*command, **options):
    """Run a command; `cwd` is its folder, every other option a variable of its small environment."""
    cwd = options.pop("cwd", None)
    command = [str(part) for part in command]
    values = {name: str(value) for name, value in options.items()}
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        cwd=cwd and str(cwd),
        env=small_environment(**values),
    )


def small_environment(**values):
    return dict({"PATH": os.environ["PATH"], "HOME": "/nonexistent"}, **values)


def refusal(done):
    """The one line with which a script refused."""
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stderr.startswith("encore: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr[len("encore: ") : -1]


def tools_only(folder):
    """Fill a folder with links to the ordinary tools alone, to be a whole PATH; returns its path as text."""
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(os.path.realpath(found))
    return str(folder)


def ordinary_user():
    """The words in front of a command that make it run as an ordinary user: none where we are one."""
    if os.getuid() != 0:
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root may write everywhere, and setpriv, which makes another user of it, is missing")
    return ["setpriv", "--reuid=4242", "--regid=4242", "--clear-groups"]


def open_folder():
    """A new folder that other users reach too (pytest's own they do not); the caller removes it."""
    folder = os.path.realpath(tempfile.mkdtemp(prefix="encore-test-"))
    os.chmod(folder, 0o755)
    return folder


def copy_of(name, folder):
    """Copy a file of the project to the same place below a folder; returns its path."""
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(os.path.join(ROOT, name), str(target))
    return target


def values_of(option, arguments):
    """What follows each occurrence of an option in a list of arguments."""
    return [after for before, after in zip(arguments, arguments[1:]) if before == option]
