import numpy as np
import pytest

from encore.runtime.refusal import Refusal
from encore.search import pca_whitening
from encore.search.pca_whitening import apply_pca, train_pca
from tests.encore.search.cut_set import CutSet
from tests.golden_files import golden

CASES = {"tall": 24, "wide": 40}  # 64 from 300 vectors; 256 from 120: fewer vectors than entries


def normalised(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def with_signs_of(vectors, expected):
    return vectors * np.sign((vectors * expected).sum(axis=0))


@pytest.mark.parametrize("case", sorted(CASES))
def test_the_published_library_gives_the_same_up_to_signs(case):
    with np.load(str(golden("isc/pca.npz"))) as stored:
        train, query, before, out, eigenvalues = (
            stored[case + "/" + name] for name in ("train", "query", "before_l2", "out", "eigenvalues")
        )
    pca = train_pca(train, CASES[case])
    white = apply_pca(pca, query)
    assert white.dtype == np.float32 and white.shape == out.shape
    assert np.abs(with_signs_of(white, before) - before).max() < 1e-3
    assert np.abs(with_signs_of(normalised(white), out) - out).max() < 1e-3
    assert np.allclose(pca.eigenvalues[: CASES[case]], eigenvalues, rtol=1e-4)
    assert pca.axes.shape == (min(train.shape), train.shape[1])


def test_a_worked_example():
    # mean (2, 1); centred (2, 0), (-2, 0), (0, 1), (0, -1): scatter diag(8, 2), eigenvalues 8 and 2.
    # y = ((x - 2) / sqrt(8), (y - 1) / sqrt(2))
    pca = train_pca([[4, 1], [0, 1], [2, 2], [2, 0]], 2)
    assert pca.mean.tolist() == [2, 1] and pca.eigenvalues.tolist() == pytest.approx([8, 2])
    assert apply_pca(pca, [[6, 4]])[0].tolist() == pytest.approx([4 / 8**0.5, 3 / 2**0.5])
    plain = train_pca([[4, 1], [0, 1], [2, 2], [2, 0]], 2, eigen_power=0.0)
    assert apply_pca(plain, [[6, 4]])[0].tolist() == pytest.approx([4, 3])


@pytest.mark.parametrize("count", [200, 20])
def test_whitened_training_vectors_have_the_unit_scatter_matrix(count):
    rng = np.random.RandomState(0)
    vectors = (rng.standard_normal((count, 30)) * np.linspace(1, 5, 30) + 3).astype(np.float32)
    white = apply_pca(train_pca(vectors, 12), vectors).astype(np.float64)
    assert np.abs(white.mean(axis=0)).max() < 1e-5
    assert np.abs(white.T.dot(white) - np.eye(12)).max() < 1e-4  # not divided by the number of vectors


def test_both_ways_to_the_axes_agree():
    vectors = np.random.RandomState(1).standard_normal((12, 12)).astype(np.float32)
    mean, rows = vectors.mean(axis=0, dtype=np.float64), CutSet(vectors, 5)
    values, axes = pca_whitening._from_scatter(rows, mean)
    others, other_axes = pca_whitening._from_products(rows, mean)
    assert np.allclose(values, others, atol=1e-9)
    assert np.abs(np.abs((axes[:11] * other_axes[:11]).sum(axis=1)) - 1).max() < 1e-9


def test_signs_are_fixed_and_blocks_change_nothing(monkeypatch):
    vectors = np.random.RandomState(2).standard_normal((50, 8)).astype(np.float32)
    pca = train_pca(vectors, 4)
    assert (pca.axes.max(axis=1) == np.abs(pca.axes).max(axis=1)).all()
    monkeypatch.setattr(pca_whitening, "BLOCK", 7)
    assert np.allclose(train_pca(vectors, 4).matrix, pca.matrix, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("count", [2500, 20])
def test_a_set_gives_the_same_bits_and_is_read_in_blocks(count):
    vectors = (np.random.RandomState(5).standard_normal((count, 30)) + 0.1).astype(np.float32)
    rows = CutSet(vectors, 300)
    pca, of_set = train_pca(vectors, 10), train_pca(rows, 10)
    for name in ("mean", "eigenvalues", "axes", "matrix", "offset"):
        assert np.array_equal(getattr(pca, name), getattr(of_set, name)), name
    assert np.array_equal(pca.mean, vectors.mean(axis=0, dtype=np.float64).astype(np.float32))
    assert rows.largest_read == min(count, pca_whitening.BLOCK)
    vectors[[count - 3, count - 1], 4] = np.inf, -np.inf
    with pytest.raises(Refusal, match=r"NaN or infinity in row {} \(2 rows in all\)".format(count - 3)):
        train_pca(CutSet(vectors, 300), 10)


def test_bad_training_vectors_are_refused():
    vectors = np.random.RandomState(3).standard_normal((10, 6)).astype(np.float32)
    with pytest.raises(Refusal, match=r"as many training pictures as dimensions \(5\), found 4"):
        train_pca(vectors[:4], 5)
    with pytest.raises(Refusal, match="1 to 6 dimensions.*found 7"):
        train_pca(vectors, 7)
    with pytest.raises(Refusal, match=r"span at least 3 dimensions, found 2 \(6 pictures\)"):
        train_pca(np.concatenate([vectors[:3]] * 2), 3)
    with pytest.raises(Refusal, match="span at least 4 dimensions, found 3"):
        train_pca(vectors[:4], 4)  # four points span three dimensions about their mean
    with pytest.raises(Refusal, match="span at least 1 dimensions, found 0"):
        train_pca(np.ones((3, 2)), 1)
    vectors[7, 1] = np.nan
    with pytest.raises(Refusal, match=r"NaN or infinity in row 7 \(T7\.jpg\) \(1 rows in all\)"):
        train_pca(vectors, 3, names=["T{}.jpg".format(row) for row in range(10)])
    with pytest.raises(Refusal, match=r"NaN or infinity in row 7 \(1 rows"):
        train_pca(vectors, 3)


def test_vectors_of_another_width_are_refused():
    pca = train_pca(np.random.RandomState(4).standard_normal((10, 6)), 3)
    with pytest.raises(Refusal, match=r"width 6, on which the PCA was trained, found shape \(2, 5\)"):
        apply_pca(pca, np.zeros((2, 5)))
