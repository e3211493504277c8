"""The same tree from a folder and from a tar."""

import gzip
import os
import pickle
import tarfile

import pytest

from encore.data.picture_tree import open_tree, published_order
from encore.runtime.refusal import Refusal

NAMES = ["a/z.png", "a/below/deeper.png", "a-b/1.png", "loose.png"]


@pytest.fixture
def folder(tmp_path):
    for name in NAMES + [".hidden/x.png", "a/.DS_Store"]:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(name.encode("ascii"))
    (tmp_path / "set" / "empty").mkdir()
    return tmp_path / "set"


def tar_of(folder, name, prefix):
    path = str(folder.parent / name)
    with tarfile.open(path, "w") as tar:
        tar.add(str(folder), prefix)
    return path


def test_folder_and_tar_give_the_same(folder):
    plain, nested = tar_of(folder, "plain.tar", "."), tar_of(folder, "nested.tar", "data/set")
    for spec in (folder, plain, plain + "#", nested + "#data/set", nested + "#data/set/"):
        for tree in (open_tree(spec), pickle.loads(pickle.dumps(open_tree(spec)))):
            assert tree.folders == ["a", "a-b", "empty"]
            assert tree.files() == NAMES and [tree.read(name).decode() for name in NAMES] == NAMES
            assert tree.has("a") and not tree.has("loose.png") and not tree.has("b")
            below = tree.below("a")
            assert below.files() == ["below/deeper.png", "z.png"] and below.folders == ["below"]
            assert below.read("z.png") == b"a/z.png" and below.size("z.png") == 7
            assert tree.below("empty").files() == [] and tree.below("empty").folders == []


def test_order_is_that_of_a_sorted_walk(folder):
    expected = []
    for name in sorted(os.listdir(str(folder))):
        for place, _, files in sorted(os.walk(str(folder / name))):
            expected.extend(os.path.relpath(os.path.join(place, file), str(folder)) for file in sorted(files))
    expected = [name for name in expected if "/." not in "/" + name]
    found = [name for name in open_tree(folder).files() if "/" in name]
    assert found == expected
    assert published_order(["b/1", "a b/1", "a/2", "a/b/0"]) == ["a/2", "a/b/0", "a b/1", "b/1"]


def test_refusals(folder, tmp_path):
    with pytest.raises(Refusal, match="nowhere: expected a folder of pictures or file.tar"):
        open_tree(tmp_path / "nowhere")
    path = tar_of(folder, "all.tar", "set")
    with open(path, "rb") as file, gzip.open(path + ".gz", "wb") as packed:
        packed.write(file.read())
    with pytest.raises(Refusal, match="expected an uncompressed tar"):
        open_tree(path + ".gz")
    (tmp_path / "late.bin").write_bytes(b"x" * 5000)
    with tarfile.open(path, "a") as tar:
        tar.add(str(tmp_path / "late.bin"), "set/a/late.bin")
    tree = open_tree(path + "#set")
    os.truncate(path, tree._places["a/late.bin"].offset + 100)
    with pytest.raises(Refusal, match="ends within a/late.bin"):
        tree.read("a/late.bin")
    tree = open_tree(folder)
    (folder / "a" / "z.png").unlink()
    for access in (tree.read, tree.size):
        with pytest.raises(Refusal, match="a/z.png: cannot be read"):
            access("a/z.png")
