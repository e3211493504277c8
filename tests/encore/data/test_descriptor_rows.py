import os

import h5py
import numpy as np
import pytest

from encore.data.descriptor_rows import DescriptorRows
from encore.data.descriptors import chunk_path, read_descriptors, write_descriptors
from encore.runtime.refusal import Refusal


def vectors(count, width=4, seed=0):
    found = np.random.RandomState(seed).standard_normal((count, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def write(folder, sizes, found=None):
    """Chunk files of `sizes` rows; returns (pattern, vectors)."""
    found = vectors(sum(sizes)) if found is None else found
    names = ["pictures/Q{:03d}_{}.jpg".format(row // 3, row % 3) for row in range(len(found))]
    pattern = os.path.join(str(folder), "query_byol_VD_50k.hdf5")
    first = 0
    for chunk, size in enumerate(sizes):
        rows = slice(first, first + size)
        write_descriptors(chunk_path(pattern, chunk), found[rows], names[rows])
        first += size
    return pattern, found


def spoil(pattern, chunk, row, value):
    with h5py.File(chunk_path(pattern, chunk), "r+") as store:
        store["vectors"][row] = value


def test_any_rows_of_all_files_are_read(tmp_path):
    pattern, found = write(tmp_path, (5, 1, 4))
    rows = DescriptorRows(pattern)
    assert rows.shape == (10, 4)
    assert rows.ids.tolist()[:4] == [b"Q000_0", b"Q000_1", b"Q000_2", b"Q001_0"]
    for first in range(11):
        for last in range(first, 11):
            read = rows.read(first, last)
            assert read.dtype == np.float32 and np.array_equal(read, found[first:last])
    assert [name.decode("ascii") for name in rows.ids] == read_descriptors(rows.paths)[0]


def test_a_missing_chunk_is_refused_by_name(tmp_path):
    pattern, _ = write(tmp_path, (2, 2, 2))
    os.unlink(chunk_path(pattern, 1))
    with pytest.raises(Refusal, match="query_1_byol_VD_50k.hdf5: missing"):
        DescriptorRows(pattern)
    with pytest.raises(Refusal, match="train_0_byol.hdf5: missing"):
        DescriptorRows(os.path.join(str(tmp_path), "train_byol.hdf5"))


def test_another_width_is_refused_by_file(tmp_path):
    pattern, _ = write(tmp_path, (2, 2))
    write_descriptors(chunk_path(pattern, 1), vectors(2, width=5), ["a", "b"])
    with pytest.raises(Refusal, match=r"width 4, found 5 in .*query_1_byol"):
        DescriptorRows(pattern)


@pytest.mark.parametrize("value, message", [(np.nan, "NaN or infinity"), (2.0, "length 4.000000")])
def test_bad_rows_are_refused_by_file_and_row_when_they_are_read(tmp_path, value, message):
    pattern, found = write(tmp_path, (3, 4))
    spoil(pattern, 1, 2, value)
    rows = DescriptorRows(pattern)
    assert np.array_equal(rows.read(0, 5), found[:5])
    for first in (0, 4, 5):
        with pytest.raises(Refusal, match="{} in .*query_1_byol_VD_50k.hdf5 row 2".format(message)):
            rows.read(first, 7)
    rows.read(0, 5)


def test_an_id_that_comes_twice_is_refused_with_both_places(tmp_path):
    pattern, found = write(tmp_path, (3, 2))
    write_descriptors(chunk_path(pattern, 1), found[:2], ["other/Q009_0.jpg", "other/Q000_1.jpg"])
    with pytest.raises(Refusal, match=r"found Q000_1 in .*query_1\S* row 1 and before in .*query_0\S* row 1"):
        DescriptorRows(pattern)


def test_names_that_do_not_fit_are_refused(tmp_path):
    pattern, _ = write(tmp_path, (3,))
    with h5py.File(chunk_path(pattern, 0), "r+") as store:
        del store["image_names"]
    with pytest.raises(Refusal, match=r"image_names.*query_0_byol"):
        DescriptorRows(pattern)
    with h5py.File(chunk_path(pattern, 0), "r+") as store:
        store["image_names"] = np.array([b"a", b"b"])
    with pytest.raises(Refusal, match=r"each of the 2 image_names.*query_0_byol"):
        DescriptorRows(pattern)
