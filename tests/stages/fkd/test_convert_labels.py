import hashlib
import json
import subprocess
import sys

from golden_files import golden


def call(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "stages.fkd.convert_labels"] + [str(argument) for argument in arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )


def test_labels_are_converted_there_and_back_by_hand(tmp_path):
    source = golden("fkd/labels/cutmix_fp16/epoch_0/batch_0.tar").parent.parent
    images = golden("fkd/images/new000/class000_id000.jpg").parent.parent
    (tmp_path / "teacher.pth").write_bytes(b"weights")
    store = tmp_path / "store"
    given = [
        "--images",
        images,
        "--size",
        64,
        "--min-scale",
        0.08,
        "--max-scale",
        1,
        "--mean",
        0.5,
        0.25,
        0.1,
    ]
    done = call(source, store, "--teacher", tmp_path / "teacher.pth", *given)
    assert done.returncode == 0, done.stderr
    assert "3 epochs of 3 batches of 40 pictures" in done.stdout
    described = json.loads((store / "manifest.json").read_text())["labels"]
    assert (described["size"], described["min_scale"], described["max_scale"]) == (64, 0.08, 1.0)
    assert (described["mean"], described["deviation"]) == ([0.5, 0.25, 0.1], None)
    assert described["teacher"] == hashlib.sha256(b"weights").hexdigest()
    assert len((store / "pictures.txt").read_text().splitlines()) == 40
    done = call(store, tmp_path / "back")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "back").glob("epoch_*/batch_*.tar"))) == 9


def test_what_cannot_be_converted_is_refused_in_one_line(tmp_path):
    for arguments in ([tmp_path / "none", tmp_path / "store"], [tmp_path, tmp_path / "store"]):
        done = call(*arguments)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1 and str(tmp_path) in done.stderr
    done = call(tmp_path, tmp_path / "store", "--teacher", tmp_path / "none.pth")
    assert done.returncode == 2 and "none.pth: no such file" in done.stderr
