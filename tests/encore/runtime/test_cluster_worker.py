import hashlib
import os
import pickle
import sys

import pytest

from encore.runtime import cluster_worker
from encore.runtime.cluster_worker import REFUSED, TOKEN, Job, do_unit, report_fitness
from encore.runtime.loaded_code import LoadedCode, difference, loaded_code
from encore.runtime.refusal import Refusal


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A Job of this process in a folder of its own, on a node named without Ray."""
    monkeypatch.setattr(cluster_worker, "_node", lambda: "0123456789abcdef")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "jobs" / "one"
    folder.mkdir(parents=True)
    (folder / TOKEN).write_text("secret")
    return Job("secret", str(tmp_path), os.path.join("jobs", "one"), loaded_code(), 1, False)


def fitness(job):
    return report_fitness(pickle.dumps(job))


def test_a_node_that_is_fit_says_so_and_leaves_its_mark(job, tmp_path):
    assert fitness(job) is None
    assert (tmp_path / "jobs" / "one" / "seen-0123456789abcdef").read_text() == "secret"


@pytest.mark.parametrize("missing", ["directory", "token", "content"])
def test_a_node_without_the_storage_is_named(job, tmp_path, missing):
    if missing == "directory":
        job = job._replace(directory=str(tmp_path / "elsewhere"))
    elif missing == "token":
        (tmp_path / "jobs" / "one" / TOKEN).unlink()
    else:
        (tmp_path / "jobs" / "one" / TOKEN).write_text("of another job")
    text = fitness(job)
    assert "(node 01234567) does not see " in text and "at the same path" in text


def test_a_node_that_cannot_write_is_named(job, tmp_path):
    os.mkdir(str(tmp_path / "jobs" / "one" / "seen-0123456789abcdef"))
    assert "(node 01234567) cannot write to " in fitness(job)


def test_a_node_with_other_code_is_named(job):
    files = dict(job.code.files)
    files["encore.runtime.refusal"] = "0" * 64
    text = fitness(job._replace(code=job.code._replace(files=files)))
    assert "(node 01234567) would run other code" in text and "refusal.py has another content" in text


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"python": (2, 7)}, "not 2.7"),
        ({"versions": {"numpy": "0.1"}}, "not 0.1"),
        ({"versions": {"no_such_library": "1"}}, "no_such_library is missing, not 1"),
        ({"files": {"encore.no_such_module": "0" * 64}}, "the module encore.no_such_module is missing"),
    ],
)
def test_each_difference_is_said(changes, said):
    assert said in difference(loaded_code()._replace(**changes))


def test_the_same_code_has_no_difference():
    here = loaded_code()
    path = sys.modules["encore.runtime.loaded_code"].__file__
    with open(path, "rb") as file:
        assert here.files["encore.runtime.loaded_code"] == hashlib.sha256(file.read()).hexdigest()
    assert difference(LoadedCode(*pickle.loads(pickle.dumps(here)))) is None


@pytest.fixture
def unpacked(job, monkeypatch):
    """What `do_unit` returns for a worker and a unit, unpickled."""

    def called(worker, unit):
        made = worker, os.path.join(job.folder, TOKEN)
        monkeypatch.setitem(cluster_worker._made, job.token, made)
        return pickle.loads(do_unit(job.token, [], unit))

    return called


def test_a_refusal_comes_back_as_its_text(unpacked):
    def worker(unit):
        raise Refusal("unit {}: mend it".format(unit))

    assert unpacked(worker, 4) == (REFUSED, "unit 4: mend it")


def test_no_unit_begins_once_the_run_that_asked_has_ended(unpacked, job):
    began = []
    assert unpacked(began.append, 4)[0] == "done" and began == [4]
    os.unlink(os.path.join(job.folder, TOKEN))
    kind, text = unpacked(began.append, 5)
    assert kind == REFUSED and began == [4]
    assert "(node 01234567) no longer sees " in text and "the run that asked has ended" in text


@pytest.mark.parametrize("size, kind", [(cluster_worker.MOST_RESULT_BYTES // 2, "done"), (1 << 20, REFUSED)])
def test_a_result_is_a_small_record(unpacked, size, kind):
    found, value = unpacked(lambda unit: bytes(unit), size)
    assert found == kind
    assert kind == "done" or "write it to a file" in value
