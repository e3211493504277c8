"""HDF5 files that lead elsewhere or say that they are huge; numpy, safetensors and LMDB files that lie."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib

import h5py
import numpy as np

from encore.data.picture_database import picture_digest
from faults.hostile.case import BOMB, CODE, LINKS, OUTSIDE, SECRET, Case

HDF5, NPY, NPZ = ("hdf5",), ("npy",), ("npz",)


def cases():
    found = [
        Case(LINKS, "HDF5: link into another file", _hdf5(_external_link), HDF5),
        Case(LINKS, "HDF5: soft link", _hdf5(_soft_link), HDF5),
        Case(LINKS, "HDF5: soft links in a circle", _hdf5(_circle), HDF5),
        Case(LINKS, "HDF5: numbers in another file", _hdf5(_external_storage), HDF5),
        Case(LINKS, "HDF5: virtual data set of another file", _hdf5(_virtual), HDF5),
        Case(LINKS, "HDF5: references to objects", _hdf5(_references), HDF5),
        Case(LINKS, "HDF5: a group as data set", _hdf5(_group), HDF5),
        Case(BOMB, "HDF5: 10^12 rows that are not stored", _hdf5(_unstored), HDF5),
        Case(BOMB, "HDF5: a chunk of 3 GB", _hdf5(_huge_chunk), HDF5),
        Case(BOMB, "HDF5: 1,000 to 1 compressed", _hdf5(_filter_bomb), HDF5),
        Case(BOMB, "HDF5: a chunk that inflates to 1 GiB", _hdf5(_inflating), HDF5),
        Case(BOMB, "HDF5: compressed three times", _hdf5(_thrice), HDF5),
        Case(BOMB, "HDF5: lzf", _hdf5(_lzf), HDF5),
        Case(BOMB, "HDF5: 10^6 chunks that were never written", _hdf5(_unwritten), HDF5),
        Case(BOMB, "HDF5: one text 20,000 times", _one_text, ("hdf5",)),
        Case(BOMB, "npy: 10^12 elements without bytes", _npy(descr="'|S0'", shape="(1000000000000,)"), NPY),
        Case(BOMB, "npy: 10^12 elements", _npy(shape="(1000000000000,)"), NPY),
        Case(BOMB, "npy: -1 elements", _npy(shape="(-1,)"), NPY),
        Case(BOMB, "npy: a type of 2^31 bytes", _npy(descr="'V2147483647'", shape="(1000000,)"), NPY),
        Case(BOMB, "npy: deep header", _npy(shape="(" * 5000), NPY),
        Case(BOMB, "npy: header of 4 GB", _long_header, NPY),
        Case(CODE, "npy: code in the header", _npy(shape="(__import__('os').mkdir('canary'),)"), NPY),
        Case(CODE, "npy: pickled objects", _objects, NPY),
        Case(CODE, "npz: pickled objects", _npz(lambda: _saved(np.array([print], dtype=object))), NPZ),
        Case(BOMB, "npz: 10^12 elements", _npz(lambda: _header(shape="(1000000000000,)")), NPZ),
        Case(BOMB, "npz: 1,000 to 1 compressed", _npz(lambda: _saved(np.zeros(1 << 24)), True), NPZ),
        Case(OUTSIDE, "npz: a name twice", _npz(lambda: _saved(np.zeros(1)), twice=True), NPZ),
        Case(BOMB, "safetensors: header of 2^60 bytes", _header_of(b"{}", 2**60), ("safetensors",)),
        Case(BOMB, "safetensors: deep header", _header_of(b"[" * 200000), ("safetensors",)),
        Case(BOMB, "safetensors: 2^60 elements", _header_of(_tensor([2**60], 0)), ("safetensors",)),
        Case(BOMB, "safetensors: 10^4 dimensions", _header_of(_tensor([1] * 10**4, 4)), ("safetensors",)),
        Case(BOMB, "safetensors: zero times 10^300", _header_of(_tensor([0, 10**300], 0)), ("safetensors",)),
        Case(BOMB, "LMDB: deep index", _index_of(b"[" * 200000), ("lmdb",)),
        Case(BOMB, "LMDB: a number of 10^6 digits", _index_of(b"9" * 10**6), ("lmdb",)),
        Case(BOMB, "LMDB: a label of 10^15", _row_of(10**15, 1), ("lmdb",)),
        Case(BOMB, "LMDB: a picture of -5 bytes", _row_of(0, -5), ("lmdb",)),
        Case(BOMB, "faiss: a vector of 2^61", _faiss, ("faiss",)),
        Case(LINKS, "ONNX: numbers in another file", _onnx_external, ("onnx",)),
        Case(OUTSIDE, "manifest: a shard elsewhere", _shard_elsewhere, ("json",)),
        Case(OUTSIDE, "index: a name with ..", _index_outside, NPY),
    ]
    return found


def _hdf5(change):
    def make(sample, around):
        with h5py.File(around / SECRET, "w") as other:
            other["numbers"] = np.eye(2, 4, dtype=np.float32)
        with h5py.File(sample, "a") as store:
            name = "vectors" if "vectors" in store else "reference"
            values = store[name][()]
            del store[name]
            change(store, name, values, around)

    return make


def _external_link(store, name, _, around):
    store[name] = h5py.ExternalLink(str(around / SECRET), "/numbers")


def _soft_link(store, name, values, _):
    store["elsewhere"] = values
    store[name] = h5py.SoftLink("/elsewhere")


def _circle(store, name, *_):
    store[name] = h5py.SoftLink("/other")
    store["other"] = h5py.SoftLink("/" + name)


def _external_storage(store, name, values, around):
    place = [(str(around / SECRET), 0, values.nbytes)]
    store.create_dataset(name, values.shape, values.dtype, external=place)


def _virtual(store, name, values, around):
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[:] = h5py.VirtualSource(str(around / SECRET), "numbers", values.shape)
    store.create_virtual_dataset(name, layout)


def _references(store, name, *_):
    store.create_dataset(name, (2,), h5py.ref_dtype)
    store[name][0] = store.ref


def _group(store, name, *_):
    store.create_group(name)


def _unstored(store, name, values, _):
    store.create_dataset(name, (10**12, values.shape[1]), np.float32, chunks=(1024, values.shape[1]))


def _huge_chunk(store, name, *_):
    store.create_dataset(name, (2 * 10**8, 4), np.float32, chunks=(2 * 10**8, 4))


def _filter_bomb(store, name, *_):
    data = store.create_dataset(name, (2**24, 4), np.float32, chunks=(2**18, 4), compression="gzip")
    for first in range(0, 2**24, 2**18):
        data[first : first + 2**18] = 0


def _inflating(store, name, values, _, levels=1):
    squeeze = zlib.compressobj(9)
    data = b"".join([squeeze.compress(bytes(1 << 20)) for _ in range(1024)]) + squeeze.flush()
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_chunk(values.shape)
    created.set_deflate(9)
    for _ in range(levels - 1):
        created.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (9,))
        data = zlib.compress(data, 9)
    space = h5py.h5s.create_simple(values.shape)
    made = h5py.h5d.create(store.id, name.encode(), h5py.h5t.IEEE_F32LE, space, created)
    made.write_direct_chunk((0, 0), data)


def _thrice(*parts):
    _inflating(*parts, levels=3)


def _lzf(store, name, values, _):
    store.create_dataset(name, data=values, compression="lzf")


def _unwritten(store, name, *_):
    data = store.create_dataset(name, (10**6, 1), np.uint8, chunks=(1, 1), compression="gzip")
    data[0] = 1


def _one_text(sample, _):
    with h5py.File(sample, "a") as store:
        name = "image_names" if "image_names" in store else "query_ids"
        del store[name]
        texts = store.create_dataset(name, (20000,), h5py.string_dtype())
        texts[:] = "Q" * 10
        texts[0] = "Q" * 60000
        at = texts.id.get_offset()
    data = bytearray(sample.read_bytes())
    data[at : at + 16 * 20000] = data[at : at + 16] * 20000
    sample.write_bytes(bytes(data))


def _header(descr="'<f4'", shape="(1,)", length=None):
    text = "{'descr': %s, 'fortran_order': False, 'shape': %s, }\n" % (descr, shape)
    data = text.encode()
    return b"\x93NUMPY\2\0" + struct.pack("<I", len(data) if length is None else length) + data + bytes(64)


def _npy(**parts):
    def make(sample, _):
        sample.write_bytes(_header(**parts))

    return make


def _long_header(sample, _):
    with open(sample, "wb") as file:
        file.write(_header(length=2**32 - 1))
        file.truncate(1 << 28)


def _objects(sample, _):
    sample.write_bytes(_saved(np.array([print], dtype=object)))


def _saved(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _npz(data, compressed=False, twice=False):
    def make(sample, _):
        with zipfile.ZipFile(sample) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        first = sorted(entries)[0]
        entries[first] = data()
        method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
        with zipfile.ZipFile(sample, "w", method) as archive:
            for name, content in entries.items():
                archive.writestr(name, content)
            if twice:
                archive.writestr(first, content)

    return make


def _tensor(shape, end):
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}
    return json.dumps({"coords": entry}).encode()


def _header_of(text, length=None):
    def make(sample, _):
        sample.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text)

    return make


def _index_of(text):
    def make(sample, _):
        import lmdb

        with lmdb.open(str(sample), subdir=False, lock=False) as environment:
            with environment.begin(write=True) as transaction:
                transaction.put(b"meta", text)

    return make


def _row_of(label, size):
    def make(sample, _):
        import lmdb

        with lmdb.open(str(sample), subdir=False, lock=False) as environment:
            with environment.begin(write=True) as transaction:
                meta = json.loads(bytes(transaction.get(b"meta")))
                rows = np.frombuffer(transaction.get(b"rows"), "<i8").reshape(-1, 3).copy()
                rows[0, :2] = label, size
                meta["digest"] = picture_digest(meta["names"], rows[:, 0], rows[:, 1], meta["classes"])
                transaction.put(b"meta", json.dumps(meta).encode())
                transaction.put(b"rows", rows.tobytes())

    return make


def _faiss(sample, _):
    data = sample.read_bytes()
    sample.write_bytes(data[:13] + struct.pack("<Q", 2**61) + data[21:])


def _onnx_external(sample, around):
    import onnx

    (around / SECRET).write_bytes(bytes(24))
    model = onnx.load(sample)
    weights = onnx.helper.make_tensor("weights", onnx.TensorProto.FLOAT, [6], bytes(24), raw=True)
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=f"../{SECRET}")
    model.graph.initializer.append(weights)
    sample.write_bytes(model.SerializeToString())


def _shard_elsewhere(sample, _):
    value = json.loads(sample.read_text())
    if isinstance(value, dict) and "shards" in value:
        value["shards"][0]["name"] = "../other/shard-00000"
    else:
        value = 7
    sample.write_text(json.dumps(value))


def _index_outside(sample, _):
    index = np.load(sample)
    if index.dtype.names is None:
        index = np.zeros((1, 6))  # of detections, which hold no names: a box without a side
        index[0] = (5, 5, 1, 1, 0.5, 0)
    else:
        index["name"][0] = b"../e.j"
    np.save(sample, index)
