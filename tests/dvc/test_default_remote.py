"""The default remote, mini/artefacts, on a fresh clone: what `make pull` fetches, with no account."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import subprocess

import pytest
from dvc.repo import Repo

from checks.size import PROJECT
from tests.dvc.tiny_project import TinyProject

ARTEFACTS = PROJECT / "mini" / "artefacts"
LARGEST, ALL = 5_000_000, 20_000_000


def commands_of(target):
    """The commands of a target of the Makefile, as lists of words after `.venv/bin/dvc`."""
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", (PROJECT / "Makefile").read_text(), re.M).group(1)
    return [words[1:] for words in map(str.split, recipe.splitlines()) if words[0].endswith("/dvc")]


@pytest.fixture
def clone(tmp_path):
    """A fresh clone of the project as it is now."""
    project = TinyProject(tmp_path / "clone")
    subprocess.run([PROJECT / "bin" / "copy-project", project.folder], check=True)
    (project.folder / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
    return project


def kept(project):
    """The outputs of the mini size that DVC keeps, of an index of its own."""
    for name in ("HOME", "DVC_SITE_CACHE_DIR"):
        os.environ[name] = project.environment[name]
    mini = str(project.folder / "mini") + os.sep
    outs = Repo(str(project.folder)).index.outs
    return [out for out in outs if out.use_cache and out.fs_path.startswith(mini)]


@pytest.fixture(autouse=True)
def own_settings(monkeypatch):
    """What `kept` sets ends with the test."""
    for name in ("HOME", "DVC_SITE_CACHE_DIR"):
        monkeypatch.setenv(name, os.environ.get(name, ""))


def test_a_fresh_clone_gets_every_artefact_of_the_mini_run(clone):
    (command,) = commands_of("pull")
    clone.run(*command)
    outs = kept(clone)
    assert len(outs) > 20
    for out in outs:
        assert out.exists, out
        if os.path.isfile(out.fs_path):
            found = hashlib.md5(open(out.fs_path, "rb").read()).hexdigest()
            assert found == out.hash_info.value, out
    assert not any((clone.folder / "mini" / "models").glob("**/*.pth*"))  # what is large is made again
    curves = [out for out in outs if isinstance(out.plot, dict)]
    for out in curves:
        with open(out.fs_path, newline="") as file:
            columns = next(csv.reader(file))
        assert {out.plot["x"], out.plot["y"]} <= set(columns), (out, columns)
    assert curves


def test_an_artefact_that_is_not_what_its_name_says_is_refused(clone):
    name = "predictions/isc_track2/trained.csv"
    (out,) = [out for out in kept(clone) if out.fs_path.endswith(name)]
    digest = out.hash_info.value
    path = clone.folder / "mini" / "artefacts" / "files" / "md5" / digest[:2] / digest[2:]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"0.", b"1.", 1))
    (command,) = commands_of("pull")
    status, text = clone.call(*command, "-v")
    assert status == 1 and "corrupted cache file" in text and name in text, text[-3000:]
    assert not (clone.folder / "mini" / name).exists()


def test_the_artefacts_are_small_and_all_of_them_are_of_the_run_that_is_locked(clone):
    sizes = {path: path.stat().st_size for path in ARTEFACTS.rglob("*") if path.is_file()}
    assert max(sizes.values()) < LARGEST and sum(sizes.values()) < ALL
    (command,) = commands_of("pull")
    clone.run(*command)
    cached = (clone.folder / ".dvc" / "cache").rglob("*")
    assert {path.relative_to(ARTEFACTS).as_posix() for path in sizes} == {
        path.relative_to(clone.folder / ".dvc" / "cache").as_posix() for path in cached if path.is_file()
    }
