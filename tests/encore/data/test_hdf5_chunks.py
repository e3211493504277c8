"""Chunks of HDF5 files hold what they state, before libhdf5 inflates them; those never written need not."""

import time
import zlib

import h5py
import numpy as np
import pytest

from encore.data import hdf5_chunks
from encore.data.hdf5_file import dataset, opened
from encore.runtime.refusal import Refusal

SHAPE = (4, 4)
BYTES = 64


def with_chunk(path, raw, filters=(1,), mask=0):
    """A file whose `vectors`, of one chunk of BYTES, are stored as `raw`."""
    with h5py.File(path, "w") as store:
        created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        created.set_chunk(SHAPE)
        for number in filters:
            created.set_filter(number, 0, {1: (4,), 2: (4,)}.get(number, ()))
        space = h5py.h5s.create_simple(SHAPE)
        made = h5py.h5d.create(store.id, b"vectors", h5py.h5t.IEEE_F32LE, space, created)
        made.write_direct_chunk((0, 0), raw, mask)
    return path


def read(path):
    with opened(path) as store:
        return dataset(store, "vectors", path)[()]


@pytest.mark.parametrize(
    ("raw", "mask", "held"),
    [
        (zlib.compress(bytes(1 << 26)), 0, "more"),
        (zlib.compress(bytes(BYTES + 1)), 0, "more"),
        (zlib.compress(bytes(BYTES - 1)), 0, BYTES - 1),
        (bytes(BYTES + 1), 1, "more"),
        (bytes(BYTES - 1), 1, BYTES - 1),
    ],
)
def test_a_chunk_that_holds_more_or_less_than_it_states_is_refused(tmp_path, raw, mask, held):
    path = with_chunk(str(tmp_path / "x.h5"), raw, mask=mask)
    with pytest.raises(Refusal, match=r"x\.h5 \(a chunk of 64 bytes that holds {}\)".format(held)):
        read(path)


def test_a_stream_that_is_none_is_refused(tmp_path):
    with pytest.raises(Refusal, match=r"x\.h5 \(Error -3 while decompressing"):
        read(with_chunk(str(tmp_path / "x.h5"), b"no stream"))


@pytest.mark.parametrize("filters", [(1, 1), (1, 2), (3, 1), (2, 2), (1, 1, 1), (6,)])
def test_filters_that_h5py_does_not_apply_so_are_refused(tmp_path, filters):
    path = with_chunk(str(tmp_path / "x.h5"), bytes(BYTES), filters)
    with pytest.raises(Refusal, match="other filters than gzip: write it without compression or with gzip"):
        read(path)


def test_lzf_is_refused(tmp_path):
    with h5py.File(str(tmp_path / "x.h5"), "w") as store:
        store.create_dataset("vectors", data=np.ones(SHAPE), compression="lzf")
    with pytest.raises(Refusal, match="write it without compression or with gzip"):
        read(str(tmp_path / "x.h5"))


@pytest.mark.parametrize("libver", [None, "latest"])
@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"shuffle": True, "fletcher32": True}])
@pytest.mark.parametrize("written", [0, 7, 40])
def test_what_h5py_compresses_is_read_with_chunks_never_written(tmp_path, libver, options, written):
    path, numbers = str(tmp_path / "x.h5"), np.zeros((40, 4), np.float32)
    numbers[:written] = np.random.RandomState(0).rand(written, 4)
    with h5py.File(path, "w", libver=libver) as store:
        sides = {"chunks": (7, 3), "maxshape": (None, 4)}
        store.create_dataset("vectors", (40, 4), np.float32, compression="gzip", **sides, **options)
        if written:
            store["vectors"][:written] = numbers[:written]
    assert np.array_equal(read(path), numbers)


@pytest.mark.parametrize("options", [{"fletcher32": True}, {"shuffle": True}])
def test_filters_that_do_not_compress_are_read(tmp_path, options):
    with h5py.File(str(tmp_path / "x.h5"), "w") as store:
        store.create_dataset("vectors", data=np.ones(SHAPE), **options)
    assert np.array_equal(read(str(tmp_path / "x.h5")), np.ones(SHAPE))


def test_numbers_that_do_not_compress_are_read(tmp_path):
    stored = np.random.RandomState(0).rand(*SHAPE).astype(np.float32)
    for filters, mask, further in (((1,), 1, b""), ((2, 1), 3, b"")):
        path = with_chunk(str(tmp_path / "x.h5"), stored.tobytes() + further, filters, mask)
        assert np.array_equal(read(path), stored)


def test_many_chunks_that_were_never_written_are_refused_at_once(tmp_path):
    path = str(tmp_path / "x.h5")
    with h5py.File(path, "w") as store:
        store.create_dataset("vectors", (10**6,), np.uint8, chunks=(1,), compression="gzip")[0] = 1
    began = time.process_time()
    with pytest.raises(Refusal, match="more than 10000 unwritten chunks"):
        read(path)
    assert time.process_time() - began < 5


def test_chunks_beyond_the_edges_count(tmp_path):
    path = str(tmp_path / "x.h5")
    with h5py.File(path, "w") as store:
        sides = {"chunks": (1, 1 << 20), "maxshape": (None, None)}
        store.create_dataset("vectors", (20, 1), np.uint8, compression="gzip", **sides)[:] = 1
    with pytest.raises(Refusal, match="20971520 bytes, of which [0-9]+ are stored"):
        read(path)


def test_a_reader_of_blocks_has_the_chunks_gone_over_once(tmp_path, monkeypatch):
    path = with_chunk(str(tmp_path / "x.h5"), zlib.compress(bytes(BYTES)))
    went, inflated = [], hdf5_chunks._inflated_bytes
    monkeypatch.setattr(hdf5_chunks, "_inflated_bytes", lambda *parts: went.append(1) or inflated(*parts))
    for _ in range(3):
        assert not read(path).any()
    assert went == [1]
