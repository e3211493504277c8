"""The worker of `encore match` on small folders, with a network of the mini size's shape."""

import json
import os
import signal
import subprocess
import sys
import time
import zlib

import pytest
import torch

from encore.metrics.predictions import PairIds, read_predictions
from encore.runtime.refusal import Refusal
from encore.systems.isc.parameters import network_shape
from encore.systems.isc_track2.picture_listing import SHARD
from stages.isc_track2 import match
from tests.encore.systems.isc.pictures import png, small_network

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RESULTS = ("matches.csv", "rejected.json", "match.json")


def name_of(number, ends_shard):
    """The name of a picture after which a shard ends, or does not."""
    names = ("{:03d}-{}.png".format(number, i) for i in range(100000))
    return next(name for name in names if (zlib.crc32(name.encode()) % SHARD == 0) == ends_shard)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """40 queries and 50 references in shards of 10, 12 pictures unlike both, and weights."""
    top = tmp_path_factory.mktemp("match")
    for folder, first, count in (("queries", 0, 40), ("references", 10, 50), ("unlike", 200, 12)):
        (top / folder).mkdir()
        for i in range(count):
            (top / folder / name_of(i, i % 10 == 9)).write_bytes(png(first + i, (64, 48)))
    (top / "queries" / "notes.txt").write_text("no picture")
    shape = network_shape(os.path.join(ROOT, "mini", "params.yaml"), "isc_track2")
    torch.save(small_network(shape=shape).state_dict(), str(top / "weights.pth.tar"))
    return top


def command(folders, output, *arguments):
    return [
        sys.executable,
        "-m",
        "stages.isc_track2.match",
        str(folders / "queries"),
        str(folders / "references"),
        "--weights={}".format(folders / "weights.pth.tar"),
        "--output={}".format(output),
    ] + list(arguments)


def environment():
    return dict(
        os.environ, PYTHONPATH=os.pathsep.join([os.path.join(ROOT, "src"), ROOT]), OMP_NUM_THREADS="1"
    )


def run(*arguments):
    """(status, stderr) of the worker."""
    done = subprocess.run(
        command(*arguments), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    assert done.stdout == b""
    return done.returncode, done.stderr.decode()


def run_here(monkeypatch, arguments):
    """The worker in this process."""
    monkeypatch.setattr(sys, "argv", arguments[2:])
    match.main()


def results(output):
    return {name: (output / name).read_bytes() for name in RESULTS}


def shards(output):
    folder = str(output / "work" / "descriptors")
    return sorted(
        name for name in (os.listdir(folder) if os.path.isdir(folder) else []) if name.endswith(".npz")
    )


def test_results_hold_the_best_pairs_and_a_second_run_describes_nothing_again(folders, tmp_path):
    assert run(folders, tmp_path)[0] == 0
    ids = PairIds()
    found = read_predictions(str(tmp_path / "matches.csv"), ids)
    assert len(found.score) == 40 * 5 and (found.score[:-1] >= found.score[1:]).all()
    queries, references = ids.queries.names, ids.references.names
    best = {}
    for query, reference in zip(found.query.tolist(), found.reference.tolist()):
        best.setdefault(queries[query][:3], references[reference][:3])
    # query i is reference i - 10
    assert [best["{:03d}".format(i)] for i in range(10, 40)] == ["{:03d}".format(i) for i in range(30)]
    said = json.loads((tmp_path / "match.json").read_text())
    assert said["folders"]["queries"]["rejected"] == 1 and said["scales"] == [48, 64, 80]
    assert said["weights"]["mini"] and said["rows"] == 200 and said["normalisation"] is None
    rejected = json.loads((tmp_path / "rejected.json").read_text())
    assert [(row["folder"], row["name"]) for row in rejected] == [("queries", "notes.txt")]
    before = results(tmp_path)
    times = {
        name: os.stat(str(tmp_path / "work" / "descriptors" / name)).st_mtime_ns for name in shards(tmp_path)
    }
    status, said = run(folders, tmp_path)
    assert status == 0 and "50 files, descriptors of 50 kept from before, 0 to make" in said
    assert results(tmp_path) == before and "descriptors of references:" not in said
    for name, made in times.items():
        assert os.stat(str(tmp_path / "work" / "descriptors" / name)).st_mtime_ns == made


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(folders, tmp_path):
    arguments = ["--normalise-with={}".format(folders / "unlike"), "--scales", "160", "200"]
    assert run(folders, tmp_path / "whole", *arguments)[0] == 0
    whole = len(shards(tmp_path / "whole"))
    for least in (1, 5):  # among the queries, among the references
        with open(str(tmp_path / "log"), "w") as log:
            worker = subprocess.Popen(
                command(folders, tmp_path / "killed", *arguments), env=environment(), stderr=log, cwd=ROOT
            )
        deadline = time.monotonic() + 60
        while len(shards(tmp_path / "killed")) < least and time.monotonic() < deadline:
            time.sleep(0.002)
        worker.send_signal(signal.SIGKILL)
        assert worker.wait() == -signal.SIGKILL
        assert least <= len(shards(tmp_path / "killed")) < whole
        assert not (tmp_path / "killed" / "matches.csv").exists()
    status, said = run(folders, tmp_path / "killed", *arguments)
    assert status == 0 and "queries: 41 files, descriptors of 41 kept from before, 0 to make" in said
    assert results(tmp_path / "killed") == results(tmp_path / "whole")
    assert shards(tmp_path / "killed") == shards(tmp_path / "whole")


def test_a_changed_picture_and_other_weights_are_seen(folders, tmp_path):
    assert run(folders, tmp_path)[0] == 0
    os.utime(str(folders / "references" / name_of(9, True)))
    assert "50 files, descriptors of 40 kept from before, 10 to make" in run(folders, tmp_path)[1]
    assert "50 files, descriptors of 0 kept from before" in run(folders, tmp_path, "--scales", "48")[1]


def test_scores_are_normalised_by_the_pictures_unlike_both(folders, tmp_path):
    folder = "--normalise-with={}".format(folders / "unlike")
    assert run(folders, tmp_path, folder, "--top-training=3", "--factor=0")[0] == 0
    plain = results(tmp_path)["matches.csv"]
    assert run(folders, tmp_path)[0] == 0
    assert results(tmp_path)["matches.csv"] == plain
    assert run(folders, tmp_path, folder, "--top-training=3")[0] == 0
    assert results(tmp_path)["matches.csv"] != plain
    said = json.loads((tmp_path / "match.json").read_text())
    assert said["normalisation"] == {"top_training": 3, "factor": 2.0} and said["unlike"] < 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights=none.pth"], "none.pth: no weights there: run `make mini`, or pass --weights"),
        (["--top=0"], "--top: expected 1 or more"),
        (["--normalise-with={0}/references"], "the folder of the references: give pictures unlike both"),
        (
            ["--normalise-with={0}/unlike", "--top-training=13"],
            "expected at least 13 pictures that can be read",
        ),
        (["--normalise-with={0}/none"], "none: no such folder of normalise-with"),
        (["--scales", "48", "48"], "--scales: expected different sides"),
        (["--weights={0}/queries/notes.txt"], "expected weights of isc_track2 or isc_track1"),
    ],
)
def test_bad_input_is_refused_in_one_line(folders, tmp_path, arguments, message, monkeypatch):
    with pytest.raises(Refusal) as refused:
        run_here(monkeypatch, command(folders, tmp_path, *[a.format(folders) for a in arguments]))
    assert message in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "matches.csv").exists()


def test_a_folder_without_any_picture_is_refused(folders, tmp_path, monkeypatch):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    arguments = command(folders, tmp_path / "out")
    arguments[3] = str(tmp_path / "texts")
    with pytest.raises(Refusal, match="texts: none of its 1 files is a picture"):
        run_here(monkeypatch, arguments)


def test_a_second_run_into_the_same_folder_is_refused(folders, tmp_path, monkeypatch):
    import fcntl

    (tmp_path / "work").mkdir()
    with open(str(tmp_path / "work" / "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("12345")
        lock.flush()
        with pytest.raises(Refusal, match="process 12345 is writing there already"):
            run_here(monkeypatch, command(folders, tmp_path))
