"""The benchmark of growth at sizes that take no time."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from benchmarks.growth import __main__ as command
from benchmarks.growth import child, measure
from benchmarks.growth.plot import write_plot
from benchmarks.growth.subjects import NAMES, half_decades, subject


@pytest.fixture
def one_thread():
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", NAMES)
def test_every_subject_does_its_work(name, tmp_path, monkeypatch, one_thread):
    monkeypatch.setattr(child, "MOST_CALLS", 2)  # what was written is written again
    module = subject(name)
    if hasattr(module, "prepare"):
        module.prepare(str(tmp_path), module.SHORT[0])
    found = child.measure(module, str(tmp_path), module.SHORT[0])
    assert found["wall_seconds"] > 0 and found["calls"] >= 1
    assert (found["objects"] > 1) == bool(module.OUTPUT) and (found["stored_bytes"] > 0) == bool(
        module.OUTPUT
    )


@pytest.mark.parametrize("name", NAMES)
def test_full_sizes_span_three_decades(name):
    module = subject(name)
    assert module.OF and len(module.SIZES) >= 5
    assert module.SIZES[-1] >= 990 * module.SIZES[0] and list(module.SIZES) == sorted(module.SIZES)


def test_sizes_are_two_a_decade():
    assert half_decades(2, 4) == (100, 316, 1000, 3162, 10000)


def test_a_point_is_measured_in_a_process_of_its_own():
    point = measure.point("micro_average_precision", 3000, repeats=2)
    assert (point["n"], point["repeats"], point["objects"]) == (3000, 2, 0)
    # an interpreter with NumPy: neither this process nor nothing
    assert 10e6 < point["peak_memory_bytes"] < 200e6 and point["open_files"] >= 3


def test_a_failing_subject_is_named_with_its_error():
    with pytest.raises(measure.ChildFailed, match="measure file_digests 1: status 1: NotADirectoryError"):
        measure._run("measure", "file_digests", 1, "/dev/null/no/such/folder")


def test_files_that_the_work_holds_open_are_counted(tmp_path):
    held = SimpleNamespace(
        OUTPUT=False, ready=lambda folder, n: lambda: [open("/dev/null", "rb") for _ in range(n)]
    )
    few, many = (child.measure(held, str(tmp_path), n)["open_files"] for n in (1, 41))
    assert many - few == 40


def test_files_that_the_work_leaves_are_objects(tmp_path):
    def ready(folder, n):
        def work():
            for i in range(n):
                (tmp_path / "output" / str(i)).write_bytes(b"ab")

        return work

    found = child.measure(SimpleNamespace(OUTPUT=True, ready=ready), str(tmp_path), 7)
    assert (found["objects"], found["stored_bytes"]) == (8, 14)


# ---- the command


def made_up(power=1.0):
    rows = [
        {
            "n": n,
            "repeats": 1,
            "processor_seconds": 1e-8 * n**power,
            "wall_seconds": 1e-8 * n**power,
            "peak_memory_bytes": 10**7 + 9 * n,
            "open_files": 4,
            "objects": 0,
            "stored_bytes": 0,
        }
        for n in half_decades(3, 6)
    ]
    return {"of": "rows", "points": rows, "measured_in_seconds": 1.0}


def test_a_growth_between_both_is_explained_by_caches():
    results = {"subjects": {"vote": made_up(power=1.3), "file_digests": made_up(power=1.3)}}
    command.fitted(results)
    assert command.unexplained("vote", results["subjects"]["vote"]) == []
    assert command.unexplained("file_digests", results["subjects"]["file_digests"]) != []


def test_files_that_stay_open_are_never_explained():
    values = made_up()
    for point in values["points"]:
        point["open_files"] = 4 + point["n"] // 1000
    command.fitted({"subjects": {"vote": values}})
    assert command.unexplained("vote", values) == ["vote: open_files: grows"]


def test_a_growth_that_is_too_fast_needs_a_reason():
    results = {
        "subjects": {
            "vote": made_up(power=2.0),
            "square_search": made_up(power=2.0),
            "final_scores": made_up(),
        }
    }
    command.fitted(results)
    kept = results["subjects"]
    # what caches cost does not explain a square
    assert command.unexplained("vote", kept["vote"]) == ["vote: time: worse than n log n"]
    assert "caches" in kept["vote"]["fits"]["time"]["why"]
    assert "by nature" in kept["square_search"]["fits"]["time"]["why"]
    assert command.unexplained("square_search", kept["square_search"]) == []
    assert command.unexplained("final_scores", kept["final_scores"]) == []
    assert "why" not in kept["final_scores"]["fits"]["time"]


def test_the_run_keeps_each_subject_and_goes_on_with_those_that_are_missing(tmp_path, monkeypatch):
    path, asked, drawn = tmp_path / "growth.json", [], []

    def measured(name, short, repeats):
        asked.append(name)
        return made_up(power=2.0 if name == "vote" else 1.0)

    monkeypatch.setattr(command, "measured", measured)
    monkeypatch.setattr(command, "write_plot", lambda place, subjects: drawn.append(place))
    monkeypatch.setattr(command, "NAMES", ("vote", "final_scores"))
    monkeypatch.setattr(command.starts, "measured", lambda: {"seconds": 1.5, "stages": {}})
    monkeypatch.setattr(command.mini_error, "measured", lambda *folder: {"summary": {"rows": 3}})
    assert command.main(["final_scores", "--results", str(path)]) == 0
    assert command.main(["--missing", "--results", str(path)]) == 1  # nobody says why the vote is a square
    assert asked == ["final_scores", "vote"]
    kept = json.loads(path.read_text())
    assert set(kept["subjects"]) == {"vote", "final_scores"} and kept["mini"] == {"summary": {"rows": 3}}
    assert kept["starts"]["seconds"] == 1.5 and "processor seconds" in kept["measure"]
    assert set(drawn) == {path.with_suffix(".svg")}


def test_a_subject_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["poetry"])
    assert "no subject poetry" in capsys.readouterr().err


def test_equal_results_make_equal_pictures(tmp_path):
    results = {"subjects": {"vote": made_up()}}
    command.fitted(results)
    for name in ("a.svg", "b.svg"):
        write_plot(tmp_path / name, results["subjects"])
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<?xml")
