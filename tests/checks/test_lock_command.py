from __future__ import annotations

import shutil

import pytest

from checks import locks
from checks.size import PROJECT
from encore.runtime.refusal import Refusal
from tests.checks.test_verify import run


class Answers:
    """Stands in for `checks.locks`: notes what it is asked, and answers as told."""

    def __init__(self, monkeypatch):
        self.asked, self.problems, self.changed = [], [], []
        monkeypatch.setattr(locks, "check_locks", self.check)
        monkeypatch.setattr(locks, "write_locks", self.write)

    def check(self, root, resolve):
        self.asked.append((root, "index" if resolve else "offline"))
        return self.problems

    def write(self, root):
        self.asked.append((root, "write"))
        return self.changed


@pytest.fixture
def answers(monkeypatch):
    return Answers(monkeypatch)


def test_a_check_asks_the_index_unless_told_not_to(answers, capsys):
    assert run("locks") == run("locks", "--check") == run("locks", "--check", "--offline") == 0
    assert answers.asked == [(PROJECT, "index"), (PROJECT, "index"), (PROJECT, "offline")]
    assert capsys.readouterr() == ("", "")


def test_each_problem_is_a_line(answers, capsys):
    answers.problems = ["locks/cpu.txt is missing", "locks/cpu.in does not resolve"]
    assert run("locks", "--offline") == 1
    assert capsys.readouterr().err == (
        "encore: locks/cpu.txt is missing\nencore: locks/cpu.in does not resolve\n"
    )


def test_writing_names_what_it_changed(answers, capsys, tmp_path):
    answers.changed = ["locks/cpu.txt", "Dockerfile.cuda101"]
    assert run("locks", "--write", "--root", tmp_path) == 0
    assert capsys.readouterr().out == "locks/cpu.txt: rewritten\nDockerfile.cuda101: rewritten\n"
    assert answers.asked == [(tmp_path, "write")]


def test_writing_needs_the_index(answers, capsys):
    assert run("locks", "--write", "--offline") == 2
    assert capsys.readouterr().err == "encore: --write asks the package index: leave out --offline\n"
    assert answers.asked == []


def test_a_refusal_is_a_line(answers, capsys, monkeypatch):
    def refuse(root, resolve):
        raise Refusal("`uv`, which makes the locks, is missing: run `make setup`")

    monkeypatch.setattr(locks, "check_locks", refuse)
    assert run("locks") == 2
    assert capsys.readouterr().err.startswith("encore: `uv`, which makes the locks, is missing")


def test_a_copy_of_this_project_with_an_edited_lock(tmp_path, capsys):
    shutil.copytree(PROJECT / "locks", tmp_path / "locks")
    for path in PROJECT.glob("Dockerfile.*"):
        shutil.copy(path, tmp_path)
    assert run("locks", "--offline", "--root", tmp_path) == 0
    lock = tmp_path / "locks" / "cuda118.txt"
    lock.write_text(lock.read_text().replace("torch==2.0.1", "torch==2.0.0", 1))
    assert run("locks", "--offline", "--root", tmp_path) == 1
    assert "encore: locks/cuda118.txt was edited by hand" in capsys.readouterr().err
