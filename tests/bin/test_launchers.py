"""The launchers that a pipeline's commands start with."""

import os
import shutil
import stat
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(*command, **environment):
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        env=dict(os.environ, **environment),
    )


def script(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "bin").mkdir()
    for name in ("local", "in-image"):
        shutil.copy(os.path.join(ROOT, "bin", name), str(tmp_path / "bin" / name))
    return tmp_path


def test_local_starts_the_named_interpreter_with_the_project_on_its_path(project):
    python = script(project / "python", 'echo "$PYTHONPATH"; echo "$@"; exit 7')
    done = run(str(project / "bin" / "local"), "-m", "x", ENCORE_PYTHON=python, PYTHONPATH="before")
    assert done.stdout.splitlines() == ["{0}/src:{0}:before".format(project), "-m x"]
    assert done.returncode == 7


def test_local_without_an_environment_says_what_to_do(project):
    done = run(str(project / "bin" / "local"), "-V", ENCORE_PYTHON="")
    assert done.returncode == 2 and "run 'make setup' or set ENCORE_PYTHON" in done.stderr


def test_in_image_refuses_in_one_line(project):
    launcher = str(project / "bin" / "in-image")
    failing = script(project / "failing", "exit 1")
    assert "usage" in run(launcher, "cuda101").stderr
    done = run(launcher, "cuda101", "true")
    assert done.returncode == 2 and "there is no Dockerfile.cuda101 yet" in done.stderr
    (project / "Dockerfile.cuda101").write_text("")
    done = run(launcher, "cuda101", "true", ENCORE_RUNTIME=failing)
    assert done.returncode == 2 and "no image encore-cuda101: build it with" in done.stderr
    assert done.stderr.count("\n") == 1


def test_in_image_mounts_the_project_and_linked_data_and_passes_the_digest(project):
    (project / "Dockerfile.cuda101").write_text("")
    (project / "raw").mkdir()
    (project / "elsewhere").mkdir()
    os.symlink(str(project / "elsewhere"), str(project / "raw" / "train_0"))
    runtime = script(
        project / "docker", 'if [ "$1" = image ]; then echo sha256:abc; else echo "$@"; exit 5; fi'
    )
    done = run(str(project / "bin" / "in-image"), "cuda101", "python", "-m", "x", ENCORE_RUNTIME=runtime)
    assert done.returncode == 5
    for part in ("{0}:{0}".format(project), "{0}/elsewhere:{0}/elsewhere".format(project),
                 "ENCORE_IMAGE_DIGEST=sha256:abc", "encore-cuda101 python -m x"):  # fmt: skip
        assert part in done.stdout
