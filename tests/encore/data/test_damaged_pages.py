"""Files of C libraries that trust what they read are checked before: LMDB's pages, HDF5's heaps of texts."""

import struct
import time
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from encore.data.hdf5_file import dataset, opened
from encore.data.lmdb_pages import PAGE, check_pages
from encore.data.picture_database import PictureDatabase, write_picture_database
from encore.runtime.refusal import Refusal

PAGE_BYTES = 4096


@pytest.fixture
def database(tmp_path):
    pytest.importorskip("lmdb")
    count = 400
    pictures = SimpleNamespace(
        names=["%d/%d.jpg" % (i % 3, i) for i in range(count)],
        labels=[i % 3 for i in range(count)],
        classes=["0", "1", "2"],
        read=lambda i: bytes(bytearray([i % 251])) * (300 + 20 * i),
    )
    write_picture_database(tmp_path / "x.lmdb", pictures)
    return tmp_path / "x.lmdb"


def test_a_whole_database_passes_and_is_read(database):
    check_pages(database.read_bytes(), PAGE_BYTES)
    assert len(PictureDatabase(database).read(399)) == 300 + 20 * 399


def changed(path, page, offset, form, value):
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, page * PAGE_BYTES + offset, value)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("offset", "form", "value", "says"),
    [
        (0, "<Q", 7777, "of another kind"),
        (10, "<H", 0x20, "of another kind"),
        (12, "<H", 4095, "contradicts itself"),
        (14, "<H", 60000, "contradicts itself"),
        (16, "<H", 1, "lies outside"),
    ],
)
def test_a_page_that_leads_out_of_itself_is_refused(database, offset, form, value, says):
    data = database.read_bytes()
    flags = [PAGE.unpack_from(data, at)[2] for at in range(0, len(data), PAGE_BYTES)]
    for page in (number for number, kind in enumerate(flags) if number > 1 and kind in (1, 2)):
        changed(database, page, offset, form, value)
    with pytest.raises(Refusal, match=r"x\.lmdb: the database is damaged .*" + says):
        PictureDatabase(database)


def texts(path, count=3000, chunks=None):
    with h5py.File(str(path), "w") as store:
        names = np.array(["Q%05d" % i for i in range(count)], dtype=object)
        store.create_dataset("query_ids", data=names, dtype=h5py.string_dtype("utf-8"), chunks=chunks)
    return str(path)


@pytest.mark.parametrize("chunks", [None, (1000,)])
def test_texts_in_whole_heaps_are_read(tmp_path, chunks):
    path = texts(tmp_path / "x.h5", chunks=chunks)
    with opened(path) as store:
        assert dataset(store, "query_ids", path).asstr()[-1] == "Q02999"


@pytest.mark.parametrize("change", ["a number twice", "no heaps", "cut heap"])
def test_damaged_heaps_are_refused(tmp_path, change):
    path = texts(tmp_path / "x.h5")
    with open(path, "rb") as file:
        data = bytearray(file.read())
    at = data.index(b"GCOL")
    if change == "no heaps":
        data[at : at + 4] = b"XXXX"
    elif change == "cut heap":
        data[at + 8 : at + 16] = struct.pack("<Q", 2**40)
    else:
        data[at + 16 : at + 18] = struct.pack("<H", 2)  # the number of the second entry: the first is gone
    with open(path, "wb") as file:
        file.write(data)
    with pytest.raises(Refusal, match=r"x\.h5 \(.*heap"), opened(path) as store:
        dataset(store, "query_ids", path)


def test_compressed_texts_of_any_length_are_refused_by_name(tmp_path):
    path = str(tmp_path / "x.h5")
    with h5py.File(path, "w") as store:
        names = np.array(["Q%05d" % i for i in range(3000)], dtype=object)
        store.create_dataset("ids", data=names, dtype=h5py.string_dtype("utf-8"), compression="gzip")
    message = r"x\.h5: data set 'ids': .*found compressed texts of any length: write them without compression"
    with pytest.raises(Refusal, match=message), opened(path) as store:
        dataset(store, "ids", path)


@pytest.mark.parametrize(("rows", "read"), [(50, True), (32768, True), (32769, False)])
def test_compressed_numbers_that_shrink_much_are_read_up_to_a_mebibyte(tmp_path, rows, read):
    path, numbers = str(tmp_path / "x.h5"), np.ones((rows, 8), np.float32)
    with h5py.File(path, "w") as store:
        values = store.create_dataset("vectors", data=numbers, compression="gzip", chunks=(rows, 8))
        assert 16 * values.id.get_storage_size() < numbers.nbytes
    with opened(path) as store:
        if read:
            assert np.array_equal(dataset(store, "vectors", path)[()], numbers)
        else:
            with pytest.raises(Refusal, match="1048608 bytes, of which [0-9]+ are stored"):
                dataset(store, "vectors", path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("one text over and over", "texts that are longer than the file"),
        ("a length that is shorter", "a text that is not in its heap"),
        ("a heap in a heap", "a heap within another heap"),
    ],
)
def test_references_that_cost_more_than_the_file_are_refused(tmp_path, change, says):
    path = str(tmp_path / "x.h5")
    with h5py.File(path, "w") as store:
        names = np.array(["Q" * 60000] + ["Q"] * 99, dtype=object)
        at = store.create_dataset("query_ids", data=names, dtype=h5py.string_dtype("utf-8")).id.get_offset()
    with open(path, "rb") as file:
        data = bytearray(file.read())
    if change == "one text over and over":
        data[at : at + 1600] = data[at : at + 16] * 100
    elif change == "a length that is shorter":
        struct.pack_into("<I", data, at, 2)
    else:
        inner = data.index(b"Q" * 60000)
        struct.pack_into("<4sB3xQ", data, inner, b"GCOL", 1, 16)
        struct.pack_into("<Q", data, at + 16 * 99 + 4, inner)
    with open(path, "wb") as file:
        file.write(data)
    with pytest.raises(Refusal, match=r"x\.h5 \(" + says), opened(path) as store:
        dataset(store, "query_ids", path)


def test_many_chunks_of_texts_are_gone_over_once(tmp_path):
    path = texts(tmp_path / "x.h5", 12000, (1,))
    began = time.process_time()
    with opened(path) as store:
        dataset(store, "query_ids", path)
    assert time.process_time() - began < 2
