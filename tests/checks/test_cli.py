"""How a command ends that cannot go on: status 1 is left to claims that deviate."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from checks.cli import main
from checks.size import PROJECT


def ended(capsys, monkeypatch, error):
    """(status, stderr) of `encore status` whose work raises `error`."""

    def fail(_):
        raise error

    monkeypatch.setattr("checks.status.stage_states", fail)
    with pytest.raises(SystemExit) as end:
        main(["status", "."])
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("a"), "KeyError: 'a' (test_cli.py:"),
        (ValueError("two\n lines"), "ValueError: two lines (test_cli.py:"),
        (RecursionError(), "RecursionError: no more is known"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_a_fault_is_one_line_and_status_3(capsys, monkeypatch, error, said):
    monkeypatch.delenv("ENCORE_DEBUG", raising=False)
    status, text = ended(capsys, monkeypatch, error)
    assert status == 3 and text.count("\n") == 1
    assert (
        text.startswith("encore: internal fault: ") and text.endswith("; please report it\n") and said in text
    )


def test_a_fault_of_the_machine_says_what_to_do(capsys, monkeypatch):
    status, text = ended(capsys, monkeypatch, PermissionError(13, "Permission denied", "file"))
    assert status == 3 and text.count("\n") == 1
    assert text.startswith("encore: file: not permitted: give this user the right to read and write there")


def test_the_traceback_is_there_for_who_asks(capsys, monkeypatch):
    monkeypatch.setenv("ENCORE_DEBUG", "1")
    status, text = ended(capsys, monkeypatch, KeyError("a"))
    assert status == 3 and text.startswith("Traceback") and "internal fault" in text.splitlines()[-1]


def test_an_interrupted_command_ends_with_130_and_a_wrong_option_with_2(capsys, monkeypatch):
    assert ended(capsys, monkeypatch, KeyboardInterrupt())[0] == 130
    with pytest.raises(SystemExit) as end:
        main(["status", "--none"])
    assert end.value.code == 2


@pytest.mark.parametrize("arguments", [["links", "--help"], ["status", "mini", "--json", "--stages"]])
def test_a_reader_that_goes_away_is_neither_a_fault_nor_a_deviation(arguments):
    read, write = os.pipe()
    os.close(read)
    try:
        found = subprocess.run(
            [sys.executable, "-m", "checks", *arguments], cwd=PROJECT, stdout=write, stderr=subprocess.PIPE
        )
    finally:
        os.close(write)
    assert (found.returncode, found.stderr) == (141, b"")
