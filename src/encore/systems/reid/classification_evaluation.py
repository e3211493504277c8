"""Top-1 accuracy over a validation root of the training layout (spec reid 5.3: named by the published code,
which has none; this is our own)."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from encore.runtime.refusal import Refusal
from encore.systems.reid.features import extract_raw


def evaluate(net, pictures, classes, how):
    """{"accuracy", "pictures", "classes"}: share of the pictures, in [0, 1], whose class has the largest
    logit, by the mean over the network's classifiers; pictures and classes with pictures counted.

    net: a ReidNetwork with classifiers. pictures: TrainingPictures, whose classes go by name. classes: the
    names that the network was trained on, in the order of its labels. how: Extraction. Refusal for a class
    that the network does not know, and for a network of another number of classes or without classifiers.
    """
    if getattr(net, "classes", None) != len(classes):
        raise Refusal(
            "classification: expected a network with classifiers of {} classes, found {}: a network of "
            "triplets alone has none".format(len(classes), getattr(net, "classes", None))
        )
    labels = labels_by_name(pictures, classes)
    logits = extract_raw(_MeanLogits(net), pictures, how, "validation pictures")
    right = logits.argmax(axis=1) == labels
    return {"accuracy": float(right.mean()), "pictures": len(labels), "classes": len(np.unique(labels))}


def labels_by_name(pictures, classes):
    """int64 (n,): the place of each picture's class in `classes`; Refusal for one that is not there."""
    places = {name: number for number, name in enumerate(classes)}
    used = np.unique(pictures.labels)
    strange = [pictures.classes[label] for label in used if pictures.classes[label] not in places]
    if strange:
        raise Refusal(
            "{}: {} of {} classes are none that the network was trained on, the first is {}: validate on "
            "classes of the training set".format(pictures.spec, len(strange), len(used), strange[0])
        )
    numbers = np.array([places.get(name, -1) for name in pictures.classes], np.int64)
    return numbers[pictures.labels]


class _MeanLogits(nn.Module):
    """Images -> the mean of the logits of all classifiers, float (n, classes)."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        return torch.stack(self.net.outputs(images).logits).mean(dim=0)
