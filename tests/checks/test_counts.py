from __future__ import annotations

import json

import numpy
import pytest

from checks.cli import main
from checks.counts import check_counts
from encore.data.manifest import Manifest, ShardEntry, whole_digest
from encore.data.shards import index_array
from encore.runtime.atomic import file_digest
from tests.checks.conftest import picture, write_shards


def fabricate(folder, count, classes, shards=20):
    """A data set of `count` images without their bytes: indexes, a manifest, and sparse tars."""
    folder.mkdir()
    entries = []
    for number, rows in enumerate(numpy.array_split(numpy.arange(count), shards)):
        index = numpy.zeros(len(rows), dtype=index_array([(b"99999_19.jpg", 0, 0, 0, bytes(32))]).dtype)
        labels = rows % classes
        index["name"] = numpy.char.add(
            numpy.char.add(labels.astype("S6"), b"_"), (rows // classes).astype("S6")
        )
        index["label"], index["offset"], index["size"] = labels, 512, 1
        entries.append(write_index(folder, number, index))
    write_manifest_of(folder, entries)
    return folder


def write_index(folder, number, index):
    entry = ShardEntry(f"shard-{number:05d}", len(index), 1024, "", "")
    numpy.save(folder / entry.index, index)
    with open(folder / entry.tar, "wb") as file:
        file.truncate(1024)
    return ShardEntry(entry.name, len(index), 1024, "", file_digest(folder / entry.index))


def write_manifest_of(folder, entries):
    digest, classes = whole_digest(numpy.load(folder / entry.index) for entry in entries)
    count = sum(entry.count for entry in entries)
    Manifest(count, classes, 1024 * len(entries), tuple(entries), digest, "recipe").write(folder)


def drop_last_image(folder):
    """Take the last image out of the last shard, index and manifest alike."""
    *entries, last = Manifest.read(folder).shards
    shorter = write_index(folder, len(entries), numpy.load(folder / last.index)[:-1])
    write_manifest_of(folder, [*entries, shorter])


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


def test_the_published_count_passes_and_one_image_less_does_not(tmp_path, capsys):
    folder = fabricate(tmp_path / "set", 2_000_000, 100_000)
    assert run("counts", folder, "--images", 2_000_000, "--classes", 100_000) == 0
    drop_last_image(folder)
    capsys.readouterr()
    assert run("counts", folder, "--images", 2_000_000, "--classes", 100_000) == 1
    assert (
        capsys.readouterr().err
        == f"encore: {folder}: expected 2,000,000 images, found 1,999,999 (1 too few)\n"
    )


def test_a_class_too_many_fails(tmp_path):
    folder = fabricate(tmp_path / "set", 40, 5, shards=2)
    assert check_counts(folder, 40, 4)[1] == [f"{folder}: expected 4 classes, found 5 (1 too many)"]


def test_a_manifest_that_claims_more_than_its_shards_hold_fails(tmp_path):
    folder = fabricate(tmp_path / "set", 39, 3, shards=2)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "count": 40}))
    counts, problems = check_counts(folder, 40, 3)
    assert counts[0].holds and problems == [f"{folder}: the manifest says 40 images, the shards hold 39"]


def test_content_is_read_only_when_asked(tmp_path):
    folder = tmp_path / "set"
    write_shards(folder, [(f"0_{copy}.jpg", picture((copy, 0, 0)), 0) for copy in range(3)])
    tar = folder / "shard-00000.tar"
    data = bytearray(tar.read_bytes())
    data[700] ^= 1
    tar.write_bytes(bytes(data))
    assert check_counts(folder, 3, 1)[1] == []
    assert len(check_counts(folder, 3, 1, content=True)[1]) == 1


def test_a_folder_without_a_manifest_is_refused(tmp_path, capsys):
    assert run("counts", tmp_path, "--images", 1) == 2
    assert "manifest.json: no such file" in capsys.readouterr().err
