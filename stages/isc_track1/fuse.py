"""Fuse the lists of all models into the two submissions; measure them, and what each ingredient adds."""

from __future__ import annotations

import os
from collections import OrderedDict

import numpy as np

from encore.metrics.reported import write_curve
from encore.runtime.parameters import read_parameters, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.isc_track1.data_sets import DATA_SETS, PAIR
from encore.systems.isc_track1.evaluation import evaluate_submission
from encore.systems.isc_track1.fuse_parameters import FuseParameters
from encore.systems.isc_track1.fusion import Combination, TrustedQueries
from encore.systems.isc_track1.ladder import ladder, single_models, write_ladder
from encore.systems.isc_track1.penalty import Penalty
from encore.systems.isc_track1.picture_ids import QUERIES, REFERENCES
from encore.systems.isc_track1.submission import SUBMISSION, Fusion, PublishedFiles, fused_models
from encore.systems.isc_track1.test_plan import TestPlan

OUTPUT = "submission/isc_track1"
PLOTS = "plots/isc_track1"
REF = "_ref"


def main():
    arguments = stage_parser(__doc__).parse_args()
    with Stage("isc_track1", "fuse") as stage:
        parameters = stage.parameters(arguments.params, FuseParameters)
        plan = read_parameters(arguments.params, "isc_track1.test", TestPlan)
        work = stage.work_folder(recipe_digest(parameters, plan))
        metrics, curve, steps = fuse(parameters, plan, os.path.join(work, "submission"))
        write_ladder(os.path.join(work, "ladder.csv"), steps)
        write_curve(os.path.join(work, "precision_recall.csv"), curve)
        stage.metrics(metrics)
        for name in ("ladder.csv", "precision_recall.csv"):
            stage.publish(os.path.join(work, name), os.path.join(PLOTS, name))
        stage.publish(os.path.join(work, "submission"), OUTPUT)


def fuse(parameters, plan, folder):
    """(metrics, precision-recall curve, {step of the ladder: value}) of the submissions written to
    `folder`."""
    drop, limit = parameters.drop_unlabelled, parameters.max_results
    trusted = TrustedQueries(parameters.first_query, parameters.query_count, parameters.unpenalised_crops)
    truth = parameters.read_truth(needed(parameters.ground_truth))
    penalty = Penalty(parameters.penalty)
    models = fused_models(plan)
    combination = Combination(read_small(parameters.queries), read_faces(parameters.faces), trusted, penalty)
    files = PublishedFiles(folder, penalty, parameters.intermediate)
    read = set()

    def place(*names):
        read.add(names)
        return list_folder(plan, *names)

    fusion = Fusion(models, place, combination, files, truth.check)

    parts = fusion.parts()
    scales = {scale: fusion.scale(scale, parts) for scale in models.scales}
    submission = fusion.submission(scales, limit)
    singles = single_models(fusion, truth.micro_ap, limit)
    steps = OrderedDict((name, singles[name]) for name in ("single_model_original_queries", "single_model"))
    steps.update(ladder(scales[models.multi_part_scale], penalty, truth.micro_ap, limit))
    steps["all_scales"] = truth.micro_ap(submission)
    if models.with_pairs:
        steps["with_pairs"] = truth.micro_ap(fusion.second_submission(submission, fusion.pairs(), limit))
    value = evaluate_submission(files.path(SUBMISSION), parameters.ground_truth, drop)
    rows = sum(len(rows) for lists in scales.values() for rows in lists.values())
    values = dict(value.metrics, rows=rows, models=voting(read), **dict(singles, **steps))
    values["ensemble_gain"] = values["ensemble_of_backbones"] - values["single_model"]
    values["multi_part_gain"] = values["with_multi_part"] - values["ensemble_of_backbones"]
    return values, value.curve, steps


def voting(read):
    """How many models' lists of augmented queries were read at the multi-part scale to be voted on."""
    return len([names for names in read if names[0] == "final" and not names[1].endswith((REF, PAIR))])


def list_folder(plan, scale_folder, test_folder, backbone):
    """Where the list of one model lies: that of the group that holds the model."""
    tag = test_folder[len("V5_") :]
    tag = tag[: -len(REF)] if tag.endswith(REF) else tag
    return os.path.join(
        "predictions", "isc_track1", plan.group(tag, backbone), scale_folder, test_folder, backbone
    )


def read_small(folder):
    """{least side: int32 codes} of the augmented queries smaller than each side that a data set names."""
    sides = sorted({data_set.least_query for data_set in DATA_SETS})
    return {
        side: read_ids(os.path.join(folder, "query_wrong_{}_VD.npy".format(side)), QUERIES) for side in sides
    }


def read_faces(folder):
    """int32 codes of the references with a face."""
    return read_ids(os.path.join(folder, "face_del.npy"), REFERENCES)


def read_ids(path, space):
    """int32 codes of the ids in a one-dimensional .npy file of text; Refusal for another file."""
    try:
        names = np.load(needed(path), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise Refusal("{}: not a list of ids ({}); make it again".format(path, error)) from None
    if names.ndim != 1 or (names.dtype.kind != "U" and len(names)):
        raise Refusal(
            "{}: expected a one-dimensional array of text, found {} of shape {}".format(
                path, names.dtype, names.shape
            )
        )
    return space.encode(names.tolist(), path)


if __name__ == "__main__":
    run_stage(main)
