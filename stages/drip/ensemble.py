"""Put the descriptors of several stages together as one submission, and normalise it by its training
neighbours."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass, replace
from typing import Optional, Tuple

from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.runtime.parameters import limited, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.search.products import fastest_products
from encore.systems.drip.descriptors_file import REFERENCES, TRAINING, open_descriptors, write_descriptors
from encore.systems.drip.ensemble import DIMENSIONS, VERSIONS, make_ensemble
from encore.systems.drip.evaluation import evaluate_descriptors, ranked_pairs
from encore.systems.drip.training_neighbours import PUBLISHED, TrainingNormalisation

SYSTEM = "drip"
DESCRIPTORS = "descriptors/drip"
OUTPUT = "submission/drip"
METRIC = "squared_l2"


@dataclass(frozen=True)
class EnsembleParameters:
    """Parameters of the stage `ensemble`; but for the models the defaults are the published values."""

    models: Tuple[str, ...]
    """Folders of descriptors/drip, in the order in which the descriptors stand side by side."""
    version: str = limited("V9", choices=tuple(VERSIONS))
    """On what the PCA is trained: V8 on the references, V9 on the training pictures."""
    dimensions: int = limited(DIMENSIONS, low=1)
    normalisation: Optional[TrainingNormalisation] = PUBLISHED
    """None: no second, normalised submission."""
    ground_truth: str = "data/drip/pictures/public_ground_truth.csv"

    def __post_init__(self):
        if not self.models or len(set(self.models)) != len(self.models):
            raise Refusal(
                "models: expected one stage at least, each once, found {}: name those that drip_infer "
                "ran".format(list(self.models))
            )

    @property
    def needs_training(self):
        """Whether the training descriptors are read."""
        return self.normalisation is not None or VERSIONS[self.version].trained_on == "training"


def main():
    arguments = stage_parser(__doc__).parse_args()
    with Stage(SYSTEM, "ensemble") as stage:
        parameters = stage.parameters(arguments.params, EnsembleParameters)
        truth = needed(parameters.ground_truth)
        models = read_models(parameters.models, REFERENCES)
        training = read_models(parameters.models, TRAINING) if parameters.needs_training else None
        rows = sum(len(ids) for ids in (models[0].query_ids, models[0].reference_ids))
        stage.need_disk(2 * 4 * parameters.dimensions * rows, "the submissions")
        folder = os.path.join(stage.work_folder(recipe_digest(parameters)), "submission")
        os.makedirs(folder, exist_ok=True)
        metrics, pairs = ensemble(models, training, parameters, truth, folder, fastest_products(METRIC))
        stage.metrics(metrics)
        stage.evidence(EvidenceFile(pairs))
        stage.publish(folder, OUTPUT)


def read_models(names, kind):
    """The Submission of every model: its references, or its training pictures in their place."""
    return [open_descriptors(descriptors_file(name, kind), kind) for name in names]


def descriptors_file(name, kind):
    """The one file of `kind` that drip_infer wrote of a model."""
    folder = needed(os.path.join(DESCRIPTORS, name))
    paths = sorted(glob.glob(os.path.join(glob.escape(folder), "*_{}.h5".format(kind.suffix))))
    if len(paths) != 1:
        raise Refusal(
            "{}: expected one file *_{}.h5, found {}: run drip_infer of this stage again".format(
                folder, kind.suffix, [os.path.basename(path) for path in paths]
            )
        )
    return paths[0]


def ensemble(models, training, parameters, truth, folder, products):
    """Write the submissions to `folder` under their published names -> (their metrics, beside the best single
    model's ("single"), and the RankedPairs of theirs)."""
    version = VERSIONS[parameters.version]
    made = make_ensemble(models, training, version, parameters.dimensions)
    submission, metrics = made.descriptors, {}
    write_descriptors(os.path.join(folder, version.file_name()), submission)
    value = measured(submission, truth, products, "", metrics)
    values = {"": value}
    singles = [evaluate_descriptors(model, truth, products) for model in models]
    best = max(singles, key=lambda single: single.average_precision)
    metrics.update(
        single_average_precision=best.average_precision,
        single_recall_p90=best.recall_p90,
        ensemble_gain=value.average_precision - best.average_precision,
        models=len(models),
        width=sum(model.query.shape[1] for model in models),
        dimensions=parameters.dimensions,
        queries=len(submission.query),
        references=len(submission.reference),
    )
    if parameters.normalisation is not None:
        query = parameters.normalisation.normalised(submission.query, made.training, products)
        normalised = replace(submission, query=query)
        write_descriptors(os.path.join(folder, version.file_name(normalised=True)), normalised)
        values["normalised_"] = moved = measured(normalised, truth, products, "normalised_", metrics)
        metrics["normalisation_gain"] = moved.average_precision - value.average_precision
    if training is not None:
        metrics["training"] = len(made.training)
    return metrics, ranked_pairs(values, submission)


def measured(submission, truth, products, prefix, metrics):
    """The DescriptorValue of a submission, printed as published and put into `metrics`."""
    value = evaluate_descriptors(submission, truth, products)
    print(value.json())
    metrics[prefix + "average_precision"] = value.average_precision
    metrics[prefix + "recall_p90"] = value.recall_p90
    return value


if __name__ == "__main__":
    run_stage(main)
