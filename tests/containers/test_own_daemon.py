"""containers/own-daemon: what it refuses. `make images` shows that it starts and stops a daemon."""

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.bin.scripts import copy_of, open_folder, ordinary_user, refusal, run, script, tools_only

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root")
# little memory, so that nothing is mounted
LITTLE_MEMORY = "echo 0"


@pytest.fixture
def folder():
    path = open_folder()
    yield Path(path)
    shutil.rmtree(path)


def test_an_ordinary_user(folder):
    before = ordinary_user()
    done = run(*before, copy_of("containers/own-daemon", folder), "echo", "started")
    assert refusal(done).startswith("no Docker daemon answers, and starting one takes root: start yours")
    assert done.stdout == ""


@needs_root
def test_no_dockerd(folder):
    path = tools_only(folder / "tools")
    done = run(copy_of("containers/own-daemon", folder), "echo", "started", PATH=path)
    assert refusal(done) == (
        "no Docker daemon answers and dockerd is not installed: apt-get install docker.io"
    )
    assert done.stdout == ""


@needs_root
def test_where_nothing_can_be_mounted(folder):
    path = tools_only(folder / "tools")
    (folder / "tools" / "awk").unlink()
    for name, text in (("awk", "echo 64"), ("mount", "echo no >&2; exit 32"), ("dockerd", "exit 1")):
        script(folder / "tools" / name, text)
    done = run(copy_of("containers/own-daemon", folder), "echo", "started", PATH=path)
    assert refusal(done) == "dockerd does not start on this machine"


@needs_root
def test_a_daemon_that_does_not_start_leaves_nothing_behind(folder):
    path = tools_only(folder / "tools")
    (folder / "tools" / "awk").unlink()
    script(folder / "tools" / "awk", LITTLE_MEMORY)
    script(
        folder / "tools" / "dockerd", 'echo "$@" >"{}/call"; echo no permission >&2; exit 1'.format(folder)
    )
    done = run(copy_of("containers/own-daemon", folder), "echo", "started", PATH=path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "no permission\nencore: dockerd does not start on this machine\n"
    (place,) = re.findall(r"--data-root (\S+)/data ", (folder / "call").read_text())
    assert place.startswith("/tmp/encore-daemon.") and not os.path.exists(place)
