import errno
import json
import os

import pytest

from encore.runtime.refusal import Refusal
from encore.systems.drip import renaming
from encore.systems.drip.imagenet_names import naming_plan
from encore.systems.drip.renaming import rename

PATHS = (
    "train/n01440764/n01440764_10026.JPEG",
    "train/n01440764/n01440764_9.JPEG",
    "train/n01443537/n01443537_2.JPEG",
    "train/n00000002/deeper/n00000002_30.JPEG",
    "val/ILSVRC2012_val_00000010.JPEG",
    "val/ILSVRC2012_val_00000002.JPEG",
    "test/ILSVRC2012_test_00000001.JPEG",
)
# By hand: WordNet digits as text, then numbers as numbers (9 before 10026), train before val before test.
ORDER = [PATHS[i] for i in (3, 1, 0, 2, 5, 4, 6)]


def tree(root, paths=PATHS):
    for split in ("train", "val", "test"):
        os.makedirs(str(root / split), exist_ok=True)
    for path in paths:
        os.makedirs(str((root / path).parent), exist_ok=True)
        (root / path).write_bytes(path.encode("ascii"))
    return root


def contents(target):
    names = sorted(name for name in os.listdir(str(target)) if not name.startswith("."))
    return {name: (target / name).read_bytes().decode("ascii") for name in names}


def expected(first=0, order=ORDER):
    return {"I{:07d}.jpg".format(first + i): path for i, path in enumerate(order)}


def test_the_order_of_the_plan(tmp_path):
    assert naming_plan(tree(tmp_path)) == [(path, "I{:07d}".format(i)) for i, path in enumerate(ORDER)]


def test_the_number_decides_before_the_path_and_other_files_do_not_count(tmp_path):
    paths = ["train/b/n01_3.JPEG", "train/a/n01_20.JPEG", "train/c/m01_3.JPEG", "train/a/n01_1.jpg"]
    # n01 and m01 have the same digits: then 3 before 20, and of the two 3 the path decides.
    assert [path for path, _ in naming_plan(tree(tmp_path, paths))] == [paths[0], paths[2], paths[1]]


def test_a_folder_with_glob_characters_is_read(tmp_path):
    os.makedirs(str(tmp_path / "[a]*"))
    assert len(naming_plan(tree(tmp_path / "[a]*"))) == 7


@pytest.mark.parametrize("name", ["n01440764.JPEG", "n01440764_x.JPEG", "n01440764_1_.JPEG"])
def test_another_name_is_refused(tmp_path, name):
    tree(tmp_path, ["train/" + name])
    with pytest.raises(Refusal, match="train/{}: expected a name like".format(name)):
        naming_plan(tmp_path)


def test_what_cannot_be_numbered_is_refused(tmp_path):
    with pytest.raises(Refusal, match="no folder train"):
        naming_plan(tmp_path)
    with pytest.raises(Refusal, match="7 pictures from number 9999994 on"):
        naming_plan(tree(tmp_path), 9999994)
    with pytest.raises(Refusal, match="no pictures"):
        rename("imagenet", tree(tmp_path / "empty", []), tmp_path / "target", "copy")
    with pytest.raises(Refusal, match="mode: expected copy or move, found 'link'"):
        rename("imagenet", tmp_path, tmp_path / "target", "link")


def test_a_copy_starts_at_zero_and_keeps_the_sources(tmp_path):
    root = tree(tmp_path / "root")
    plan = rename("imagenet", root, tmp_path / "target", "copy")
    assert plan == naming_plan(root)
    assert contents(tmp_path / "target") == expected()
    lines = (tmp_path / "target" / ".names.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == ["copy", str(root), 7] and json.loads(lines[7]) == [PATHS[6], "I0000006"]
    assert rename("imagenet", root, tmp_path / "target", "copy") == plan


def test_a_move_goes_on_after_the_largest_number(tmp_path):
    target = tmp_path / "target"
    os.makedirs(str(target))
    (target / "I0000041.jpg").write_bytes(b"old")
    (target / "I99.jpg").write_bytes(b"no id")
    root = tree(tmp_path / "root")
    rename("imagenet", root, target, "move")
    assert contents(target) == dict(expected(42), **{"I0000041.jpg": "old", "I99.jpg": "no id"})
    assert not any(files for _, _, files in os.walk(str(root)))
    assert rename("imagenet", root, target, "move") == []
    tree(root, ["val/ILSVRC2012_val_00000001.JPEG"])
    assert rename("imagenet", root, target, "move") == [("val/ILSVRC2012_val_00000001.JPEG", "I0000049")]
    records = sorted(name for name in os.listdir(str(target)) if name.startswith("."))
    assert records == [".names.I0000042.jsonl", ".names.I0000049.jsonl"]


class Stop(Exception):
    pass


def stop_after(monkeypatch, name, count):
    """The `count`-th call of os.`name` on a picture stops before it does anything."""
    whole, calls = getattr(os, name), []

    def call(old, *new):
        if ".names" not in str(old):
            calls.append(old)
            if len(calls) == count:
                raise Stop
        return whole(old, *new)

    monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize("mode, call", [("copy", "replace"), ("move", "rename")])
@pytest.mark.parametrize("count", [1, 3, 6])
def test_a_stopped_run_goes_on_to_the_same_files(tmp_path, monkeypatch, mode, call, count):
    root, target = tree(tmp_path / "root"), tmp_path / "target"
    with monkeypatch.context() as patch:
        stop_after(patch, call, count)
        with pytest.raises(Stop):
            rename("imagenet", root, target, mode)
    assert contents(target) == expected(order=ORDER[: count - 1])
    (target / "I0000006.jpg.tmp-1").write_bytes(b"half a cop")  # what a kill leaves
    rename("imagenet", root, target, mode)
    assert contents(target) == expected()


@pytest.mark.parametrize("count", [1, 4])
def test_a_move_between_file_systems_stopped_before_a_source_was_removed(tmp_path, monkeypatch, count):
    def other_file_system(old, new):
        raise OSError(errno.EXDEV, "other file system")

    monkeypatch.setattr(os, "rename", other_file_system)
    root, target = tree(tmp_path / "root"), tmp_path / "target"
    with monkeypatch.context() as patch:
        stop_after(patch, "unlink", count)
        with pytest.raises(Stop):
            rename("imagenet", root, target, "move")
    assert contents(target) == expected(order=ORDER[:count])
    assert (root / ORDER[count - 1]).exists()
    rename("imagenet", root, target, "move")
    assert contents(target) == expected()
    assert not any(files for _, _, files in os.walk(str(root)))


def test_a_source_that_differs_from_its_copy_is_not_removed(tmp_path, monkeypatch):
    root, target = tree(tmp_path / "root"), tmp_path / "target"
    with monkeypatch.context() as patch:
        stop_after(patch, "rename", 3)
        with pytest.raises(Stop):
            rename("imagenet", root, target, "move")
    (root / ORDER[0]).write_bytes(b"another picture")
    with pytest.raises(Refusal, match="n00000002_30.JPEG: differs from .*I0000000.jpg"):
        rename("imagenet", root, target, "move")
    assert (root / ORDER[0]).read_bytes() == b"another picture"


def test_a_source_that_is_gone_is_refused(tmp_path, monkeypatch):
    root, target = tree(tmp_path / "root"), tmp_path / "target"
    with monkeypatch.context() as patch:
        stop_after(patch, "rename", 3)
        with pytest.raises(Stop):
            rename("imagenet", root, target, "move")
    (root / ORDER[4]).unlink()
    with pytest.raises(Refusal, match="val_00000002.JPEG: gone, and .*I0000004.jpg is not there either"):
        rename("imagenet", root, target, "move")


def test_plans_of_others_are_refused(tmp_path):
    root, target = tree(tmp_path / "root"), tmp_path / "target"
    rename("imagenet", root, target, "copy")
    with pytest.raises(Refusal, match="copy of 7 pictures of .*expected to move those of"):
        rename("imagenet", root, target, "move")
    with pytest.raises(Refusal, match="expected to copy those of .*/other"):
        rename("imagenet", tree(tmp_path / "other"), target, "copy")
    (root / ORDER[0]).unlink()
    with pytest.raises(Refusal, match="have changed since the copy began"):
        rename("imagenet", root, target, "copy")
    (target / renaming.PLAN).write_text("no plan")
    with pytest.raises(Refusal, match="not a plan"):
        rename("imagenet", root, target, "copy")
    (target / renaming.PLAN).unlink()
    with pytest.raises(Refusal, match="pictures with new names are there"):
        rename("imagenet", root, target, "copy")
