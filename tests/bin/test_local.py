"""bin/local and bin/host, which start Python outside of images."""

import pytest

from tests.bin.scripts import copy_of, refusal, run, script


@pytest.fixture
def project(tmp_path):
    for name in ("local", "host"):
        copy_of("bin/" + name, tmp_path)
    return tmp_path


def python(path):
    return script(path, 'echo "$0"; echo "$PYTHONPATH"; echo "$@"; exit 7')


def test_local_starts_the_named_interpreter_with_the_project_on_its_path(project):
    other = python(project / "other")
    done = run(project / "bin" / "local", "-m", "x", "a b", ENCORE_PYTHON=other, PYTHONPATH="before")
    assert done.stdout.splitlines() == [other, "{0}/src:{0}:before".format(project), "-m x a b"]
    assert done.returncode == 7


def test_local_starts_the_projects_own_interpreter_by_default(project):
    own = python(project / ".venv" / "bin" / "python")
    done = run(project / "bin" / "local", "-V", cwd=project.parent)
    assert done.stdout.splitlines() == [own, "{0}/src:{0}".format(project), "-V"]


@pytest.mark.parametrize("named", ["", "/nonexistent/python"])
def test_local_without_an_interpreter_says_what_to_do(project, named):
    done = run(project / "bin" / "local", "-V", ENCORE_PYTHON=named)
    assert refusal(done) == "no interpreter at {}: run 'make setup' or set ENCORE_PYTHON".format(
        named or project / ".venv/bin/python"
    )


def test_host_does_not_take_the_interpreter_of_the_stages(project):
    own = python(project / ".venv" / "bin" / "python")
    done = run(project / "bin" / "host", "-m", "checks", ENCORE_PYTHON=python(project / "other"))
    assert done.stdout.splitlines()[0] == own and done.returncode == 7
