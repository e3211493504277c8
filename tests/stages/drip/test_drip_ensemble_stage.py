"""The stage that puts the descriptors of several stages together: files, metrics, refusals."""

import json
import sys

import numpy as np
import pytest
import yaml

from encore.data.descriptors import Submission
from encore.metrics.predictions import write_ground_truth
from encore.runtime.refusal import Refusal
from encore.systems.drip.descriptors_file import TRAINING, open_descriptors, write_descriptors
from encore.systems.drip.ensemble import V8, make_ensemble
from encore.systems.drip.evaluation import evaluate_descriptors
from encore.systems.drip.picture_folders import FOLDER
from encore.systems.drip.resized_copies import GROUND_TRUTH
from encore.systems.drip.training_neighbours import TrainingNormalisation
from stages.drip import ensemble
from tests.measured_again import measured_again

MODELS = {"small": 12, "large": 8}
QUERIES, REFERENCES, PICTURES = 30, 60, 90
SECTION = {
    "models": ["large", "small"],
    "version": "V9",
    "dimensions": 6,
    "normalisation": {"neighbours": 9, "factor": 1.8, "similar": 3, "norms_over": "neighbours"},
}


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def ids(letter, count):
    return ["{}{:05d}".format(letter, number) for number in range(count)]


def descriptors(number, width):
    """Submissions of a model against references and against training pictures; the first 20 queries are noisy
    copies of the references of their number."""
    draws = np.random.RandomState(number)
    reference, training = (draws.standard_normal((count, width)) + 0.5 for count in (REFERENCES, PICTURES))
    query = np.concatenate([reference[:20], draws.standard_normal((10, width)) + 0.5])
    query = unit(query + 0.6 * draws.standard_normal(query.shape))
    return [
        Submission(query, unit(side), ids("Q", QUERIES), ids(letter, len(side)))
        for side, letter in ((reference, "R"), (training, "T"))
    ]


@pytest.fixture()
def size(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ensemble"])
    for number, (name, width) in enumerate(MODELS.items()):
        folder = tmp_path / "descriptors/drip" / name
        folder.mkdir(parents=True)
        of_references, of_training = descriptors(number, width)
        write_descriptors(folder / "last_160x160_REF.h5", of_references)
        write_descriptors(folder / "last_160x160_TRN.h5", of_training, TRAINING)
    truth = tmp_path / "data/drip/pictures/public_ground_truth.csv"
    truth.parent.mkdir(parents=True)
    write_ground_truth(truth, ids("Q", 25), ids("R", 20) + [""] * 5)
    choose(tmp_path)
    return tmp_path


def choose(size, **changes):
    section = dict(SECTION, **changes)
    (size / "params.yaml").write_text(yaml.safe_dump({"drip": {"ensemble": section}}))


def metrics(size):
    return json.loads((size / "metrics/drip/ensemble.json").read_text())


def files(size):
    return sorted(path.name for path in (size / "submission/drip").iterdir())


def test_the_submissions_are_the_ensemble_and_the_ensemble_moved(size, capsys):
    ensemble.main()
    assert files(size) == ["submission_V9.h5", "submission_V9_NORM.h5"]
    models, training = zip(*(descriptors(number, width) for number, width in ((1, 8), (0, 12))))
    made = make_ensemble(models, training, dimensions=6)
    plain = open_descriptors("submission/drip/submission_V9.h5")
    moved = open_descriptors("submission/drip/submission_V9_NORM.h5")
    assert np.array_equal(plain.query, made.descriptors.query)
    assert np.array_equal(plain.reference.read(0, REFERENCES), made.descriptors.reference)
    assert np.array_equal(moved.reference.read(0, REFERENCES), made.descriptors.reference)
    normalisation = TrainingNormalisation(9, 1.8, 3)
    assert np.array_equal(moved.query, normalisation.normalised(made.descriptors.query, made.training))
    assert plain.query_ids == moved.query_ids == ids("Q", QUERIES)
    found, truth = metrics(size), "data/drip/pictures/public_ground_truth.csv"
    values = [evaluate_descriptors(made, truth) for made in (plain, moved)]
    keys = {"average_precision", "recall_p90"}
    assert measured_again("drip/ensemble") == keys | {"normalised_" + key for key in keys}
    assert [value.json() for value in values] == capsys.readouterr().out.splitlines()
    singles = [evaluate_descriptors(model, truth) for model in models]
    best = max(singles, key=lambda value: value.average_precision)
    assert 0 < min(value.average_precision for value in singles) < best.average_precision < 1
    assert found == {
        "average_precision": values[0].average_precision,
        "recall_p90": values[0].recall_p90,
        "normalised_average_precision": values[1].average_precision,
        "normalised_recall_p90": values[1].recall_p90,
        "single_average_precision": best.average_precision,
        "single_recall_p90": best.recall_p90,
        "ensemble_gain": values[0].average_precision - best.average_precision,
        "normalisation_gain": values[1].average_precision - values[0].average_precision,
        "models": 2,
        "width": 20,
        "dimensions": 6,
        "queries": QUERIES,
        "references": REFERENCES,
        "training": PICTURES,
    }
    record = json.loads((size / "fingerprints/drip/ensemble.json").read_text())
    assert record["parameters"]["models"] == ["large", "small"]


def test_v8_without_normalisation_reads_no_training_descriptors(size):
    for path in (size / "descriptors").rglob("*_TRN.h5"):
        path.unlink()
    choose(size, version="V8", normalisation=None)
    ensemble.main()
    assert files(size) == ["submission_V8.h5"]
    models = [descriptors(number, width)[0] for number, width in ((1, 8), (0, 12))]
    made = make_ensemble(models, version=V8, dimensions=6).descriptors
    assert np.array_equal(open_descriptors("submission/drip/submission_V8.h5").query, made.query)
    assert not {"training", "normalisation_gain", "normalised_recall_p90"} & set(metrics(size))
    choose(size, version="V8")
    with pytest.raises(Refusal, match=r"expected one file \*_TRN.h5, found \[\]"):
        ensemble.main()


def test_the_ground_truth_is_that_of_the_pictures():
    assert ensemble.EnsembleParameters(("small",)).ground_truth == "{}/{}".format(FOLDER, GROUND_TRUTH)


def test_another_version_leaves_none_of_the_first(size):
    ensemble.main()
    choose(size, version="V8")
    ensemble.main()
    assert files(size) == ["submission_V8.h5", "submission_V8_NORM.h5"]


def test_what_is_missing_or_double_is_refused_by_name(size):
    copy = size / "descriptors/drip/small/last_48x48_REF.h5"
    copy.write_bytes(b"")
    with pytest.raises(Refusal, match="drip/small: expected one file .*REF.h5, found .*160x160.*48x48"):
        ensemble.main()
    copy.unlink()
    choose(size, models=["small", "small"])
    with pytest.raises(Refusal, match="drip.ensemble: models: expected .*each once"):
        ensemble.main()
    choose(size, models=["small", "gone"])
    with pytest.raises(Refusal, match="descriptors/drip/gone: missing"):
        ensemble.main()
    choose(size, version="V7")
    with pytest.raises(Refusal, match="drip.ensemble.version: expected one of V8, V9"):
        ensemble.main()
    choose(size, dimensions=21)
    with pytest.raises(Refusal, match="1 to 20 dimensions"):
        ensemble.main()
    choose(size)
    (size / "data/drip/pictures/public_ground_truth.csv").unlink()
    with pytest.raises(Refusal, match="public_ground_truth.csv: missing"):
        ensemble.main()
    assert not (size / "submission").exists()
