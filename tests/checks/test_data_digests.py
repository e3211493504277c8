from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

from checks.cli import main
from checks.data import check_data
from checks.raw_data import hashing
from checks.raw_data.digests import Digest, differences, read_manifest, write_manifest
from checks.raw_data.hashing import hash_files
from checks.raw_data.recording import record_digests
from checks.size import PROJECT
from encore.runtime.refusal import Refusal

ODD = [
    b"plain.jpg",
    b"two\nlines.jpg",
    b"back\\slash.jpg",
    b"\\first",
    b"re\rturn",
    b"\xff\xfe.jpg",
    b"# 12",
    "Größe".encode(),
]


def sha(data):
    return hashlib.sha256(data).hexdigest()


def describe(size, count=4, **changes):
    row = {
        "path": "raw/photos",
        "used_by": "isc",
        "count": count,
        "first": None,
        "last": None,
        "licence": "CC0",
        "source": "the photographer",
        "place": "raw/photos",
        **changes,
    }
    (size / "inputs.yaml").write_text(yaml.safe_dump({"photos": row, "again": dict(row)}))


@pytest.fixture
def size(tmp_path):
    (tmp_path / "raw/photos").mkdir(parents=True)
    for i in range(4):
        (tmp_path / f"raw/photos/P{i}.jpg").write_bytes(bytes([i]) * (10 + i))
    describe(tmp_path)
    return tmp_path


@pytest.fixture
def kept(size):
    record_digests(size)
    return size


def refused(size, **options):
    with pytest.raises(Refusal) as refusal:
        check_data(size, ["photos"], **options)
    return str(refusal.value).split("\n")[1].strip()


def test_digests_are_recorded_for_every_role_and_sha256sum_accepts_them(kept):
    for role in ("photos", "again"):
        lines = (kept / f"digests/{role}.sha256").read_bytes().split(b"\n")
        assert lines[2:4] == [b"# 10", sha(bytes(10)).encode() + b"  P0.jpg"]
    checked = subprocess.run(
        ["sha256sum", "--strict", "--check", "../../digests/photos.sha256"],
        cwd=kept / "raw/photos",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout.count("OK")) == (0, 4)
    assert sorted(path.name for path in (kept / "digests").iterdir()) == ["again.sha256", "photos.sha256"]


def test_files_of_several_roles_are_read_once(size, monkeypatch):
    read = []
    whole = hashing._hash_file
    monkeypatch.setattr(hashing, "_hash_file", lambda *args: read.append(args) or whole(*args))
    record_digests(size)
    assert len(read) == 4
    check_data(size, content=True)
    assert len(read) == 8


def test_a_kept_manifest_is_not_made_again(kept):
    path = kept / "digests/photos.sha256"
    before = path.stat().st_mtime_ns
    assert [row["state"] for row in record_digests(kept)] == ["kept already"] * 2
    assert path.stat().st_mtime_ns == before


def test_wrong_and_missing_sets_are_not_recorded(size):
    describe(size, count=5)
    with pytest.raises(Refusal, match="photos: 4 files, expected 5"):
        record_digests(size)
    shutil.rmtree(size / "raw")
    assert [row["state"] for row in record_digests(size)] == ["missing"] * 2
    with pytest.raises(Refusal, match="photos: nothing at raw/photos"):
        record_digests(size, ["photos"])
    assert not (size / "digests").exists()


def test_names_with_line_breaks_and_any_bytes_survive(tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in ODD:
        (folder / os.fsdecode(name)).write_bytes(name)
    sizes = {os.fsdecode(name): len(name) for name in ODD}
    partial = tmp_path / "odd.partial"
    found = hash_files(str(folder), sizes, partial, workers=2)
    assert found == {os.fsdecode(name): sha(name) for name in ODD}
    again = hash_files(str(folder), sizes, partial, workers=1)
    assert again == found and len(partial.read_bytes().split(b"\n")) == len(ODD) + 1
    kept = {name: Digest(digest, sizes[name]) for name, digest in found.items()}
    write_manifest(tmp_path / "odd.sha256", str(folder), kept)
    assert read_manifest(tmp_path / "odd.sha256") == kept
    done = subprocess.run(
        ["sha256sum", "--strict", "--status", "--check", "../odd.sha256"], cwd=folder, check=False
    )
    assert done.returncode == 0


def test_what_sha256sum_wrote_itself_is_read_too(size):
    (size / "digests").mkdir()
    with open(size / "digests/photos.sha256", "wb") as file:
        subprocess.run("sha256sum ./*", shell=True, cwd=size / "raw/photos", stdout=file, check=True)
    assert check_data(size, ["photos"], content=True)
    (size / "raw/photos/P1.jpg").write_bytes(b"other")
    assert check_data(size, ["photos"])
    assert refused(size, content=True) == "photos: changed content: P1.jpg"


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_manifest_is_the_same_for_any_number_of_workers(size, workers, monkeypatch):
    monkeypatch.setattr(hashing, "BATCH_FILES", 1)
    for i in range(4, 40):
        (size / f"raw/photos/P{i}.jpg").write_bytes(os.urandom(100) if i % 2 else b"")
    for i in range(4, 40, 2):
        (size / f"raw/photos/P{i}.jpg").write_bytes(b"x")
    describe(size, count=40)
    record_digests(size, workers=workers)
    kept = read_manifest(size / "digests/photos.sha256")
    assert list(kept) == sorted(kept) and len(kept) == 40
    for name, digest in kept.items():
        data = (size / "raw/photos" / name).read_bytes()
        assert digest == Digest(sha(data), len(data))


def test_without_reading_names_and_sizes_are_compared(kept):
    photos = kept / "raw/photos"
    (photos / "P0.jpg").write_bytes(b"z" * 10)
    assert check_data(kept)
    (photos / "P1.jpg").write_bytes(b"z" * 4)
    (photos / "P2.jpg").write_bytes(b"z" * 40)
    assert refused(kept) == (
        "photos: truncated: P1.jpg; P1.jpg has 4 of 11 bytes; "
        "longer than recorded: P2.jpg; P2.jpg has 40 of 12 bytes"
    )
    (photos / "P3.jpg").rename(photos / "Q3.jpg")
    assert "renamed: P3.jpg may be, by its size, Q3.jpg" in refused(kept)


def test_with_reading_changed_and_renamed_files_are_known(kept):
    photos = kept / "raw/photos"
    (photos / "P0.jpg").write_bytes(b"z" * 10)
    (photos / "P3.jpg").rename(photos / "Q3.jpg")
    assert refused(kept, content=True) == "photos: renamed: P3.jpg is now Q3.jpg; changed content: P0.jpg"
    assert sorted(path.name for path in (kept / "digests").iterdir()) == ["again.sha256", "photos.sha256"]


def test_a_missing_and_an_extra_file_are_named_once(kept):
    describe(kept, names=["P{0..3}.jpg"])
    photos = kept / "raw/photos"
    (photos / "P3.jpg").unlink()
    (photos / "new.jpg").write_bytes(b"new")
    for content in (False, True):
        assert refused(kept, content=content) == "photos: missing: P3.jpg; unexpected: new.jpg"


def test_files_that_changed_places_are_found_by_reading():
    kept = {"a": Digest(sha(b"a"), 1), "b": Digest(sha(b"b"), 1)}
    assert differences(kept, {"a": 1, "b": 1}) == []
    assert differences(kept, {"a": 1, "b": 1}, {"a": sha(b"b"), "b": sha(b"a")}) == ["changed content: a, b"]


def test_two_files_of_one_size_are_not_guessed_to_be_renamed():
    kept = {"a": Digest(sha(b"a"), 1), "b": Digest(sha(b"b"), 1)}
    sizes = {"c": 1, "d": 1}
    assert differences(kept, sizes) == ["missing: a, b", "unexpected: c, d"]
    assert differences(kept, sizes, {"c": sha(b"b"), "d": sha(b"a")}) == [
        "renamed: a is now d",
        "renamed: b is now c",
    ]


def test_content_cannot_be_compared_without_digests(size):
    assert refused(size, content=True) == (
        "photos: no digests are kept: run `encore data --record --dataset photos` once"
    )


def test_a_manifest_that_is_damaged_is_refused_by_line(kept):
    path = kept / "digests/photos.sha256"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(
        Refusal, match="photos.sha256: line 10: expected a line of sha256sum: put the kept file back"
    ):
        check_data(kept)


def test_a_partial_file_is_gone_on_from_and_its_torn_line_is_not_believed(size, monkeypatch):
    photos, partial = size / "raw/photos", size / "digests/photos.partial"
    partial.parent.mkdir()

    def line(name, digest, length=None):
        found = os.stat(photos / name)
        return f"{digest} {found.st_size if length is None else length} {found.st_mtime_ns} {name}\n"

    # P0 is done (a digest no file has shows that it was not read again), P1 had another size, P2 is torn
    partial.write_text(
        line("P0.jpg", "0" * 64) + line("P1.jpg", "1" * 64, 999) + line("P2.jpg", "2" * 64)[:-9]
    )
    read = []
    whole = hashing._hash_file
    monkeypatch.setattr(hashing, "_hash_file", lambda path, n: read.append(path[-6:]) or whole(path, n))
    record_digests(size, ["photos"])
    kept = read_manifest(size / "digests/photos.sha256")
    assert sorted(read) == ["P1.jpg", "P2.jpg", "P3.jpg"]
    assert kept["P0.jpg"].sha256 == "0" * 64 and kept["P2.jpg"].sha256 == sha(bytes([2]) * 12)
    assert not partial.exists()


def test_a_file_that_was_written_again_is_read_again(size):
    photos, partial = size / "raw/photos", size / "x.partial"
    first = hash_files(str(photos), {"P0.jpg": 10}, partial, 1)
    (photos / "P0.jpg").write_bytes(b"y" * 10)
    os.utime(photos / "P0.jpg", ns=(1, 1))
    assert hash_files(str(photos), {"P0.jpg": 10}, partial, 1) == {"P0.jpg": sha(b"y" * 10)} != first


@pytest.mark.slow
def test_a_killed_recording_goes_on_where_it_was(size):
    for i in range(4, 60):
        (size / f"raw/photos/P{i}.jpg").write_bytes(os.urandom(50))
    describe(size, count=60)
    slowly = (
        "import time; from checks.raw_data import hashing as d; "
        "from checks.raw_data.recording import record_digests\n"
        "d.BATCH_FILES = 1; whole = d._hash_file\n"
        "d._hash_file = lambda *args: time.sleep(0.05) or whole(*args)\n"
        "record_digests('.', ['photos'], workers=1)"
    )
    paths = os.pathsep.join([str(PROJECT), str(PROJECT / "src")])
    process = subprocess.Popen(
        [sys.executable, "-c", slowly], cwd=size, env={**os.environ, "PYTHONPATH": paths}
    )
    partial, deadline = size / "digests/photos.partial", time.monotonic() + 60
    while not (partial.exists() and partial.read_bytes().count(b"\n") >= 5):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(Refusal, match="another process is hashing this data set"):
        record_digests(size, ["photos"])
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = partial.read_bytes().count(b"\n")
    assert 5 <= done < 60 and not (size / "digests/photos.sha256").exists()
    read = []
    whole = hashing._hash_file
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "_hash_file", lambda *args: read.append(args) or whole(*args))
        record_digests(size, ["photos"])
    assert len(read) == 60 - done
    for name, digest in read_manifest(size / "digests/photos.sha256").items():
        assert digest.sha256 == sha((size / "raw/photos" / name).read_bytes())


def test_a_file_that_changes_while_it_is_read_is_refused(size):
    with pytest.raises(Refusal, match="P0.jpg: changed while it was read"):
        hash_files(str(size / "raw/photos"), {"P0.jpg": 9}, size / "x.partial", 1)
    with pytest.raises(Refusal, match="P9.jpg: cannot be read"):
        hash_files(str(size / "raw/photos"), {"P9.jpg": 9}, size / "x.partial", 1)
    with pytest.raises(Refusal, match="inputs.yaml/x.partial: cannot be written"):
        hash_files(str(size / "raw/photos"), {"P0.jpg": 10}, size / "inputs.yaml/x.partial", 1)


def test_the_command_records_and_compares(size, capsys):
    with pytest.raises(SystemExit) as end:
        main(["data", "--size", str(size), "--record", "--workers", "2"])
    assert end.value.code == 0 and "recorded" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main(["data", "--size", str(size), "--content", "--json"])
    assert end.value.code == 0 and '"count": 4' in capsys.readouterr().out
    (size / "raw/photos/P0.jpg").write_bytes(b"z" * 10)
    with pytest.raises(SystemExit) as end:
        main(["data", "--size", str(size), "--content"])
    assert end.value.code == 2 and "photos: changed content: P0.jpg" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        main(["data", "--size", str(size), "--record", "--plan"])
    assert end.value.code == 2
