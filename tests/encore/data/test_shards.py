import errno
import os
import pickle
import subprocess
import sys
import tarfile

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encore.data.manifest import Manifest, verify_manifest
from encore.data.shards import ShardSet, ShardWriter, write_manifest
from encore.runtime.refusal import Refusal


def write(folder, shards, recipe="r"):
    os.makedirs(str(folder), exist_ok=True)
    entries = []
    for number, images in enumerate(shards):
        writer = ShardWriter(folder, number)
        for image in images:
            writer.add(*image)
        entries.append(writer.close())
    return write_manifest(folder, entries, recipe)


IMAGES = [
    ("0_0.jpg", b"zero", 0),
    ("0_1.jpg", b"one" * 300, 0),
    ("10_0.jpg", b"", 10),
    ("10_1.jpg", b"x" * 512, 10),
]


def test_random_access_and_any_tar_tool(tmp_path):
    manifest = write(tmp_path, [IMAGES[:3], IMAGES[3:]])
    assert (manifest.count, manifest.classes) == (4, 2)
    images = ShardSet(tmp_path)
    assert images.names == [name for name, _, _ in IMAGES]
    assert images.labels.tolist() == [0, 0, 10, 10]
    assert [images.read(i) for i in range(4)] == [data for _, data, _ in IMAGES]
    assert images.read(images.find(10, 1)) == b"x" * 512
    assert pickle.loads(pickle.dumps(images)).read(1) == b"one" * 300
    with tarfile.open(str(tmp_path / "shard-00000.tar")) as tar:
        assert tar.extractfile("0_1.jpg").read() == b"one" * 300
    with pytest.raises(IndexError):
        images.read(4)
    with pytest.raises(KeyError):
        images.find(11, 0)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=1500), min_size=1, max_size=12), st.integers(1, 12))
def test_digest_does_not_depend_on_the_cut(tmp_path_factory, contents, cut):
    images = [("{}_0.jpg".format(i), data, i) for i, data in enumerate(contents)]
    whole = write(tmp_path_factory.mktemp("whole"), [images])
    parts = write(tmp_path_factory.mktemp("parts"), [images[i : i + cut] for i in range(0, len(images), cut)])
    assert whole.digest == parts.digest
    changed = [(images[0][0], images[0][1] + b"!", images[0][2])] + images[1:]
    assert write(tmp_path_factory.mktemp("other"), [changed]).digest != whole.digest
    renamed = [("9" + images[0][0],) + images[0][1:]] + images[1:]
    assert write(tmp_path_factory.mktemp("other"), [renamed]).digest != whole.digest
    relabelled = [images[0][:2] + (99,)] + images[1:]
    assert write(tmp_path_factory.mktemp("other"), [relabelled]).digest != whole.digest


def test_equal_images_give_equal_bytes(tmp_path):
    write(tmp_path / "a", [IMAGES])
    write(tmp_path / "b", [IMAGES])
    for name in os.listdir(str(tmp_path / "a")):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def damage_tar(folder):
    (folder / "shard-00001.tar").write_bytes((folder / "shard-00001.tar").read_bytes()[:-512])


def flip_byte(folder):
    data = bytearray((folder / "shard-00000.tar").read_bytes())
    data[1030] ^= 1
    (folder / "shard-00000.tar").write_bytes(bytes(data))


def damage_index(folder):
    index = numpy.load(str(folder / "shard-00000.index.npy"))
    index["label"][0] = 5
    numpy.save(str(folder / "shard-00000.index.npy"), index)


def state(**values):
    def change(folder):
        text = (folder / "manifest.json").read_text()
        import json

        manifest = dict(json.loads(text), **values)
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return change


@pytest.mark.parametrize(
    "damage, content, message",
    [
        (lambda folder: os.unlink(str(folder / "shard-00001.tar")), False, "shard-00001.tar: missing"),
        (
            lambda folder: os.unlink(str(folder / "shard-00001.index.npy")),
            False,
            "shard-00001.index.npy: missing",
        ),
        (damage_tar, False, "bytes, the manifest says"),
        (damage_index, False, "shard-00000.index.npy: its digest is not the manifest's"),
        (flip_byte, True, "shard-00000.tar: its content is not the manifest's"),
        (state(count=5), False, "the manifest says 5 images, the shards hold 4"),
        (state(classes=3), False, "the manifest says 3 classes, the shards hold 2"),
        (state(digest="0" * 64), False, "the digest of names, classes and content is"),
    ],
)
def test_damage_is_named(tmp_path, damage, content, message):
    write(tmp_path, [IMAGES[:3], IMAGES[3:]])
    assert verify_manifest(tmp_path, content=True) == []
    damage(tmp_path)
    problems = verify_manifest(tmp_path, content=content)
    assert len(problems) == 1 and message in problems[0]


def test_names_used_twice_are_named(tmp_path):
    write(tmp_path, [IMAGES, IMAGES[1:2]])
    assert "the name 0_1.jpg stands 2 times" in verify_manifest(tmp_path)[0]


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "encore-shards/1"}', '{"format": "other/9"}'])
def test_broken_manifests_are_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(Refusal, match="manifest.json"):
        Manifest.read(tmp_path)


def test_missing_manifest_is_refused(tmp_path):
    with pytest.raises(Refusal, match="is not a finished data set"):
        ShardSet(tmp_path)


def test_truncated_tar_is_an_error_not_short_data(tmp_path):
    write(tmp_path, [IMAGES])
    images = ShardSet(tmp_path)
    (tmp_path / "shard-00000.tar").write_bytes((tmp_path / "shard-00000.tar").read_bytes()[:600])
    with pytest.raises(Refusal, match="truncated at image 0_1.jpg"):
        images.read(1)


def test_a_name_too_long_for_tar_is_an_error(tmp_path):
    writer = ShardWriter(tmp_path, 0)
    with pytest.raises(ValueError):
        writer.add("x" * 300, b"", 0)
    writer.discard()
    assert os.listdir(str(tmp_path)) == []


READ_ALL = """
import os, random, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from encore.data.shards import MOST_OPEN, ShardSet
images = ShardSet(sys.argv[1])
order = list(range(len(images))) * 2
random.Random(0).shuffle(order)
right = all(images.read(i) == b"%d" % i for i in order)
if os.fork() == 0:
    right = right and all(images.read(i) == b"%d" % i for i in order)
    os._exit(0 if right and len(images._files) == MOST_OPEN else 1)
sys.exit(0 if right and len(images._files) == MOST_OPEN and os.wait()[1] == 0 else 1)
"""


def test_more_shards_than_a_process_may_have_files_are_read(tmp_path):
    write(tmp_path, [[("{}_0.jpg".format(i), b"%d" % i, i)] for i in range(100)])
    result = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(tmp_path)],
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr


def test_the_shard_that_was_not_read_for_longest_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr("encore.data.shards.MOST_OPEN", 2)
    write(tmp_path, [[("{}_0.jpg".format(i), b"%d" % i, i)] for i in range(3)])
    images = ShardSet(tmp_path)
    for i in (0, 1, 0, 2):
        images.read(i)
    assert [shard for _, shard in images._files] == [0, 2]


@pytest.mark.parametrize(
    ("number", "said"), [(errno.EMFILE, "raise the limit"), (errno.ENOENT, "copy the data set again")]
)
def test_a_shard_that_cannot_be_opened_says_what_to_do(tmp_path, monkeypatch, number, said):
    write(tmp_path, [IMAGES])
    images = ShardSet(tmp_path)

    def failing(path):
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr("encore.data.shards.file_size", failing)
    with pytest.raises(Refusal, match="shard-00000.tar: .*" + said) as refused:
        images.read(0)
    assert number == errno.ENOENT or "copy" not in str(refused.value)
