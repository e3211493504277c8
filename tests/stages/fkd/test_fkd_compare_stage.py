"""The stage that compares the student of synthetic pictures with that of random real ones."""

import json
import sys

import pytest

from encore.runtime.refusal import Refusal
from stages.fkd import compare
from tests.measured_again import measured_again, write_numbers

PARAMETERS = """
fkd:
  baselines: {random: {student: small, images: real, validation: real, images_per_class: 10}}
"""


@pytest.fixture()
def size(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["compare"])
    (tmp_path / "params.yaml").write_text(PARAMETERS)
    made = ("train/small", 96.5, 99.0), ("train/other", 1.0, 1.0), ("baseline/random", 95.0, 99.5)
    for place, top1, top5 in made:
        path = tmp_path / "metrics" / "fkd" / (place + ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"top1": top1, "top5": top5}))
        write_numbers(tmp_path / "evidence" / "fkd" / (place + ".npz"), {"top1": top1, "top5": top5})
    return tmp_path


def test_the_gain_is_that_of_the_student_that_the_baseline_trained(size):
    compare.main()
    found = json.loads((size / "metrics/fkd/compare.json").read_text())
    assert found == {"top1_gain": 1.5, "top5_gain": -0.5}
    assert measured_again("fkd/compare") == set(found)


def test_a_student_that_was_not_trained_is_named(size):
    (size / "metrics/fkd/train/small.json").unlink()
    with pytest.raises(Refusal, match="metrics/fkd/train/small.json: missing"):
        compare.main()
