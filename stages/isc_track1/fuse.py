"""Fuse the lists of all models into the two submissions; measure them, and what each ingredient adds."""

from __future__ import annotations

import os
from collections import Counter, OrderedDict

import numpy as np

from encore.metrics.evidence.counts import Counts
from encore.metrics.evidence.differences import HERE, Difference, Differences
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.metrics.evidence.ranked_pairs import Measured, RankedPairs
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
GAINS = {
    "ensemble_gain": ("ensemble_of_backbones", "single_model"),
    "multi_part_gain": ("with_multi_part", "ensemble_of_backbones"),
}
"""Metric -> the steps whose difference it is."""
SUBMITTED = "all_scales"
"""The step that is the submission."""


def main():
    arguments = stage_parser(__doc__).parse_args()
    with Stage("isc_track1", "fuse") as stage:
        parameters = stage.parameters(arguments.params, FuseParameters)
        plan = read_parameters(arguments.params, "isc_track1.test", TestPlan)
        work = stage.work_folder(recipe_digest(parameters, plan))
        metrics, curve, steps, evidence = fuse(parameters, plan, os.path.join(work, "submission"))
        write_ladder(os.path.join(work, "ladder.csv"), steps)
        write_curve(os.path.join(work, "precision_recall.csv"), curve)
        stage.metrics(metrics)
        stage.evidence(evidence)
        for name in ("ladder.csv", "precision_recall.csv"):
            stage.publish(os.path.join(work, name), os.path.join(PLOTS, name))
        stage.publish(os.path.join(work, "submission"), OUTPUT)


def fuse(parameters, plan, folder):
    """(metrics, precision-recall curve, {step of the ladder: value}, EvidenceFile) of the submissions written
    to `folder`."""
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
    lists = single_models(fusion, truth.counted, limit)
    names = ["single_model_original_queries", "single_model"]
    ladders = ladder(scales[models.multi_part_scale], penalty, truth.counted, limit)
    ladders[SUBMITTED] = truth.counted(submission)
    if models.with_pairs:
        ladders["with_pairs"] = truth.counted(fusion.second_submission(submission, fusion.pairs(), limit))
    lists.update(ladders)
    micro_aps = {name: truth.micro_ap(ranked) for name, ranked in lists.items()}
    steps = OrderedDict((name, micro_aps[name]) for name in names + list(ladders))
    value = evaluate_submission(files.path(SUBMISSION), parameters.ground_truth, drop)
    rows = sum(len(rows) for lists in scales.values() for rows in lists.values())
    values = dict(value.metrics, rows=rows, models=sum(voting(read)), **micro_aps)
    values.update((gain, values[of] - values[less]) for gain, (of, less) in GAINS.items())
    return values, value.curve, steps, evidence_of(truth, lists, voting(read))


def evidence_of(truth, lists, models):
    """The EvidenceFile of {step: Predictions} and of the models that voted for each data set."""
    first = {}  # one list may be two steps
    for name, ranked in lists.items():
        first.setdefault(id(ranked), name)
    measures = [Measured(name, first[id(lists[name])], "isc2021", "micro_ap") for name in lists]
    for definition in ("isc2021", "platform"):
        for what in ("micro_ap", "recall_at_p90"):
            measures.append(Measured("{}_{}".format(what, definition), SUBMITTED, definition, what))
    measures.extend(Measured(what, SUBMITTED, "isc2021", what) for what in ("recall_at_1", "recall_at_10"))
    return EvidenceFile(
        RankedPairs.of(
            truth.pairs,
            OrderedDict((name, lists[name]) for name in first.values()),
            measures,
            lambda numbers: QUERIES.texts(numbers << QUERIES.part_bits),
            lambda numbers: REFERENCES.texts(numbers << REFERENCES.part_bits),
        ),
        Counts.of_sums({"models": np.array(models, dtype=np.int64)}),
        Differences(tuple(Difference(gain, HERE, of, HERE, less) for gain, (of, less) in GAINS.items())),
    )


def voting(read):
    """Of each data set, how many models' lists of augmented queries were read at the multi-part scale to be
    voted on."""
    folders = [names[1] for names in read if names[0] == "final" and not names[1].endswith((REF, PAIR))]
    return [count for _, count in sorted(Counter(folders).items())]


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
