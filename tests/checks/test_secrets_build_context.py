"""What of a working copy reaches the builder of an image: what a Dockerfile copies, and no secret."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from checks.planted import Search
from checks.size import PROJECT
from tests.checks.build_context import sent_by_build
from tests.outside_programs import lacking

SECRET = "planted7c1b0e5a94d2f368"
CHECK = (PROJECT / "containers" / "check-images").read_text()
PLANTED = re.search(r"for file in (.*?); do", CHECK, re.S).group(1).replace("\\\n", " ").split()
DOCKERFILES = ("Dockerfile.cuda101", "Dockerfile.cuda118")


def needed_by_the_dockerfiles():
    """What they copy, or what that reads."""
    locks = [path for ending in ("txt", "in") for path in (PROJECT / "locks").glob(f"*.{ending}")]
    locks.append(PROJECT / "locks" / "environments.yaml")
    scripts = [PROJECT / "containers" / name for name in ("install-python", "install-lock", "add-user")]
    code = [
        path
        for path in (PROJECT / "src" / "encore" / "runtime").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    paths = [*locks, *scripts, *code, PROJECT / "src" / "encore" / "__init__.py"]
    return {path.relative_to(PROJECT).as_posix() for path in paths}


@pytest.fixture(scope="module")
def working_copy(tmp_path_factory):
    """A copy of the project in which secrets lie where `make images` puts them."""
    if shutil.which("docker") is None:
        lacking("docker, whose client decides what a build gets, is not installed")
    folder = tmp_path_factory.mktemp("context")
    for name in ("locks", "containers", "src/encore/runtime", "bin"):
        shutil.copytree(PROJECT / name, folder / name)
    for name in ("src/encore/__init__.py", ".dockerignore", *DOCKERFILES):
        shutil.copy(PROJECT / name, folder / name)
    function = re.search(r"^plant\(\) \{.*?^\}", CHECK, re.S | re.M).group(0)
    subprocess.run(
        ["bash", "-euc", f'{function}\nplant "$0"', str(folder)], env={"secret": SECRET}, check=True
    )
    return folder


def test_the_secret_lies_in_many_places(working_copy):
    found = Search(SECRET.encode()).folder(working_copy).places
    assert sorted(found) == sorted(PLANTED) and len(found) >= 10


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_a_build_gets_what_the_dockerfile_copies_and_no_secret(working_copy, dockerfile, tmp_path):
    sent = sent_by_build(working_copy, dockerfile, tmp_path / "daemon")
    search = Search(SECRET.encode())
    for name, data in sent.items():
        search.said(data, name)
    assert search.places == [] and search.files == len(sent)
    assert needed_by_the_dockerfiles() <= sent.keys()
    given = {name for name in sent if not name.startswith(("locks/", "src/encore/", "containers/"))}
    assert given <= {dockerfile, ".dockerignore"}


def test_without_the_list_a_build_gets_the_secret(working_copy, tmp_path):
    (tmp_path / "open").mkdir()
    shutil.copytree(working_copy, tmp_path / "open", dirs_exist_ok=True)
    (tmp_path / "open" / ".dockerignore").write_text("raw\n")
    sent = sent_by_build(tmp_path / "open", "Dockerfile.cuda101", tmp_path / "daemon")
    held = {name for name, data in sent.items() if SECRET.encode() in data}
    assert held == set(PLANTED) - {"raw/.env"}
