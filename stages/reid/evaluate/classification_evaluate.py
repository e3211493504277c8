"""Top-1 accuracy over validation pictures in the layout of the training ones, at evaluation_root.

Classes go by name: classes.json of the run, at sub_working_dir, says what the network was trained on; before
a run has begun, the pictures at batches_dir do.
"""

from __future__ import annotations

import os

from encore.runtime.refusal import Refusal
from encore.systems.reid import classification_evaluation
from encore.systems.reid.classification_evaluation import labels_by_name
from encore.systems.reid.run_folder import CLASSES, classes_of
from encore.systems.reid.training_pictures import open_training_pictures
from stages.reid.evaluate.market_evaluate import extraction, own

BEST_BY = "accuracy"
METRICS = ("accuracy", "pictures", "classes")


def run_eval(config):
    """Accuracy in [0, 1]."""
    return evaluate(config)["accuracy"]


def evaluate(config):
    """accuracy, pictures and classes (`encore.systems.reid.classification_evaluation`); prints a line."""
    metrics = classification_evaluation.evaluate(
        config["online_net"], _pictures(config), _classes(config), extraction(config)
    )
    print("[CLASSIFICATION_EVAL] top1: {:.6f}".format(metrics["accuracy"]), flush=True)
    return metrics


def check(config):
    """Refusal where the pictures are not there, or are of other classes."""
    labels_by_name(_pictures(config), _classes(config))


def _classes(config):
    run = config["sub_working_dir"]
    if os.path.isfile(os.path.join(run, CLASSES)) or not config.get("batches_dir"):
        return classes_of(run)
    return open_training_pictures(config["batches_dir"], own(config, "naming", "market")).classes


def _pictures(config):
    if not config.get("evaluation_root"):
        raise Refusal(
            "encore.evaluation_root: missing: name the validation pictures, in a layout as batches_dir has it"
        )
    return open_training_pictures(config["evaluation_root"], own(config, "naming", "market"))
