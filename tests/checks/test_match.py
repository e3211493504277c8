from __future__ import annotations

import json
import re
import sys

import pytest

from checks import match
from checks.cli import main
from checks.match_page import MOST_QUERIES, read_matches, write_gallery
from encore.runtime.refusal import Refusal
from tests.checks.conftest import picture

# Stands in for the worker: it matches every query with every reference and leaves out one file.
WORKER = """
import json, os, sys
output = sys.argv[4]
names = [{name: os.path.join(folder, name) for name in sorted(os.listdir(folder))}
         for folder in sys.argv[1:3]]
rows = [(q, r, 0.9 - i / 10) for q in names[0] for i, r in enumerate(names[1]) if q != "broken.jpg"]
with open(output + "/matches.csv", "w") as file:
    file.write("query_id,reference_id,score\\n" + "".join("{},{},{}\\n".format(*row) for row in rows))
with open(output + "/rejected.json", "w") as file:
    json.dump([{"folder": "queries", "name": "broken.jpg", "reason": "not a readable picture"}], file)
with open(output + "/files.json", "w") as file:
    json.dump({"queries": names[0], "references": names[1]}, file)
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
    monkeypatch.setattr(match, "WORKER", "worker")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


def test_two_folders_become_a_self_contained_gallery(folders, worker, capsys):
    assert (
        run("match", folders / "queries", folders / "references", "--output", folders / "out", "--top", 2)
        == 0
    )
    page = (folders / "out/gallery.html").read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() == str(folders / "out/gallery.html")
    assert page.count("<img ") == 3 and page.index("r0.jpg") < page.index("r1.jpg")
    assert (
        "not for production" in page
        and "not a readable picture" in page
        and "Histogram of the best scores" in page
    )
    assert all(source.startswith("data:image/jpeg") for source in re.findall(r'src="([^"]*)"', page))


def test_other_weights_are_passed_on_and_the_warning_is_gone(folders, worker):
    (folders / "mine.pth.tar").write_bytes(b"weights")
    assert (
        run(
            "match",
            folders / "queries",
            folders / "references",
            "--output",
            folders / "out",
            "--weights",
            folders / "mine.pth.tar",
        )
        == 0
    )
    assert json.loads((folders / "out/command.json").read_text()) == [
        str(folders / "queries"),
        str(folders / "references"),
        "--output",
        str(folders / "out"),
        "--top",
        "5",
        "--weights",
        str(folders / "mine.pth.tar"),
    ]
    assert "not for production" not in (folders / "out/gallery.html").read_text(encoding="utf-8")


def test_the_worker_is_the_projects_own_stage():
    command = match.worker_command("q", "r", "/out", 5)
    assert command[:3] == [sys.executable, "-m", "stages.isc_track2.match"] and command[3].startswith("/")
    assert (match.PROJECT / "stages/isc_track2/match.py").is_file()
    assert match.worker_command("q", "r", "/out", 5, "w", (64, 96))[-3:] == ["--scales", "64", "96"]


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
    ],
)
def test_folders_without_pictures_are_refused_in_one_line(folders, worker, capsys, change, message):
    change(folders)
    assert run("match", folders / "queries", folders / "references", "--output", folders / "out") == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (folders / "out").exists()


def test_weights_that_are_not_there_are_refused(folders, worker, capsys):
    assert run("match", folders / "queries", folders / "references", "--weights", folders / "none.pth") == 2
    assert "none.pth: no such file" in capsys.readouterr().err


def test_a_worker_that_fails_is_reported_with_its_status(folders, worker, capfd):
    (folders / "worker.py").write_text("import sys\nsys.exit('encore: no weights there')\n")
    assert run("match", folders / "queries", folders / "references", "--output", folders / "out") == 2
    error = capfd.readouterr().err
    assert "no weights there" in error and "ended with status 1" in error and "Traceback" not in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("query_id,reference_id\n", "expected the header"),
        ("query_id,reference_id,score\na,b\n", "line 2: expected two names and a number"),
        ("query_id,reference_id,score\na,b,high\n", "line 2: expected two names and a number"),
        ("query_id,reference_id,score\n", "no matches"),
    ],
)
def test_bad_match_files_are_refused_by_line(tmp_path, text, message):
    (tmp_path / "matches.csv").write_text(text)
    with pytest.raises(Refusal, match=message):
        read_matches(tmp_path / "matches.csv")


def test_missing_worker_files_are_refused(tmp_path):
    with pytest.raises(Refusal, match="matches.csv: no such file"):
        read_matches(tmp_path / "matches.csv")
    (tmp_path / "matches.csv").write_text("query_id,reference_id,score\na,b,0.5\n")
    with pytest.raises(Refusal, match="files.json"):
        write_gallery(tmp_path)
    (tmp_path / "files.json").write_text('{"queries": {}, "references": {}}')
    (tmp_path / "rejected.json").write_text("[]")
    with pytest.raises(Refusal, match="files.json: no path for a"):
        write_gallery(tmp_path)


def test_a_long_gallery_shows_the_most_confident_and_says_so(tmp_path):
    (tmp_path / "p.jpg").write_bytes(picture((1, 2, 3)))
    names = [f"q{i}" for i in range(MOST_QUERIES + 1)]
    (tmp_path / "matches.csv").write_text(
        "query_id,reference_id,score\n" + "".join(f"{name},r,{i}\n" for i, name in enumerate(names))
    )
    paths = dict.fromkeys([*names, "r"], str(tmp_path / "p.jpg"))
    (tmp_path / "files.json").write_text(json.dumps({"queries": paths, "references": paths}))
    (tmp_path / "rejected.json").write_text("[]")
    page = write_gallery(tmp_path).read_text(encoding="utf-8")
    assert (
        "the first 200 are shown" in page
        and "<strong>q200</strong>" in page
        and "<strong>q0</strong>" not in page
    )
