"""Labels of a training set, as the published loader numbers them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from encore.runtime.refusal import Refusal


class LabelledOrder(NamedTuple):
    """The training set in the published order: position -> item of the data set, and position -> label."""

    items: np.ndarray
    """int64 (n,): index into the given names, so that names[items] is sorted."""
    labels: np.ndarray
    """int64 (n,): label of each position, 0 ... classes - 1."""
    classes: int


def class_number(name):
    """Class of a file name `<class>_<copy>.jpg`: the integer before the first underscore; Refusal without
    one."""
    number = name.split("_", 1)[0]
    if not (number.isdigit() and "_" in name):
        raise Refusal(
            "expected image names like 17_3.jpg (class, underscore, copy), found %r: "
            "leave it out of the training set or rename it" % name
        )
    return int(number)


def label_by_first_appearance(names):
    """Image names (list of str, n) -> LabelledOrder.

    Published quirk, kept: names are sorted as strings and classes numbered by first appearance, so class
    10000 gets label 1 and class 1 label 10000, and copy 10 comes before copy 2 (ISC 2021 Track 1, section
    1.7).
    """
    items = sorted(range(len(names)), key=names.__getitem__)
    label_of_class = {}
    labels = [label_of_class.setdefault(class_number(names[item]), len(label_of_class)) for item in items]
    return LabelledOrder(np.asarray(items, np.int64), np.asarray(labels, np.int64), len(label_of_class))
