"""The suite of hostile files says "lost" of every reader that breaks its promise."""

import re

import pytest
from broken_readers import READERS

from faults.hostile import isolation as isolation_module
from faults.hostile.archive_cases import cases as archive_cases
from faults.hostile.case import CODE, OUTSIDE
from faults.hostile.isolation import Isolation
from faults.hostile.pickle_cases import cases as pickle_cases
from faults.hostile.suite import mutation_row
from faults.hostile.text_cases import cases as text_cases
from faults.hostile.trial import trial

DEEP = next(case for case in text_cases(1000) if case.name == "JSON: brackets within brackets")
WRONG = {
    "hangs": "no end after 2 s",
    "spins": "ended by SIGXCPU|ended by SIGKILL|no end after",
    "takes_memory": "MemoryError",
    "takes_memory_and_says_no": "only the limit of memory stopped it",
    "says_it_on_two_lines": "a refusal of several lines",
    "names_no_file": "a refusal that does not name params.json",
    "crashes": "ended by SIGSEGV",
    "raises_something_else": "KeyError",
    "takes_anything": "it was read, expected a refusal",
    "writes_elsewhere": "open .*written",
    "recurses": "RecursionError",
}


@pytest.fixture(scope="module")
def isolation(request):
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(request.path.parent))
    patch.setenv("HOSTILE_SECONDS", "1")
    patch.setenv("HOSTILE_WALL", "2")
    with Isolation("broken_readers") as found:
        yield found
    patch.undo()


def reader(name):
    return next(one for one in READERS if one.place == name)


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_broken_reader_is_lost(isolation, tmp_path, name):
    wrong, _ = trial(isolation, reader(name), DEEP, tmp_path / "case")
    assert wrong is not None and re.search(WRONG[name], wrong)


def test_a_reader_that_runs_pickles_is_lost(isolation, tmp_path):
    cases = [case for case in pickle_cases() if case.family == CODE and case.forms == ("pickle",)]
    found = {case.name: trial(isolation, reader("runs_code"), case, tmp_path / "c")[0] for case in cases}
    assert "os.mkdir" in found["REDUCE, pickle"] and all(found.values())


def test_a_reader_that_unpacks_outside_is_lost(isolation, tmp_path):
    case = next(case for case in archive_cases() if (case.family, case.name) == (OUTSIDE, "a name with .."))
    wrong, _ = trial(isolation, reader("unpacks_anywhere"), case, tmp_path / "case")
    assert "escaped.jpg" in wrong


def test_fuzzing_finds_and_keeps_what_breaks_a_reader(isolation, tmp_path, monkeypatch):
    monkeypatch.setattr("faults.hostile.corpus.CORPUS", tmp_path / "corpus")
    row = mutation_row(isolation, reader("fails_on_odd_bytes"), 60, tmp_path)
    assert row.lost and dict(row.figures)["crashes"] == row.lost and "ValueError: 255" in row.losses[0]
    kept = list((tmp_path / "corpus").rglob("found-*"))
    assert len(kept) == row.lost and all(b"\xff" in path.read_bytes() for path in kept)


def test_fuzzing_finds_and_keeps_what_takes_a_reader_too_long(isolation, tmp_path, monkeypatch):
    """The limit is 1 s here; the child itself may take two minutes."""
    monkeypatch.setattr("faults.hostile.corpus.CORPUS", tmp_path / "corpus")
    row = mutation_row(isolation, reader("is_slow_once"), 60, tmp_path)
    assert row.lost == dict(row.figures)["crashes"] == 1 and row.injected >= 60
    assert re.search(r"found-\w+: returned after 1\.[3-9] s of processor time", row.losses[0])
    assert len(list((tmp_path / "corpus").rglob("found-*"))) == 1


def test_limits_are_those_that_the_suite_states():
    assert (isolation_module.SECONDS, isolation_module.WALL, isolation_module.MEMORY) == (10, 30, 1 << 30)
