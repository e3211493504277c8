import json
import os
import struct

import numpy as np
import pytest

from encore.data.safetensors_file import TensorFile, writing
from encore.runtime.refusal import Refusal

ARRAYS = {
    "wide": (np.float64, (3,)),
    "whole": (np.int64, (4, 2)),
    "single": (np.float32, (5, 3)),
    "half": (np.float16, (5, 7)),
    "small": (np.int16, (3,)),
    "flags": (np.bool_, (5,)),
}


def values():
    draws = np.random.RandomState(0)
    return {
        name: draws.uniform(-5, 5, shape).astype(dtype)
        if dtype != np.bool_
        else draws.uniform(size=shape) > 0.5
        for name, (dtype, shape) in ARRAYS.items()
    }


def write(path, metadata=None):
    written = values()
    with writing(path, ARRAYS, metadata or {"epoch": "3"}) as file:
        for name, array in written.items():
            file.put(name, 2, array[2:])  # pieces in any order
            file.put(name, 0, array[:2])
    return written


def test_arrays_come_back_whole_and_in_parts(tmp_path):
    written = write(tmp_path / "a.safetensors", {"what": "Größe"})
    file = TensorFile(tmp_path / "a.safetensors")
    assert file.metadata == {"what": "Größe"}
    assert file.arrays == {name: (np.dtype(dtype), shape) for name, (dtype, shape) in ARRAYS.items()}
    for name, array in written.items():
        read = file.rows(name, 0, len(array))
        assert read.dtype == array.dtype and np.array_equal(read, array)
        assert np.array_equal(file.rows(name, 1, 3), array[1:3])
        assert read.flags.aligned
    assert os.listdir(str(tmp_path)) == ["a.safetensors"]


def test_the_safetensors_package_reads_the_file(tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy")
    written = write(tmp_path / "a.safetensors")
    read = numpy_files.load_file(str(tmp_path / "a.safetensors"))
    assert sorted(read) == sorted(written)
    for name, array in written.items():
        assert read[name].dtype == array.dtype and np.array_equal(read[name], array)


def test_files_of_the_safetensors_package_are_read(tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy")
    written = values()
    numpy_files.save_file(written, str(tmp_path / "a.safetensors"), {"a": "b"})
    file = TensorFile(tmp_path / "a.safetensors")
    assert file.metadata == {"a": "b"}
    for name, array in written.items():
        assert np.array_equal(file.rows(name, 0, len(array)), array)


def test_the_bytes_are_those_of_the_format(tmp_path):
    with writing(tmp_path / "a", {"x": (np.int16, (2,))}, {}) as file:
        file.put("x", 0, np.array([1, -2], np.int16))
    content = (tmp_path / "a").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    assert length % 8 == 0 and content[8:9] == b"{"
    entry = {"dtype": "I16", "shape": [2], "data_offsets": [0, 4]}
    assert json.loads(content[8 : 8 + length].decode()) == {"__metadata__": {}, "x": entry}
    assert content[8 + length :] == b"\x01\x00\xfe\xff"


@pytest.mark.parametrize(
    "rows, message",
    [
        (np.zeros(3, np.int32), "takes int16"),
        (np.zeros((3, 1), np.int16), "takes int16"),
        (np.zeros(4, np.int16), "takes int16"),
        (np.zeros(2, np.int16), "1 rows were not written"),
    ],
)
def test_wrong_or_missing_rows_leave_no_file(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        with writing(tmp_path / "a", {"x": (np.int16, (3,))}, {}) as file:
            file.put("x", 0, rows)
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize("keep", [0, 5, 8, 100, -1, -70])
def test_a_truncated_file_is_refused_by_name(tmp_path, keep):
    path = tmp_path / "a.safetensors"
    write(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(Refusal, match=r"a\.safetensors: .*truncated"):
        TensorFile(path)


def test_a_longer_file_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    write(path)
    with open(str(path), "ab") as file:
        file.write(b"x")
    with pytest.raises(Refusal, match="bytes, found"):
        TensorFile(path)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "I16", "shape": [2], "data_offsets": [0, 5]},
        {"dtype": "I16", "shape": [2], "data_offsets": [1, 5]},
        {"dtype": "I16", "shape": [-2], "data_offsets": [0, -4]},
        {"dtype": "object", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "I16", "shape": [2]},
        {"dtype": "I16", "shape": 2, "data_offsets": [0, 4]},
        {"dtype": "I16", "shape": [2**62, 8], "data_offsets": [0, 0]},
        [],
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path, entry):
    text = json.dumps({"x": entry}).encode()
    (tmp_path / "a").write_bytes(struct.pack("<Q", len(text)) + text + b"1234")
    with pytest.raises(Refusal, match="header of this safetensors file is damaged"):
        TensorFile(tmp_path / "a")


@pytest.mark.parametrize("text", [b"not json", b"[]", b"{}" + b"\xff", b"5     "])
def test_a_header_that_is_no_object_is_refused(tmp_path, text):
    (tmp_path / "a").write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(Refusal, match="header of this safetensors file is damaged"):
        TensorFile(tmp_path / "a")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(Refusal, match="none.safetensors: cannot be read"):
        TensorFile(tmp_path / "none.safetensors")


def test_writing_into_what_was_read_does_not_change_the_file(tmp_path):
    written = write(tmp_path / "a")
    TensorFile(tmp_path / "a").rows("half", 0, 5)[:] = 0
    assert np.array_equal(TensorFile(tmp_path / "a").rows("half", 0, 5), written["half"])
