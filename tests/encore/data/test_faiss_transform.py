import base64
import dataclasses
import struct

import numpy as np
import pytest

from encore.data.faiss_transform import pca_file_bytes, read_pca, write_pca
from encore.runtime.refusal import Refusal
from encore.search.pca_whitening import apply_pca, train_pca

VECTORS = [[4, 1, 0], [0, 1, 0], [2, 4, 0], [2, -2, 0], [2, 1, 1], [2, 1, -1]]
"""Mean (2, 1, 0), scatter matrix diag(8, 18, 2)."""
# What faiss wrote of PCAMatrix(3, 2, -0.5) trained on VECTORS: version 1.7.1, and 1.11.0 with epsilon 10.
OF_171 = base64.b64decode(
    "UGNBbQAAAL8AAAAAAAMAAAAAAAAAAAAAQAAAgD8AAAAAAwAAAAAAAAAAAJBBAAAAQQAAAEAJAAAAAAAAAAAAAAAAAIA/AAAAAAAA"
    "gD8AAAAAAAAAAAAAAAAAAAAAAACAPwEGAAAAAAAAAAAAAADvW3E+AAAAAPMEtT4AAAAAAAAAAAIAAAAAAAAA71txvvMENb8DAAAA"
    "AgAAAAE="
)
LATER = base64.b64decode(
    "UGNhbQAAAL8AACBBAAAAAAADAAAAAAAAAAAAAEAAAIA/AAAAAAMAAAAAAAAAAACQQQAAAEEAAABACQAAAAAAAAAAAAAAAACAPwAA"
    "AAAAAIA/AAAAAAAAAAAAAAAAAAAAAAAAgD8BBgAAAAAAAAAAAAAAj4RBPgAAAADvW3E+AAAAAAAAAAACAAAAAAAAAI+EQb7vW/G+"
    "AwAAAAIAAAAB"
)


def at(path, content):
    path.write_bytes(content)
    return path


def random_pca(count=40, inputs=9, outputs=4):
    return train_pca(np.random.RandomState(0).standard_normal((count, inputs)), outputs)


def test_a_file_of_version_1_7_1_is_read_and_written_to_the_byte(tmp_path):
    pca = read_pca(at(tmp_path / "published.vt", OF_171))
    # ((4 - 1) / sqrt(18), (6 - 2) / sqrt(8))
    assert apply_pca(pca, [[6, 4, 2]])[0].tolist() == pytest.approx([3 / 18**0.5, 4 / 8**0.5])
    assert pca.mean.tolist() == [2, 1, 0] and pca.eigenvalues.tolist() == [18, 8, 2]
    assert (pca.eigen_power, pca.epsilon, pca.random_rotation, pca.balanced_bins) == (-0.5, 0, False, 0)
    write_pca(tmp_path / "ours.vt", pca)
    assert (tmp_path / "ours.vt").read_bytes() == OF_171
    assert pca_file_bytes(3, 2, 6) == len(OF_171)
    write_pca(tmp_path / "trained.vt", train_pca(VECTORS, 2))
    assert (tmp_path / "trained.vt").read_bytes() == OF_171


def test_the_later_layout_is_read_and_written_to_the_byte(tmp_path):
    pca = read_pca(at(tmp_path / "later.vt", LATER))
    assert pca.epsilon == 10
    # epsilon joins the eigenvalues: ((4 - 1) / sqrt(18 + 10), (6 - 2) / sqrt(8 + 10))
    assert apply_pca(pca, [[6, 4, 2]])[0].tolist() == pytest.approx([3 / 28**0.5, 4 / 18**0.5])
    write_pca(tmp_path / "ours.vt", pca)
    assert (tmp_path / "ours.vt").read_bytes() == LATER


@pytest.mark.parametrize("count", [40, 6])
def test_what_is_written_reads_back(tmp_path, count):
    pca = random_pca(count)
    write_pca(tmp_path / "a.vt", pca)
    read = read_pca(tmp_path / "a.vt")
    for field in dataclasses.fields(pca):
        assert np.array_equal(getattr(read, field.name), getattr(pca, field.name)), field.name
    assert read.digest == pca.digest != random_pca(41).digest
    assert (tmp_path / "a.vt").stat().st_size == pca_file_bytes(9, 4, count)


@pytest.mark.parametrize("count", [40, 6])
def test_faiss_reads_ours_and_we_read_its(tmp_path, count):
    faiss = pytest.importorskip("faiss")
    rng = np.random.RandomState(1)
    train, query = (rng.standard_normal((rows, 9)).astype(np.float32) for rows in (count, 20))
    ours = train_pca(train, 4)
    write_pca(tmp_path / "ours.vt", ours)
    read = faiss.read_VectorTransform(str(tmp_path / "ours.vt"))
    assert np.abs(read.apply(query) - apply_pca(ours, query)).max() < 1e-5

    theirs = faiss.PCAMatrix(9, 4, -0.5)
    theirs.train(train)
    faiss.write_VectorTransform(theirs, str(tmp_path / "theirs.vt"))
    expected = theirs.apply(query)
    assert np.abs(apply_pca(read_pca(tmp_path / "theirs.vt"), query) - expected).max() < 1e-5
    signs = np.sign((apply_pca(ours, query) * expected).sum(axis=0))
    assert np.abs(signs * apply_pca(ours, query) - expected).max() < 1e-3
    sizes = [(tmp_path / name).stat().st_size for name in ("theirs.vt", "ours.vt")]
    assert sizes[0] - sizes[1] in (0, 4)  # later versions write their epsilon


def changed(content, offset, layout, value):
    offset %= len(content)
    return content[:offset] + struct.pack(layout, value) + content[offset + struct.calcsize(layout) :]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "expected 4 more bytes, found 0"),
        (b"IxFI" + OF_171[4:], "starts with PcAm or Pcam, found b'IxFI'"),
        (OF_171[:-1], "expected 9 more bytes, found 8.*cut short"),
        (OF_171 + b"\0", "1 bytes follow"),
        (changed(OF_171, 13, "<Q", 1 << 60), "cut short"),  # a count that no file can hold
        (changed(OF_171, -9, "<i", 4), "3 numbers in the mean do not fit a PCA from 4 to 2"),
        (changed(OF_171, -5, "<i", 3), "6 numbers in the matrix do not fit a PCA from 3 to 3"),
        (changed(OF_171, -9, "<i", 0), "0 inputs do not fit"),
        (changed(OF_171, -1, "<?", False), "was not trained"),
        (changed(OF_171, -13, "<f", float("nan")), "NaN or infinity"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, content, message):
    with pytest.raises(Refusal, match=r"bad\.vt: .*" + message):
        read_pca(at(tmp_path / "bad.vt", content))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(Refusal, match=r"none\.vt: no PCA file that can be read \(No such file"):
        read_pca(tmp_path / "none.vt")
