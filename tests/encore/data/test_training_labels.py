"""Labels in string order against those of the published loader."""

import hashlib
import json

import numpy as np
import pytest

from encore.data.labels import class_number, label_by_first_appearance
from encore.runtime.refusal import Refusal
from tests.golden_files import golden


def test_by_hand():
    # string order: 0_0, 10_0, 10_1, 1_0, 9_0, since "0" sorts before "_"
    order = label_by_first_appearance(["9_0.jpg", "1_0.jpg", "10_1.jpg", "10_0.jpg", "0_0.jpg"])
    assert order.items.tolist() == [4, 3, 2, 1, 0]
    assert order.labels.tolist() == [0, 1, 1, 2, 3] and order.classes == 4


def test_files_of_the_published_loader():
    small = json.loads(golden("isc/labels.json").read_text())["small"]
    names = ["%d_%d.jpg" % (number, copy) for number in reversed(small["ids"]) for copy in range(20)]
    order = label_by_first_appearance(names)
    found = [[names[item], label] for item, label in zip(order.items, order.labels.tolist())]
    assert found == [[name, label] for name, label, _ in small["files"]]
    assert order.classes == small["classes"]


def test_all_hundred_thousand_labels_of_the_published_loader():
    full = json.loads(golden("isc/labels.json").read_text())["full"]
    order = label_by_first_appearance(["%d_0.jpg" % number for number in range(full["classes"])])
    by_id = np.empty(full["classes"], np.int32)
    by_id[order.items] = order.labels
    assert [[number, by_id[number]] for number in range(0, full["classes"], 97)] == full["every_97th"]
    assert hashlib.sha256(by_id.tobytes()).hexdigest() == full["sha256_int32_by_id"]


@pytest.mark.parametrize("name", ["a_1.jpg", "17.jpg", "_3.jpg", "-1_0.jpg"])
def test_other_names_are_refused(name):
    with pytest.raises(Refusal, match="class, underscore, copy"):
        class_number(name)
