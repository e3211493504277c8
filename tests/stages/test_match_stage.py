"""The worker of `encore match` on small folders, with a network of the mini size's shape."""

import fcntl
import json
import os
import shutil
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
from encore.systems.matching.picture_listing import SHARD
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


@pytest.fixture
def run(monkeypatch, capfd):
    """Runs the worker in this process, with one thread of torch as in `environment`; gives its stderr."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", command(*arguments)[2:])
        match.main()
        out, err = capfd.readouterr()
        assert out == ""
        return err

    yield call
    torch.set_num_threads(threads)


def results(output):
    return {name: (output / name).read_bytes() for name in RESULTS}


def shards(output):
    folder = str(output / "work" / "descriptors")
    return sorted(
        name for name in (os.listdir(folder) if os.path.isdir(folder) else []) if name.endswith(".npz")
    )


def test_results_hold_the_best_pairs_and_a_second_run_describes_nothing_again(folders, tmp_path, run):
    run(folders, tmp_path)
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
    said = run(folders, tmp_path)
    assert "50 files, descriptors of 50 kept from before, 0 to make" in said
    assert results(tmp_path) == before and "descriptors of references:" not in said
    for name, made in times.items():
        assert os.stat(str(tmp_path / "work" / "descriptors" / name)).st_mtime_ns == made


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(folders, tmp_path, run):
    arguments = ["--normalise-with={}".format(folders / "unlike"), "--scales", "160", "200"]
    run(folders, tmp_path / "whole", *arguments)
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
    said = run(folders, tmp_path / "killed", *arguments)
    assert "queries: 41 files, descriptors of 41 kept from before, 0 to make" in said
    assert results(tmp_path / "killed") == results(tmp_path / "whole")
    assert shards(tmp_path / "killed") == shards(tmp_path / "whole")


def test_a_changed_picture_and_other_weights_are_seen(folders, tmp_path, run):
    run(folders, tmp_path)
    os.utime(str(folders / "references" / name_of(9, True)))
    assert "50 files, descriptors of 40 kept from before, 10 to make" in run(folders, tmp_path)
    assert "50 files, descriptors of 0 kept from before" in run(folders, tmp_path, "--scales", "48")


def test_scores_are_normalised_by_the_pictures_unlike_both(folders, tmp_path, run):
    folder = "--normalise-with={}".format(folders / "unlike")
    run(folders, tmp_path, folder, "--top-training=3", "--factor=0")
    plain = results(tmp_path)["matches.csv"]
    run(folders, tmp_path)
    assert results(tmp_path)["matches.csv"] == plain
    run(folders, tmp_path, folder, "--top-training=3")
    assert results(tmp_path)["matches.csv"] != plain
    said = json.loads((tmp_path / "match.json").read_text())
    assert said["normalisation"] == {"top_training": 3, "factor": 2.0} and said["unlike"] < 0


def test_a_kill_between_matches_and_settings_leaves_no_settings_of_before(
    folders, tmp_path, run, monkeypatch
):
    run(folders, tmp_path, "--scales", "48")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(match, "write_rejected", killed)
        with pytest.raises(KeyboardInterrupt):
            run(folders, tmp_path, "--scales", "48", "--top=2")
    assert len((tmp_path / "matches.csv").read_text().splitlines()) == 1 + 40 * 2
    assert not (tmp_path / "match.json").exists()
    run(folders, tmp_path, "--scales", "48", "--top=2")
    assert json.loads((tmp_path / "match.json").read_text())["top"] == 2


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
def test_bad_input_is_refused_in_one_line(folders, tmp_path, arguments, message, run):
    with pytest.raises(Refusal) as refused:
        run(folders, tmp_path, *[argument.format(folders) for argument in arguments])
    assert message in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "matches.csv").exists()


def test_a_folder_without_any_picture_is_refused(folders, tmp_path, run):
    for folder in ("queries", "references"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("a")
    os.link(str(folders / "weights.pth.tar"), str(tmp_path / "weights.pth.tar"))
    with pytest.raises(Refusal, match="queries: none of its 1 files is a picture"):
        run(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("queries", "queries: is the folder of queries: give"),
        ("references", "references: is the folder of references: give"),
        ("link", "references: is the folder of references: give"),
        ("unlike", "unlike: is the folder of normalise-with: give"),
        (".", ": holds the folder of queries: give"),
    ],
)
def test_an_output_that_is_or_holds_a_folder_of_pictures_is_refused(folders, tmp_path, run, output, message):
    for folder in ("queries", "references", "unlike"):
        shutil.copytree(str(folders / folder), str(tmp_path / folder))
    shutil.copy(str(folders / "weights.pth.tar"), str(tmp_path))
    os.symlink("references", str(tmp_path / "link"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Refusal, match="--output .*" + message):
        run(tmp_path, tmp_path / output, "--normalise-with={}".format(tmp_path / "unlike"))
    assert sorted(tmp_path.rglob("*")) == before


def test_an_output_below_a_folder_of_pictures_does_not_count_as_pictures(folders, tmp_path, run):
    shutil.copytree(str(folders / "queries"), str(tmp_path / "queries"))
    shutil.copytree(str(folders / "references"), str(tmp_path / "references"))
    shutil.copy(str(folders / "weights.pth.tar"), str(tmp_path))
    for _ in range(2):
        run(tmp_path, tmp_path / "queries" / "out", "--scales", "48")
        said = json.loads((tmp_path / "queries" / "out" / "match.json").read_text())
        assert said["folders"]["queries"]["files"] == 41


def test_a_second_run_into_the_same_folder_is_refused(folders, tmp_path, run):
    (tmp_path / "work").mkdir()
    with open(str(tmp_path / "work" / "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("12345")
        lock.flush()
        with pytest.raises(Refusal, match="process 12345 is writing there already"):
            run(folders, tmp_path)


def test_a_refusal_is_one_line_and_a_status(folders, tmp_path):
    done = subprocess.run(
        command(folders, tmp_path, "--top=0"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    assert done.returncode == 2 and done.stdout == b"" and done.stderr.count(b"\n") == 1
    assert b"--top: expected 1 or more" in done.stderr
