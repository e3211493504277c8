"""A trained network as teacher of another one; a design of our own, as the published code has none."""

from __future__ import annotations

import os

import torch
import torch.nn.functional as F

from encore.losses.distillation import divergence, softened
from encore.runtime.refusal import Refusal
from encore.systems.reid.network import NetworkShape
from encore.systems.reid.objective import CLASSIFICATION
from encore.systems.reid.params_json import read_params_json
from encore.systems.reid.run_folder import BEST, MODEL, PARAMS
from encore.systems.reid.trained_network import load_trained

MODELS = (BEST, MODEL)
"""Weights of a run folder; the first that is there teaches."""


class Distillation:
    """(images, the student's Outputs) -> a term of the loss, a scalar.

    weight T² KL(softmax(teacher / T) || softmax(student / T)), the teacher's logits averaged over its
    outputs and the divergence over the student's; plus feature_weight times the mean squared difference of
    their features, each joined and scaled to unit length. teacher: a ReidNetwork, which this puts into
    evaluation mode. settings: temperature T, weight, feature_weight. Own design; Hinton et al. 2015 for the
    first term.
    """

    def __init__(self, teacher, settings):
        self.teacher = teacher.eval().requires_grad_(False)
        self.temperature = settings.temperature
        self.weight, self.feature_weight = settings.weight, settings.feature_weight
        if not self.temperature > 0 or min(self.weight, self.feature_weight) < 0:
            raise Refusal(
                "encore.teacher: expected a temperature above 0 and weights of 0 or more, found %s, %s and %s"
                % (self.temperature, self.weight, self.feature_weight)
            )

    def check_student(self, network):
        """Refuse a student that this teacher cannot teach, naming what differs."""
        mine, theirs = self.teacher, network
        if self.weight and (mine.classes is None or mine.classes != theirs.classes):
            raise Refusal(
                "encore.teacher: expected classifiers of the same identities, found %s in the teacher and %s "
                "in the student: take a teacher of the same batches_dir, or set weight to 0"
                % (mine.classes, theirs.classes)
            )
        if self.feature_weight and mine.shape.features != theirs.shape.features:
            raise Refusal(
                "encore.teacher: expected features of one size, found %d in the teacher and %d in the "
                "student: set feature_weight to 0" % (mine.shape.features, theirs.shape.features)
            )

    def __call__(self, images, outputs):
        return self.term(outputs, self.taught(images))

    def taught(self, images):
        """What the teacher says of images: its Outputs."""
        with torch.no_grad():
            return self.teacher.outputs(images)

    def term(self, outputs, taught):
        """The term of the student's Outputs, given the teacher's of the same images."""
        term = (outputs.logits + outputs.features)[0].new_zeros(())
        if self.weight:
            term = term + self.weight * self._logits_term(outputs.logits, taught.logits)
        if self.feature_weight:
            difference = F.mse_loss(_unit(outputs.features), _unit(taught.features))
            term = term + self.feature_weight * difference
        return term

    def _logits_term(self, student, teacher):
        probabilities = softened(torch.stack(teacher).mean(0), self.temperature)
        terms = [divergence(logits, probabilities, self.temperature, squared=True) for logits in student]
        return torch.stack(terms).mean()


def load_teacher(folder, classes):
    """The network of a finished run as a ReidNetwork on the CPU, in evaluation mode.

    folder: with params.json and model_best.pth, or else model.pth. classes: identities of the student's
    data. Refusal where one is missing, or lacks a tensor.
    """
    found = [path for path in (os.path.join(folder, name) for name in MODELS) if os.path.isfile(path)]
    if not found or not os.path.isfile(os.path.join(folder, PARAMS)):
        raise Refusal(
            "encore.teacher.model: expected the folder of a finished run with %s and %s, found %s: check the "
            "path" % (PARAMS, " or ".join(MODELS), folder)
        )
    params, _ = read_params_json(os.path.join(folder, PARAMS))
    classes = classes if CLASSIFICATION in params.losses else 0
    return load_trained(NetworkShape.of(params), found[0], classes, params.asoftmax_params)


def _unit(features):
    return F.normalize(torch.cat(features, 1), dim=1)
