from __future__ import annotations

import json
import sys

import pytest

from checks import environment
from checks.size import PROJECT
from tests.checks.test_verify import run

ROWS = [
    {"what": "Python", "wanted": "3.7.10", "found": "3.7.16", "state": "stand-in", "stated": True},
    {"what": "numpy", "wanted": "1.16.0", "found": "1.16.0", "state": "ok", "stated": True},
    {"what": "six", "wanted": "1.15.0", "found": "1.15.0", "state": "ok", "stated": False},
    {"what": "zipp", "wanted": "3.6.0", "found": "missing", "state": "deviates", "stated": False},
]


@pytest.fixture(autouse=True)
def no_interpreter(monkeypatch):
    monkeypatch.delenv("ENCORE_PYTHON", raising=False)


def interpreter(tmp_path, check, status=1, canary="canary says so", canary_status=0):
    """A program in the place of Python: prints a check, or the canary's text, and tells how it was called."""
    (tmp_path / "check").write_text(check)
    path = tmp_path / "python"
    path.write_text(
        f'#!/bin/sh\necho "$PYTHONPATH $*" >> {tmp_path}/calls\n'
        f'case "$*" in *canary*) echo "{canary}"; exit {canary_status};; esac\n'
        f"cat {tmp_path}/check\nexit {status}\n"
    )
    path.chmod(0o755)
    return path


def test_the_table_shows_what_was_asked_for_and_what_deviates(tmp_path, capsys):
    python = interpreter(tmp_path, json.dumps(ROWS))
    assert run("environment", "cuda101", "--python", python) == 1
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("3.7.16", "stand-in", "numpy", "zipp", "missing", "deviates"))
    assert "six" not in printed
    call = (tmp_path / "calls").read_text()
    assert call == f"{PROJECT}/src -m encore.runtime.fingerprint cuda101 --json\n"


def test_json_holds_every_row_and_the_status_is_that_of_the_check(tmp_path, capsys):
    python = interpreter(tmp_path, json.dumps(ROWS[:3]), status=0)
    assert run("environment", "cuda118", "--python", python, "--json") == 0
    assert json.loads(capsys.readouterr().out) == ROWS[:3]


@pytest.mark.parametrize(("canary_status", "status"), [(0, 0), (1, 1)])
def test_the_canary_runs_there_too(tmp_path, capsys, canary_status, status):
    python = interpreter(tmp_path, json.dumps(ROWS[:2]), 0, canary_status=canary_status)
    assert run("environment", "cuda101", "--python", python, "--canary") == status
    assert capsys.readouterr().out.endswith("canary says so\n")
    assert "-m encore.runtime.canary\n" in (tmp_path / "calls").read_text()


def test_json_of_the_check_and_the_canary_is_one_value(tmp_path, capsys):
    python = interpreter(
        tmp_path, json.dumps(ROWS[:2]), 0, canary='{\\"verdict\\": \\"drifted\\"}', canary_status=1
    )
    assert run("environment", "cuda101", "--python", python, "--canary", "--json") == 1
    assert json.loads(capsys.readouterr().out) == {"environment": ROWS[:2], "canary": {"verdict": "drifted"}}


def test_encore_python_stands_for_the_image(tmp_path, monkeypatch):
    python = interpreter(tmp_path, "[]", 0)
    monkeypatch.setenv("ENCORE_PYTHON", str(python))
    assert environment.launcher("cuda101") == [str(python)]
    assert environment.launcher("cpu") == [sys.executable]
    monkeypatch.delenv("ENCORE_PYTHON")
    assert environment.launcher("cuda118") == [str(PROJECT / "bin/in-image"), "cuda118", "python"]


def test_an_unknown_name_is_refused_in_one_line(capsys):
    assert run("environment", "cuda999") == 2
    error = capsys.readouterr().err
    known = "cuda101, cuda101-pandas, cuda101-ray, cuda118, cuda118-ray, cpu"
    assert "cuda999: no such environment; there are {}".format(known) in error
    assert error.count("\n") == 1


def test_an_interpreter_that_is_not_there_is_refused(tmp_path, capsys):
    assert run("environment", "cuda101", "--python", tmp_path / "python") == 2
    assert "no interpreter there: name one with --python or ENCORE_PYTHON" in capsys.readouterr().err


def test_a_refusal_of_the_launcher_passes_through(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("ENCORE_RUNTIME", str(tmp_path / "nothing"))
    assert run("environment", "cuda101") == 2
    out, error = capfd.readouterr()
    assert out == "" and "there is no program" in error


def test_an_interpreter_that_prints_no_check_is_refused(tmp_path, capsys):
    assert run("environment", "cuda101", "--python", interpreter(tmp_path, "oops", 1)) == 2
    assert "cuda101: its interpreter printed no check" in capsys.readouterr().err


def test_the_check_of_this_interpreter(capsys):
    status = run("environment", "cpu", "--json")
    rows = {row["what"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["Python"]["state"] == "ok" and rows["numpy"]["found"] != "missing"
    failed = [row for row in rows.values() if row["state"] in ("deviates", "refused")]
    assert status == (1 if failed else 0)
