"""Whether evidence that a stage wrote gives the numbers of its metric file again; evidence of any numbers."""

import json
import os

from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.metrics.evidence.loss_curves import LossCurves
from encore.metrics.evidence.reading import read_evidence
from tests.evidence_keys import not_given


def measured_again(name, folder="."):
    """The names of the numbers that evidence/`name`.npz gives, below the size `folder`, once all of them are
    those of metrics/`name`.json, and no key is missing that claims may read of it."""
    with open(os.path.join(str(folder), "metrics", name + ".json"), encoding="utf-8") as file:
        metrics = json.load(file)
    found = read_evidence(os.path.join(str(folder), "evidence", name + ".npz")).measure()
    assert found and {key: metrics.get(key) for key in found} == found
    assert not_given(name, found) == []
    return set(found)


def write_numbers(path, numbers):
    """An evidence file that gives {key: float}."""
    reported = {key: (key, 0) for key in numbers}
    EvidenceFile(LossCurves({key: [value] for key, value in numbers.items()}, reported)).write(str(path))
