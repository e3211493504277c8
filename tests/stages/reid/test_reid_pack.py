import os
import subprocess
import sys

import pytest

from encore.runtime.refusal import Refusal
from encore.systems.reid.training_pictures import open_training_pictures
from stages.reid import pack

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def packed(folder, *arguments):
    paths = os.pathsep.join([os.path.join(ROOT, "src"), ROOT])
    return subprocess.run(
        [sys.executable, "-m", "stages.reid.pack"] + list(arguments),
        cwd=str(folder),
        env=dict(os.environ, PYTHONPATH=paths),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )


def test_a_folder_is_packed(tmp_path):
    names = ["1_001_1_01.png", "1_001_2_06.png", "2_001_1_01.png"]
    (tmp_path / "train").mkdir()
    for name in names:
        (tmp_path / "train" / name).write_bytes(name.encode("ascii"))
    made = packed(tmp_path, "train", "out/train.lmdb", "--naming", "cuhk03")
    found = open_training_pictures(tmp_path / "out" / "train.lmdb")
    assert made.stdout == "3 pictures of 2 classes in out/train.lmdb (digest %s)\n" % found.digest
    assert (made.returncode, "3/3" in made.stderr) == (0, True)
    assert found.names == names and found.labels.tolist() == [0, 0, 1]
    assert [found.read(i).decode("ascii") for i in range(3)] == names


def test_a_refusal_is_one_line(tmp_path):
    made = packed(tmp_path, "nowhere", "out.lmdb")
    assert (made.returncode, made.stdout) == (2, "") and made.stderr.count("\n") == 1
    assert made.stderr.startswith("encore: nowhere: expected a folder")


def test_a_folder_as_target_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pack", "nowhere", str(tmp_path)])
    with pytest.raises(Refusal, match="found a folder: name a file"):
        pack.main()
