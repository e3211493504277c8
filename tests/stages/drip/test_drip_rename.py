import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PATHS = ("train/n02/n02_10.JPEG", "train/n02/n02_9.JPEG", "val/ILSVRC2012_val_00000001.JPEG")


@pytest.fixture
def root(tmp_path):
    for split in ("train/n02", "val", "test"):
        os.makedirs(str(tmp_path / "raw" / split))
    for path in PATHS:
        (tmp_path / "raw" / path).write_text(path)
    return tmp_path / "raw"


def renamed(folder, *arguments):
    command = [sys.executable, "-m", "stages.drip.rename"] + list(arguments)
    paths = os.pathsep.join([os.path.join(ROOT, "src"), ROOT])
    return subprocess.run(
        command,
        cwd=str(folder),
        env=dict(os.environ, PYTHONPATH=paths),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )


def contents(folder):
    names = sorted(name for name in os.listdir(str(folder)) if not name.startswith("."))
    return [(name, (folder / name).read_text()) for name in names]


def test_a_copy_and_then_a_move(root, tmp_path):
    made = renamed(tmp_path, "imagenet", "raw", "copied")
    assert (made.returncode, made.stdout) == (0, "3 pictures in copied\n")
    assert "pictures: 100%" in made.stderr and "3/3" in made.stderr
    expected = [("I0000000.jpg", PATHS[1]), ("I0000001.jpg", PATHS[0]), ("I0000002.jpg", PATHS[2])]
    assert contents(tmp_path / "copied") == expected
    assert all((root / path).exists() for path in PATHS)
    assert renamed(tmp_path, "imagenet", "raw", "moved", "--move").returncode == 0
    assert contents(tmp_path / "moved") == expected
    assert not any((root / path).exists() for path in PATHS)


def test_a_refusal_is_one_line(tmp_path):
    made = renamed(tmp_path, "imagenet", "raw", "copied")
    assert made.returncode == 2 and made.stdout == ""
    assert made.stderr.startswith("encore: ") and "no folder train" in made.stderr
    assert made.stderr.count("\n") == 1


def test_frames_are_numbered_by_path(tmp_path):
    for name in ("b/2.jpg", "a/10.jpg", "a/9.jpg"):
        os.makedirs(str((tmp_path / "frames" / name).parent), exist_ok=True)
        (tmp_path / "frames" / name).write_text(name)
    assert renamed(tmp_path, "faces", "frames", "face_frames").stdout == "3 pictures in face_frames\n"
    expected = [("F000000.jpg", "a/10.jpg"), ("F000001.jpg", "a/9.jpg"), ("F000002.jpg", "b/2.jpg")]
    assert contents(tmp_path / "face_frames") == expected
    (tmp_path / "frames" / "c.jpg").write_text("c")
    made = renamed(tmp_path, "faces", "frames", "face_frames")
    assert made.returncode == 2 and "have changed since the copy began" in made.stderr
    os.makedirs(str(tmp_path / "none"))
    assert "no pictures *.jpg there" in renamed(tmp_path, "faces", "none", "other").stderr
