"""Pictures packed into LMDB come out as they went in, in every process, or are refused."""

import json
import multiprocessing
import os
import pickle
import struct

import numpy as np
import pytest

from encore.data import picture_database
from encore.data.picture_database import PictureDatabase, picture_digest, write_picture_database
from encore.runtime.refusal import Refusal

pytest.importorskip("lmdb", reason="part of the environments that this system is pinned to")


class Some:
    """Pictures of random bytes, up to several pages long; the last class has none."""

    def __init__(self, count=40, seed=0):
        draw = np.random.RandomState(seed)
        self.names = ["%04d/é_%d.jpg" % (i // 4, i) for i in range(count)]
        self.labels, self.classes = np.arange(count) // 4, tuple("%04d" % i for i in range(count // 4 + 1))
        self.data = [draw.bytes(draw.randint(1, 20000)) for _ in range(count)]

    def __len__(self):
        return len(self.names)

    def read(self, i):
        return self.data[i]


@pytest.fixture
def packed(tmp_path):
    pictures = Some()
    path = str(tmp_path / "deeper" / "set.lmdb")
    digest = write_picture_database(path, pictures)
    return path, pictures, digest


def check(database, pictures):
    assert len(database) == len(pictures) and database.names == pictures.names
    assert database.labels.dtype == np.int64 and database.labels.tolist() == pictures.labels.tolist()
    assert database.classes == pictures.classes
    assert [database.read(i) for i in range(len(pictures))] == pictures.data
    assert [database.size(i) for i in range(len(pictures))] == [len(data) for data in pictures.data]


def test_what_goes_in_comes_out(packed):
    path, pictures, digest = packed
    database, twin = PictureDatabase(path), PictureDatabase(path)
    check(database, pictures)
    check(twin, pictures)
    check(pickle.loads(pickle.dumps(database)), pictures)
    assert database.digest == digest and len(digest) == 64
    assert os.listdir(os.path.dirname(path)) == ["set.lmdb"]
    with pytest.raises(IndexError):
        database.read(len(pictures))


def test_it_grows_beyond_its_first_room(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_database, "COMMIT_BYTES", 50000)
    pictures = Some(60)
    path = str(tmp_path / "set.lmdb")
    write_picture_database(path, pictures, first_room=1 << 16)
    assert os.path.getsize(path) > 1 << 18
    check(PictureDatabase(path), pictures)


def _read_all(database, queue):
    queue.put([database.read(i) for i in range(len(database))])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes(packed, method):
    path, pictures, _ = packed
    database = PictureDatabase(path)
    database.read(3)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_read_all, args=(database, queue))
    child.start()
    assert queue.get(timeout=60) == pictures.data
    child.join()
    check(database, pictures)


def test_a_replaced_database_is_noticed(packed):
    path, pictures, _ = packed
    database = PictureDatabase(path)
    write_picture_database(path, pictures)  # the same again
    check(database, pictures)
    other = Some(seed=1)
    write_picture_database(path, other)
    check(PictureDatabase(path), other)
    with pytest.raises(Refusal, match="was replaced since it was opened"):
        database.read(0)


def test_a_failed_write_leaves_what_was_there(packed):
    path, pictures, _ = packed
    broken = Some(seed=2)
    broken.data[7] = b""
    with pytest.raises(Refusal, match=r"é_7.jpg: the picture is empty \(0 bytes\)"):
        write_picture_database(path, broken)
    assert os.listdir(os.path.dirname(path)) == ["set.lmdb"]
    check(PictureDatabase(path), pictures)


def test_one_writer_at_a_time(packed):
    path, pictures, _ = packed

    class Second(Some):
        def read(self, i):
            with pytest.raises(Refusal, match="another process is writing it"):
                write_picture_database(path, pictures)
            return super(Second, self).read(i)

    second = Second(4)
    write_picture_database(path, second)
    check(PictureDatabase(path), second)


def test_a_killed_write_is_started_again(packed):
    path, pictures, _ = packed
    with open(path + ".tmp-writing", "wb") as file:
        file.write(b"left by a killed run" * 1000)
    write_picture_database(path, pictures)
    assert os.listdir(os.path.dirname(path)) == ["set.lmdb"]
    check(PictureDatabase(path), pictures)


@pytest.mark.parametrize("meta", [b"[" * 200000, b'{"version": ' + b"9" * 5000 + b"}", b"\xff"])
def test_an_index_that_is_no_json_of_ours(packed, meta):
    import lmdb

    path, _, _ = packed
    environment = lmdb.open(path, subdir=False, lock=False)
    with environment.begin(write=True) as transaction:
        transaction.put(picture_database.META, meta)
    environment.close()
    with pytest.raises(Refusal, match=r"set\.lmdb: the database is damaged \(its index: "):
        PictureDatabase(path)


@pytest.mark.parametrize(("column", "value"), [(0, 10**15), (0, 11), (0, -1), (1, 0), (1, -5)])
def test_a_label_without_a_class_and_a_picture_without_bytes(packed, column, value):
    import lmdb

    path, _, _ = packed
    with lmdb.open(path, subdir=False, lock=False) as environment, environment.begin(
        write=True
    ) as transaction:
        meta = json.loads(bytes(transaction.get(picture_database.META)).decode("ascii"))
        rows = np.frombuffer(transaction.get(picture_database.ROWS), "<i8").reshape(-1, 3).copy()
        rows[3, column] = value
        meta["digest"] = picture_digest(meta["names"], rows[:, 0], rows[:, 1], meta["classes"])
        transaction.put(picture_database.META, json.dumps(meta).encode("ascii"))
        transaction.put(picture_database.ROWS, rows.tobytes())
    message = r"set\.lmdb: the database is damaged \(its index: picture 3 has the label .* of 11 classes and "
    with pytest.raises(Refusal, match=message):
        PictureDatabase(path)


def test_files_of_another_making(tmp_path):
    import lmdb

    with pytest.raises(Refusal, match="no such database"):
        PictureDatabase(tmp_path / "nowhere")
    for content in (b"", b"no LMDB at all" * 1000):
        (tmp_path / "text").write_bytes(content)
        with pytest.raises(Refusal, match="that is no LMDB"):
            PictureDatabase(tmp_path / "text")
    foreign = str(tmp_path / "foreign.lmdb")
    environment = lmdb.open(foreign, subdir=False, lock=False)
    with environment.begin(write=True) as transaction:
        transaction.put(b"0001", b"picture")
    environment.close()
    with pytest.raises(Refusal, match="of another making"):
        PictureDatabase(foreign)
    environment = lmdb.open(foreign, subdir=False, lock=False)
    with environment.begin(write=True) as transaction:
        transaction.put(b"meta", b'{"format": "other", "version": 1}')
    environment.close()
    with pytest.raises(Refusal, match="damaged .its index: format other 1"):
        PictureDatabase(foreign)


def test_damage_is_refused(packed, tmp_path):
    path, pictures, _ = packed
    with open(path, "rb") as file:
        whole = file.read()
    for size in (4096 * 3, len(whole) // 2, len(whole) - 1):
        cut = str(tmp_path / "cut.lmdb")
        with open(cut, "wb") as file:
            file.write(whole[:size])
        with pytest.raises(Refusal, match="cut off|no LMDB"):
            PictureDatabase(cut)
    flipped = str(tmp_path / "flipped.lmdb")
    longest = max(range(len(pictures)), key=lambda i: len(pictures.data[i]))
    at = whole.index(pictures.data[longest]) + 100
    with open(flipped, "wb") as file:
        file.write(whole[:at] + struct.pack("B", whole[at] ^ 1) + whole[at + 1 :])
    database = PictureDatabase(flipped)
    for i in range(len(pictures)):
        if i != longest:
            assert database.read(i) == pictures.data[i]
    with pytest.raises(Refusal, match="damaged .picture .*_%d.jpg" % longest):
        database.read(longest)
    at = whole.index(b'{"format"') + 300
    with open(flipped, "wb") as file:
        file.write(whole[:at].replace(b"0003/", b"0093/") + whole[at:].replace(b"0003/", b"0093/"))
    with pytest.raises(Refusal, match="damaged .its index: its digest is another"):
        PictureDatabase(flipped)
