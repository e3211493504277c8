"""The layouts of a training set."""

import json
import pickle

import pytest
from reid_pictures import png, tar_of, write

from encore.data.picture_database import write_picture_database
from encore.runtime.refusal import Refusal
from encore.systems.reid.training_pictures import open_training_pictures

FOLDERS = ["0002/0002_c1s1_1.jpg", "0002/below/x.PNG", "0007/a.bmp", "1500/b.tif"]
FLAT = ["0002_c1s1_000451_03.jpg", "0002_c2s1_000301_01.jpg", "0007_c3s1_1.jpg", "1500_c1s1_2.jpg"]


def contents(pictures):
    return [pictures.read(i) for i in range(len(pictures))]


def check(pictures, names, labels, classes):
    assert pictures.names == names and pictures.labels.tolist() == labels
    assert pictures.labels.dtype == "int64" and len(pictures) == len(names)
    assert pictures.classes == classes and len(pictures.digest) == 64
    assert contents(pictures) == [png(number) for number in range(len(names))]
    copy = pickle.loads(pickle.dumps(pictures))
    assert contents(copy) == contents(pictures) and copy.digest == pictures.digest


def test_class_folders_of_folder_tar_and_database(tmp_path):
    folder = tmp_path / "set"
    write(folder, FOLDERS + ["loose.jpg", "0007/text.txt", "0007/c.webp", ".cache/d.jpg", "0007/.e.jpg"])
    (folder / "0003").mkdir()  # empty: counted, as published
    classes = ("0002", "0003", "0007", "1500")
    tar, database = tar_of(folder, "some/where"), str(tmp_path / "set.lmdb")
    write_picture_database(database, open_training_pictures(folder))
    found = [open_training_pictures(spec) for spec in (folder, tar, database)]
    for pictures in found:
        check(pictures, FOLDERS, [0, 0, 2, 3], classes)
    assert len({pictures.digest for pictures in found}) == 1


def test_a_flat_folder_of_an_archive(tmp_path):
    folder = tmp_path / "bounding_box_train"
    write(folder, FLAT + ["Thumbs.db"])
    for spec in (folder, tar_of(folder, "Market/bounding_box_train"), tar_of(folder, ".")):
        check(open_training_pictures(spec), FLAT, [0, 0, 1, 2], ("0002", "0007", "1500"))
    names = ["1_001_1_01.png", "1_001_2_06.png", "2_001_1_01.png"]
    write(tmp_path / "cuhk", names)
    found = open_training_pictures(tmp_path / "cuhk", "cuhk03")
    assert found.labels.tolist() == [0, 0, 1] and found.classes == ("1_001", "2_001")


def test_a_class_mapping(tmp_path):
    write(tmp_path, ["z/1.jpg", "z/2.any", "y.jpg"])
    paths = [str(tmp_path / name) for name in ("z/1.jpg", "z/2.any", "y.jpg")]
    mapping = '{"p9": ["%s", "%s"], "p10": [], "a": ["%s"]}' % tuple(paths)
    (tmp_path / "class_mapping.json").write_text(mapping)
    check(open_training_pictures(tmp_path), paths, [2, 2, 0], ("a", "p10", "p9"))


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("{", "cannot be read as JSON"),
        ("[]", "expected an object"),
        ('{"a": "path"}', "class a: expected a list of paths"),
        ('{"a": [1]}', "class a: expected a list of paths"),
        ('{"a": [], "b": []}', "expected pictures, found none"),
        ('{"a": [], "a": ["x"]}', "'a' is there twice"),
    ],
)
def test_a_wrong_mapping(tmp_path, text, complaint):
    (tmp_path / "class_mapping.json").write_text(text)
    with pytest.raises(Refusal, match=complaint) as caught:
        open_training_pictures(tmp_path)
    assert "class_mapping.json" in str(caught.value) and "\n" not in str(caught.value)


def test_digest_tells_sets_apart(tmp_path):
    write(tmp_path, ["a/1.jpg", "b/2.jpg"])
    digests = [open_training_pictures(tmp_path).digest]
    (tmp_path / "a" / "1.jpg").write_bytes(b"another size")
    digests.append(open_training_pictures(tmp_path).digest)
    (tmp_path / "c").mkdir()
    digests.append(open_training_pictures(tmp_path).digest)
    paths = {"labels": [0, 1], "others": [1, 0]}
    for numbers in paths.values():
        mapping = {"a": [], "b": []}
        for number, name in zip(numbers, ("a/1.jpg", "b/2.jpg")):
            mapping["ab"[number]].append(str(tmp_path / name))
        (tmp_path / "class_mapping.json").write_text(json.dumps(mapping))
        digests.append(open_training_pictures(tmp_path).digest)
    assert len(set(digests)) == 5


def test_refusals(tmp_path):
    with pytest.raises(Refusal, match="batches_dir: expected"):
        open_training_pictures("")
    with pytest.raises(Refusal, match="nowhere: expected a folder"):
        open_training_pictures(tmp_path / "nowhere")
    (tmp_path / "set" / "0001").mkdir(parents=True)
    with pytest.raises(Refusal, match="set: expected class_mapping.json, one folder a class"):
        open_training_pictures(tmp_path / "set")
    (tmp_path / "text").write_text("no database" * 1000)
    with pytest.raises(Refusal, match="no LMDB"):
        open_training_pictures(tmp_path / "text")
    write(tmp_path / "root", ["bounding_box_train/0002_c1s1_1.jpg", "query/0002_c1s1_1.jpg"])
    with pytest.raises(Refusal, match="found a whole archive: name its bounding_box_train"):
        open_training_pictures(tmp_path / "root")
    write(tmp_path / "test", ["-1_c1s1_1.jpg", "0002_c1s1_1.jpg"])
    with pytest.raises(Refusal, match="-1_c1s1_1.jpg is junk"):
        open_training_pictures(tmp_path / "test")
    write(tmp_path / "odd", ["0002_c1s1_1.jpg", "odd.jpg"])
    with pytest.raises(Refusal, match="odd.jpg: expected a name like"):
        open_training_pictures(tmp_path / "odd")


def test_a_picture_that_is_gone(tmp_path):
    write(tmp_path / "set", FOLDERS)
    pictures = open_training_pictures(tmp_path / "set")
    (tmp_path / "set" / FOLDERS[2]).unlink()
    with pytest.raises(Refusal, match="0007/a.bmp: cannot be read"):
        pictures.read(2)
    (tmp_path / "class_mapping.json").write_text('{"a": ["not/there.jpg"]}')
    mapped = open_training_pictures(tmp_path)
    for access in (mapped.read, mapped.size):
        with pytest.raises(Refusal, match="not/there.jpg: cannot be read .*class_mapping.json names it"):
            access(0)
