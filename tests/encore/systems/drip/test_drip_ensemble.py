from dataclasses import replace

import numpy as np
import pytest

from encore.data.descriptors import Submission
from encore.runtime.refusal import Refusal
from encore.search import pca_whitening
from encore.search.nearest import nearest
from encore.systems.drip import ensemble
from encore.systems.drip.descriptors_file import TRAINING, open_descriptors, write_descriptors
from encore.systems.drip.ensemble import (
    PUBLISHED_MODELS,
    V8,
    V9,
    EnsembleVersion,
    SideBySide,
    make_ensemble,
    whitened,
)
from encore.systems.drip.training_neighbours import PUBLISHED
from tests.encore.search.cut_set import CutSet
from tests.encore.systems.drip.eval_golden import arrays, pca_blocks, sections

NEAR_TIE = 35
"""Query whose 100th and 101st training neighbours are equally near."""


def names(letter, count):
    return ["{}{:06d}".format(letter, number) for number in range(count)]


def submission(query, reference, letter="R"):
    return Submission(query, reference, names("Q", len(query)), names(letter, len(reference)))


def small_models(widths=(6, 5, 4), letter="R", count=60, seed=0):
    rng = np.random.RandomState(seed)
    made = []
    for width in widths:
        sides = [rng.standard_normal((rows, width)).astype(np.float32) + 0.2 for rows in (8, count)]
        made.append(
            submission(*(side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides), letter)
        )
    return made


@pytest.fixture(scope="module")
def published_ensemble():
    counts = {"qry": 40, "ref": 3000, "trn": 1200}
    blocks = {tag: pca_blocks(tag, count) for tag, count in counts.items()}
    models = [submission(*pair) for pair in zip(blocks["qry"], blocks["ref"])]
    training = [submission(*pair, letter="T") for pair in zip(blocks["qry"], blocks["trn"])]
    return make_ensemble(models, training, V8)


def test_the_published_code_gives_the_same_ensemble_up_to_signs(published_ensemble):
    stored, facts = arrays(), sections()["pca"]
    made = published_ensemble
    values = made.pca.eigenvalues
    assert np.allclose(values[:16], facts["eigenvalues_first16"], rtol=1e-5)
    assert values[255:257] == pytest.approx([facts["eigenvalue_256"], facts["eigenvalue_257"]], rel=1e-5)
    query, reference = made.descriptors.query, made.descriptors.reference
    assert np.abs(query.dot(reference[:50].T) - stored["gram_qry_ref50"]).max() < 2e-5  # tolerance 1e-3
    signs = np.sign((query * stored["pca_qry"]).sum(axis=0))
    for rows, name in (
        (query, "pca_qry"),
        (reference[:50], "pca_ref_first50"),
        (made.training[:20], "pca_trn_first20"),
    ):
        assert rows.dtype == np.float32
        assert np.abs(rows * signs - stored[name]).max() < 1e-4
    norms = np.linalg.norm(reference[:4], axis=1)
    assert norms == pytest.approx(facts["norms_after"], abs=1e-6)


def test_the_neighbours_are_the_published_ones_up_to_rounding(published_ensemble):
    stored, made = arrays(), published_ensemble
    query, training = made.descriptors.query, made.training
    score, index = nearest(query, training, 100, "squared_l2")
    assert np.abs(1 + score[:, :3] / 2 - stored["top3_cos"]).max() < 1e-5
    others = [
        (row, sorted(set(ours) ^ set(theirs)))
        for row, (ours, theirs) in enumerate(zip(index.tolist(), stored["top100_idx"].tolist()))
        if set(ours) != set(theirs)
    ]
    # ranks 100 and 101 of this query are 1e-6 apart, less than float32 covariances and distances resolve
    assert others == [(NEAR_TIE, [339, 525])]
    apart = ((query[NEAR_TIE].astype(np.float64) - training[[339, 525]]) ** 2).sum(axis=1)
    assert abs(apart[0] - apart[1]) < 2e-6


def test_the_published_code_moves_its_queries_alike(published_ensemble):
    stored, made = arrays(), published_ensemble
    query = made.descriptors.query
    signs = np.sign((query * stored["pca_qry"]).sum(axis=0))
    moved = PUBLISHED.normalised(query, made.training)
    # the query of the near tie: among the published neighbours alone
    neighbours = made.training[stored["top100_idx"][NEAR_TIE]]
    moved[NEAR_TIE] = PUBLISHED.normalised(query[NEAR_TIE, None], neighbours)[0]
    assert np.abs(moved * signs - stored["trn_norm_qry"]).max() < 1e-4
    gram = moved.dot(made.descriptors.reference[:50].T)
    assert np.abs(gram - stored["gram_norm_ref50"]).max() < 2e-5
    lengths = np.linalg.norm(moved, axis=1)
    assert lengths == pytest.approx(sections()["pca"]["norm_qry_norms"], abs=1e-5)


@pytest.mark.parametrize("version", [V8, V9])
def test_whitening_against_the_covariance_itself(version):
    # whitened, before the length is made 1: rows X V / sqrt(lambda); with all 15 dimensions kept, products of
    # centred rows are x^T S^-1 y for the scatter matrix S, whatever the signs
    models, training = small_models(), small_models(letter="T", count=90, seed=1)
    made = make_ensemble(models, training, version, 15)
    flat = {
        side: np.concatenate([getattr(file, side) for file in models], axis=1).astype(np.float64)
        for side in ("query", "reference")
    }
    flat["training"] = np.concatenate([file.reference for file in training], axis=1).astype(np.float64)
    learned = flat[version.trained_on]
    centre = learned.mean(axis=0)
    inverse = np.linalg.inv((learned - centre).T.dot(learned - centre))

    def cosines(left, right):
        left, right = left - centre, right - centre
        lengths = [np.sqrt(np.einsum("ij,jk,ik->i", rows, inverse, rows)) for rows in (left, right)]
        return left.dot(inverse).dot(right.T) / np.outer(*lengths)

    query, reference = made.descriptors.query, made.descriptors.reference
    assert np.abs(query.dot(reference.T) - cosines(flat["query"], flat["reference"])).max() < 1e-4
    assert np.abs(query.dot(made.training.T) - cosines(flat["query"], flat["training"])).max() < 1e-4
    assert np.abs(np.linalg.norm(query, axis=1) - 1).max() < 1e-6
    ids = made.descriptors.query_ids, made.descriptors.reference_ids
    assert ids == (models[0].query_ids, models[0].reference_ids)


def test_published_versions():
    assert V8.trained_on == "reference" and V9.trained_on == "training"
    assert sum(width for _, width in PUBLISHED_MODELS) == 2816 and ensemble.DIMENSIONS == 256
    assert V8.file_name() == "submission_V8.h5" and V8.file_name(True) == "submission_V8_NORM.h5"
    assert V9.file_name(phase=2) == "submission_V9_P2.h5"
    assert V9.file_name(True, phase=2) == "submission_V9_NORM_P2.h5"


def test_from_files_to_a_submission_file(tmp_path, monkeypatch):
    monkeypatch.setattr(ensemble, "BLOCK", 16)
    models, training = small_models(), small_models(letter="T", count=90, seed=1)
    for number, files in enumerate(zip(models, training)):
        write_descriptors(tmp_path / "{}_REF.h5".format(number), files[0])
        write_descriptors(tmp_path / "{}_TRN.h5".format(number), files[1], TRAINING)
    made = make_ensemble(
        [open_descriptors(tmp_path / "{}_REF.h5".format(number)) for number in range(3)],
        [open_descriptors(tmp_path / "{}_TRN.h5".format(number), TRAINING) for number in range(3)],
        dimensions=7,
    )
    in_memory = make_ensemble(models, training, dimensions=7)
    assert made.descriptors.reference.shape == (60, 7)
    assert np.abs(made.descriptors.reference - in_memory.descriptors.reference).max() < 1e-6
    path = tmp_path / V9.file_name()
    write_descriptors(path, made.descriptors)
    assert np.array_equal(open_descriptors(path).query, made.descriptors.query)


def test_no_side_is_read_as_a_whole(monkeypatch):
    for module in (ensemble, pca_whitening):
        monkeypatch.setattr(module, "BLOCK", 16)
    models, training = small_models(), small_models(letter="T", count=90, seed=1)
    whole = make_ensemble(models, training, dimensions=7)
    sets = [CutSet(file.reference, 13) for file in models + training]
    cut = [replace(file, reference=rows) for file, rows in zip(models + training, sets)]
    made = make_ensemble(cut[:3], cut[3:], dimensions=7)
    assert np.array_equal(made.descriptors.reference, whole.descriptors.reference)
    assert np.array_equal(made.training, whole.training)
    assert {rows.largest_read for rows in sets} == {16}


def test_sets_side_by_side():
    left, right = np.arange(12, dtype=np.float32).reshape(4, 3), np.ones((4, 2), np.float32)
    rows = SideBySide([CutSet(left, 3), right], "reference")
    assert rows.shape == (4, 5)
    assert rows.read(1, 3).tolist() == [[3, 4, 5, 1, 1], [6, 7, 8, 1, 1]]


def test_whitened_takes_tables_and_sets():
    models = small_models()
    pca = make_ensemble(models, version=V8, dimensions=5).pca
    table = np.concatenate([model.query for model in models], axis=1)
    rows = SideBySide([model.query for model in models], "query")
    assert np.array_equal(whitened(pca, table), whitened(pca, rows))


def test_references_alone_are_enough_for_v8():
    made = make_ensemble(small_models(), version=V8, dimensions=5)
    assert made.training is None and made.descriptors.query.shape == (8, 5)


def test_refusals():
    models = small_models()
    with pytest.raises(Refusal, match="on which the PCA of V9 is trained, found none"):
        make_ensemble(models)
    with pytest.raises(Refusal, match="one model at least"):
        make_ensemble([], version=V8)
    other = models[2]
    swapped = Submission(other.query, other.reference, other.query_ids[::-1], other.reference_ids)
    with pytest.raises(Refusal, match="the same query_ids .* found others of model 3"):
        make_ensemble(models[:2] + [swapped], version=V8)
    with pytest.raises(Refusal, match=r"found widths \[6, 5, 4\] and \[6, 4, 5\]"):
        make_ensemble(models, small_models((6, 4, 5), "T"))
    with pytest.raises(Refusal, match=r"as many reference descriptors of every model .* \[60, 59\]"):
        SideBySide([models[0].reference, models[1].reference[:59]], "reference")
    with pytest.raises(KeyError):
        make_ensemble(models, version=EnsembleVersion("V7", "queries"))
