from __future__ import annotations

import json
import os
import re
import signal
import sys

import pytest

from checks import match
from checks.cli import main
from checks.match import MatchOptions
from tests.checks.conftest import picture

# Stands in for the worker: it matches every query with every reference and leaves out one file.
WORKER = """
import json, os, sys
output = sys.argv[4]
folders = dict(zip(("queries", "references"), sys.argv[1:3]))
names = [sorted(os.listdir(folder)) for folder in folders.values()]
rows = [(q, r, 0.9 - i / 10) for q in names[0] for i, r in enumerate(names[1]) if q != "broken.jpg"]
os.makedirs(output, exist_ok=True)
with open(output + "/matches.csv", "w") as file:
    file.write("query_id,reference_id,score\\n" + "".join("{},{},{}\\n".format(*row) for row in rows))
with open(output + "/rejected.json", "w") as file:
    json.dump([{"folder": "queries", "name": "broken.jpg", "reason": "not a readable picture"}], file)
with open(output + "/match.json", "w") as file:
    mini = not any(argument.startswith("--weights") for argument in sys.argv)
    json.dump({
        "folders": {
            name: dict(folder=folder, files=len(names[i]), pictures=len(names[i]) - 1 + i, rejected=1 - i)
            for i, (name, folder) in enumerate(folders.items())
        },
        "weights": {"file": "w", "sha256": "0" * 64, "kind": "isc_track2", "mini": mini},
        "normalisation": None, "unlike": None, "queries_listed": 1, "rows": len(rows), "rows_left_out": 0,
        "scales": [48], "top": 5, "width": 64,
    }, file)
with open(output + "/command.json", "w") as file:
    json.dump(sys.argv[1:], file)
"""


@pytest.fixture
def folders(tmp_path):
    for name, colours in (("queries", [(200, 0, 0)]), ("references", [(190, 0, 0), (0, 0, 200)])):
        (tmp_path / name).mkdir()
        for i, colour in enumerate(colours):
            (tmp_path / name / f"{name[0]}{i}.jpg").write_bytes(picture(colour))
    (tmp_path / "queries/broken.jpg").write_bytes(b"no picture")
    return tmp_path


@pytest.fixture
def worker(monkeypatch, tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "mini.pth.tar").write_bytes(b"weights")
    monkeypatch.setattr(match, "WORKER", "worker")
    monkeypatch.setattr(match, "MINI_WEIGHTS", tmp_path / "mini.pth.tar")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


def run_match(folders, *arguments):
    return run("match", folders / "queries", folders / "references", "--output", folders / "out", *arguments)


def test_two_folders_become_a_self_contained_gallery(folders, worker, capsys):
    assert run_match(folders, "--top", 2) == 0
    page = (folders / "out/gallery.html").read_text(encoding="utf-8")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"2 pairs of 1 query and 2 references: {folders / 'out/matches.csv'}",
        f"1 file left out, no readable picture: {folders / 'out/rejected.json'}",
        f"best matches and scores: {folders / 'out/gallery.html'}",
    ]
    assert page.count("<img ") == 3 and page.index("r0.jpg") < page.index("r1.jpg")
    assert "not for production" in page and "not a readable picture" in page
    assert all(source.startswith("data:image/jpeg") for source in re.findall(r'src="([^"]*)"', page))


def test_json_names_results_counts_and_what_was_left_out(folders, worker, capsys):
    assert run_match(folders, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["matches"] == str(folders / "out/matches.csv")
    assert found["gallery"] == str(folders / "out/gallery.html")
    assert found["rejected"] == str(folders / "out/rejected.json")
    assert found["folders"]["queries"]["rejected"] == 1 and found["rows"] == 2


def test_options_are_passed_on_and_the_warning_is_gone(folders, worker):
    (folders / "mine.pth.tar").write_bytes(b"weights")
    options = ["--weights", folders / "mine.pth.tar", "--normalise-with", folders / "references"]
    assert run_match(folders, *options, "--factor", "1.5", "--scales", 64, "--scales", 96) == 0
    passed = json.loads((folders / "out/command.json").read_text())
    assert passed[:4] == [
        str(folders / "queries"),
        str(folders / "references"),
        "--output",
        str(folders / "out"),
    ]
    assert passed[4:-1] == [
        f"--weights={folders / 'mine.pth.tar'}",
        f"--normalise-with={folders / 'references'}",
        "--top=5",
        "--top-training=10",
        "--factor=1.5",
        "--max-rows=500000",
        "--scales",
        "64",
        "96",
    ]
    assert passed[-1].startswith("--parent=")
    assert "not for production" not in (folders / "out/gallery.html").read_text(encoding="utf-8")


def test_the_worker_is_the_projects_own_stage():
    command = match.worker_command("q", "r", "/out", MatchOptions())
    assert command[:3] == [sys.executable, "-m", "stages.isc_track2.match"] and command[3].startswith("/")
    assert (match.PROJECT / "stages/isc_track2/match.py").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folders: [path.unlink() for path in (folders / "queries").iterdir()],
            "queries: this folder is empty",
        ),
        (lambda folders: (folders / "queries/q0.jpg").unlink(), "queries: none of its 1 files is a picture"),
        (
            lambda folders: (folders / "references").rename(folders / "x"),
            "references: no such folder of references",
        ),
        (lambda folders: (folders / "out").write_text(""), "out: a file: --output takes a folder"),
        (lambda folders: (folders / "mini.pth.tar").unlink(), "run `make mini`, or pass --weights"),
    ],
)
def test_what_cannot_be_matched_is_refused_in_one_line(folders, worker, capsys, change, message):
    change(folders)
    assert run_match(folders) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (folders / "out").is_dir()


def test_pictures_in_folders_below_will_do(folders, worker):
    (folders / "queries/below").mkdir()
    (folders / "queries/q0.jpg").rename(folders / "queries/below/q0.jpg")
    match._require_pictures("queries", folders / "queries")


def test_a_named_pipe_is_not_opened(folders, worker, capsys):
    """Opening one waits for ever for somebody who writes."""
    (folders / "queries/q0.jpg").unlink()
    os.mkfifo(folders / "queries/pipe.jpg")

    def waited(*_):
        raise AssertionError("waits for the pipe")

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(20)
    try:
        assert run_match(folders) == 2
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert "queries: none of its 2 files is a picture" in capsys.readouterr().err


def test_weights_and_folders_that_are_not_there_are_refused(folders, worker, capsys):
    assert run_match(folders, "--weights", folders / "none.pth") == 2
    assert "none.pth: no such file" in capsys.readouterr().err
    assert run_match(folders, "--normalise-with", folders / "none") == 2
    assert "none: no such folder of pictures to normalise with" in capsys.readouterr().err


def test_a_worker_that_refuses_has_the_only_line(folders, worker, capfd):
    (folders / "worker.py").write_text("import sys\nprint('encore: no', file=sys.stderr)\nsys.exit(2)\n")
    assert run_match(folders) == 2
    assert capfd.readouterr().err == "encore: no\n"


def test_a_worker_that_fails_is_reported_with_its_status(folders, worker, capfd):
    (folders / "worker.py").write_text("import sys\nsys.exit('encore: no room on the disk')\n")
    assert run_match(folders) == 2
    error = capfd.readouterr().err
    assert "no room on the disk" in error and "ended with status 1" in error and "Traceback" not in error


def test_rows_left_out_are_said():
    found = {
        "folders": {
            "queries": {"files": 3, "rejected": 0},
            "references": {"files": 2, "rejected": 0},
        },
        "rows": 4,
        "rows_left_out": 2000,
        "matches": "m",
        "gallery": "g",
        "rejected": "r",
    }
    assert match.lines(found) == [
        "4 pairs of 3 queries and 2 references: m",
        "2,000 worse pairs left out: see --max-rows",
        "best matches and scores: g",
    ]
