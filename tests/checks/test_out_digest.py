from __future__ import annotations

import os
from pathlib import Path

import pytest

from checks.runs.out_digest import REMEMBERED_BYTES, Digests, files_below


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def old(path):
    """Make a file one that was written an hour ago."""
    stamp = path.stat().st_mtime - 3600
    os.utime(path, (stamp, stamp))
    return path


def test_the_digest_of_a_folder_and_of_a_file_is_that_of_dvc(tmp_path):
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs.local import LocalFileSystem

    data = write(tmp_path / "data", b="two", a="one")
    write(data / "deeper" / "still", c="ü")
    write(data / "deeper-than", d="sorts before deeper/ as text")
    system = LocalFileSystem()
    store = HashFileDB(system, str(tmp_path / "store"))
    for name in ("data", "data/a"):
        _, _, wanted = build(store, str(tmp_path / name), system, "md5", dry_run=True)
        assert Digests(tmp_path).of(name).md5 == wanted.hash_info.value


def test_files_that_dvc_ignores_do_not_count(tmp_path):
    write(tmp_path / "data", **{"a": "one", "b.tmp-12": "half"})
    write(tmp_path / "data" / "__pycache__", c="x")
    assert files_below(tmp_path / "data") == ["a"]


def test_an_output_that_is_not_there_has_no_digest(tmp_path):
    assert Digests(tmp_path).of("data") is None


def test_logs_of_a_run_are_left_out_of_the_content_and_weights_are_not(tmp_path):
    one = write(tmp_path / "one", **{"net.pth": "w", "log.txt": "1", "events.out.tfevents.1": "1"})
    write(tmp_path / "two", **{"net.pth": "w", "log.txt": "2", "events.out.tfevents.2": "2"})
    digests = Digests(tmp_path)
    first, second = digests.of("one"), digests.of("two")
    assert first.md5 != second.md5 and first.content == second.content
    write(one, **{"net.pth": "x"})
    assert digests.of("one").content != second.content


def test_a_large_file_is_read_once_until_it_changes(tmp_path, monkeypatch):
    (tmp_path / ".work").mkdir()
    large = old(write(tmp_path, net="x" * REMEMBERED_BYTES) / "net")
    digests = Digests(tmp_path)
    first = digests.of("net").md5
    digests.remember()
    with monkeypatch.context() as patch:
        patch.setattr("checks.runs.out_digest._md5", lambda path: pytest.fail("was read again"))
        assert Digests(tmp_path).of("net").md5 == first
    large.write_text("y" * REMEMBERED_BYTES)
    assert Digests(tmp_path).of("net").md5 != first


def test_a_file_written_just_now_is_not_remembered(tmp_path):
    """Two writes within one tick of the clock leave the same time stamp."""
    path = write(tmp_path, net="x" * REMEMBERED_BYTES) / "net"
    found = path.stat()
    digests = Digests(tmp_path)
    first = digests.of("net").md5
    path.write_text("y" * REMEMBERED_BYTES)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert digests.of("net").md5 != first


@pytest.mark.parametrize(
    "text",
    [
        "{half",
        "[1]",
        "null",
        "[" * 100_000,
        '{"net": ["1", 2, 3, "x"]}',
        '{"net": [1, 2, 3, 4]}',
        '{"net": [1, 2, 3, "x"], "other": {}}',
        '{"net": [true, 2, 3, "9dd4e461268c8034f5c8564e155c67a6"]}',
    ],
)
def test_what_is_remembered_wrongly_is_computed_and_written_again(tmp_path, text):
    write(tmp_path / ".work", **{"digests.json": text})
    write(tmp_path, net="x")
    digests = Digests(tmp_path)
    assert digests.of("net").md5 == "9dd4e461268c8034f5c8564e155c67a6"  # md5 of "x"
    digests.remember()
    assert (tmp_path / ".work/digests.json").read_text().strip() == "{}"


def test_an_output_below_what_is_a_file_is_not_there(tmp_path):
    write(tmp_path, data="x")
    assert Digests(tmp_path).of("data/net") is None


def test_what_was_too_large_is_known_without_looking_again(tmp_path, monkeypatch):
    write(tmp_path, a="12345", b="1")
    digests = Digests(tmp_path, limit=3)
    assert digests.too_large("a") and not digests.too_large("b") and not digests.too_large("none")
    monkeypatch.setattr(Digests, "of", lambda *_: pytest.fail("was looked at again"))
    assert digests.too_large("a") and not digests.too_large("b")


def test_more_bytes_than_the_limit_are_told_by_count_and_size(tmp_path):
    write(tmp_path / "data", a="12345", b="12345")
    write(tmp_path / "small", a="123")
    digests = Digests(tmp_path, limit=8)
    found = digests.of("data")
    assert (found.md5, found.nfiles, found.size, found.content) == (None, 2, 10, None)
    assert digests.of("small").md5 is not None
    assert Digests(tmp_path, limit=10).of("data").md5 is not None


def test_the_limit_is_one_for_all_outputs(tmp_path):
    write(tmp_path, a="12345", b="12345")
    digests = Digests(tmp_path, limit=8)
    assert digests.of("a").md5 is not None and digests.of("b").md5 is None


def test_a_folder_without_a_work_folder_is_left_as_it_is(tmp_path):
    old(write(tmp_path, net="x" * REMEMBERED_BYTES) / "net")
    digests = Digests(tmp_path)
    digests.of("net")
    digests.remember()
    assert [path.name for path in Path(tmp_path).iterdir()] == ["net"]
