"""Make the descriptors of queries, references and training pictures by a trained stage, and evaluate them.

Without the name of a stage, beside the pipeline, as published: of the checkpoint <name>.ckpt the file
<name>_160x160_REF.h5 is written beside it. The published program also asks for all five folders of pictures
and for 101 screenshot templates, and downloads weights that it then replaces; none of them is needed here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from dataclasses import dataclass
from typing import NamedTuple, Optional

from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.runtime.atomic import file_digest
from encore.runtime.parameters import limited, read_parameters, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.search.products import fastest_products
from encore.systems.drip.descriptors_file import REFERENCES, TRAINING, descriptors_path
from encore.systems.drip.evaluation import ranked_pairs
from encore.systems.drip.extraction import ExtractionRecipe
from encore.systems.drip.inference import Inference, load_network, measure, pictures_identity
from encore.systems.drip.network import NetworkShape
from encore.systems.drip.picture_folders import FOLDER
from encore.systems.drip.recipe import DripRecipe
from encore.systems.drip.resized_copies import GROUND_TRUTH
from encore.systems.drip.sample_pictures import SamplePictures
from encore.systems.drip.stage_outputs import last_checkpoint
from encore.systems.drip.training_neighbours import PUBLISHED, TrainingNormalisation

SYSTEM = "drip"
MODELS, OUTPUT = "models/drip", "descriptors/drip"
PUBLISHED_CHECKPOINT = "./TEST26_100k_nobias_l1/lightning_logs/version_0/checkpoints/last.ckpt"
METRIC = "squared_l2"


@dataclass(frozen=True)
class InferenceParameters:
    """The section drip.inference; the defaults are the published values."""

    batch_size: int = limited(400, low=1)
    batches_per_chunk: int = limited(100, low=1)
    """Batches that are lost at most when a run is killed."""
    workers: int = limited(20, low=0, high=1024)
    normalisation: Optional[TrainingNormalisation] = PUBLISHED
    """Of queries by their training neighbours, evaluated too (published: of the ensemble only); None: not."""
    pictures: str = FOLDER
    """Folder of the resized copies, and of public_ground_truth.csv."""


class _Run(NamedTuple):
    """What to describe by which checkpoint, and where to."""

    checkpoint: str
    shape: NetworkShape
    recipe: ExtractionRecipe
    parameters: InferenceParameters

    @property
    def truth(self):
        return needed(os.path.join(self.parameters.pictures, GROUND_TRUTH))

    def path(self, kind, folder=None):
        """The file of `kind`, in `folder` or beside the checkpoint."""
        path = descriptors_path(self.checkpoint, kind, self.recipe.size, self.recipe.flip)
        return path if folder is None else os.path.join(folder, os.path.basename(path))

    def inference(self, stage, work, pictures):
        """The Inference of this run; what a killed run left in the folder `work` is kept."""
        import torch

        width, workers = self.shape.embedding, self.parameters.workers
        queries, others = pictures.count("Q"), pictures.count("R") + pictures.count("T")
        stage.need_disk(4 * width * (3 * queries + 2 * others), "descriptors", work)
        stage.need_shared_memory(self.recipe.shared_memory(workers), "decoded pictures")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        network, chunks = load_network(self.shape, self.checkpoint), os.path.join(work, "chunks")
        digest = stage.recorded["checkpoint_sha256"]
        return Inference(network, width, pictures, self.recipe, chunks, workers, device, digest)

    def begin(self, stage):
        """(Inference, work folder), with everything on record."""
        digest = file_digest(self.checkpoint)
        stage.recorded.update(checkpoint=self.checkpoint, checkpoint_sha256=digest, view=self.recipe.size)
        stage.recorded["other_parameters"] = {
            "network": dataclasses.asdict(self.shape),
            "inference": dataclasses.asdict(self.parameters),
        }
        pictures = SamplePictures(needed(self.parameters.pictures))
        work = stage.work_folder(recipe_digest(digest, self.shape, self.recipe, pictures_identity(pictures)))
        return self.inference(stage, work, pictures), work


def in_pipeline(stage, run):
    """Write both files of a stage, measure, and publish."""
    truth, (inference, work) = run.truth, run.begin(stage)
    folder = os.path.join(work, "descriptors")
    os.makedirs(folder, exist_ok=True)
    made = inference.write(run.path(REFERENCES, folder), REFERENCES)
    training = inference.write(run.path(TRAINING, folder), TRAINING).reference
    metrics, values = measure(made, training, truth, run.parameters.normalisation, fastest_products(METRIC))
    counts = {"queries": made.query, "references": made.reference, "training": training}
    stage.metrics(dict(metrics, **{name: int(rows.shape[0]) for name, rows in counts.items()}))
    stage.evidence(EvidenceFile(ranked_pairs(values, made)))
    stage.publish(folder, os.path.join(OUTPUT, stage.item))


def by_hand(stage, run, training, keep_references):
    """Write the file of references, and where asked for that of training pictures, beside the checkpoint."""
    paths = {kind: run.path(kind) for kind in ((REFERENCES, TRAINING) if training else (REFERENCES,))}
    truth, (inference, _) = run.truth, run.begin(stage)
    made = {}
    for kind, path in paths.items():
        write = inference.write_queries if keep_references and os.path.exists(path) else inference.write
        made[kind] = write(path, kind)
    neighbours = made[TRAINING].reference if training else None
    measure(made[REFERENCES], neighbours, truth, run.parameters.normalisation, fastest_products(METRIC))


def parsed():
    """The command line; Refusal for a stage of the pipeline together with flags of a run by hand."""
    parser = stage_parser(__doc__, maps=True)
    parser.add_argument("stage", nargs="?", help="name of a stage of drip.stages: the pipeline's run")
    hand = parser.add_argument_group("by hand, without a stage (the first two are published)")
    hand.add_argument(
        "--checkpoint-path", metavar="X.ckpt", help="published default: " + PUBLISHED_CHECKPOINT
    )
    hand.add_argument("--batch-size", type=int, metavar="N", help="published default: 400")
    hand.add_argument(
        "--training", action="store_true", help="write X_160x160_TRN.h5 too, and evaluate normalised queries"
    )
    hand.add_argument(
        "--simple-augmentation",
        action="store_true",
        help="add the descriptor of the flipped view, and write X_160x160_AUG_REF.h5 (published: off)",
    )
    hand.add_argument(
        "--keep-references",
        action="store_true",
        help="take the references from the file that is there, of the same checkpoint, and make new queries",
    )
    arguments = parser.parse_args()
    flags = ("checkpoint_path", "batch_size", "training", "simple_augmentation", "keep_references")
    given = [flag for flag in flags if getattr(arguments, flag) not in (None, False)]
    if arguments.stage is not None and given:
        raise Refusal(
            "--{}: describes a run beside the pipeline: leave the stage {} out, or change drip.inference in "
            "{}".format(given[0].replace("_", "-"), arguments.stage, arguments.params)
        )
    return arguments


def main():
    arguments = parsed()
    shape = read_parameters(arguments.params, "drip.network", NetworkShape)
    training = read_parameters(arguments.params, "drip.train", DripRecipe)
    parameters = read_parameters(arguments.params, "drip.inference", InferenceParameters)
    hand = arguments.stage is None
    if hand:
        checkpoint = needed(arguments.checkpoint_path or PUBLISHED_CHECKPOINT)
        parameters = with_batch(parameters, 400 if arguments.batch_size is None else arguments.batch_size)
    else:
        checkpoint = last_checkpoint(needed(os.path.join(MODELS, arguments.stage)))
    recipe = ExtractionRecipe(
        parameters.batch_size,
        parameters.batches_per_chunk,
        training.size,
        training.img_norm_type,
        arguments.simple_augmentation,
    )
    run = _Run(checkpoint, shape, recipe, parameters)
    with Stage(
        SYSTEM, "infer_by_hand" if hand else "infer", item_of(checkpoint) if hand else arguments.stage
    ) as stage:
        if hand:
            by_hand(stage, run, arguments.training, arguments.keep_references)
        else:
            in_pipeline(stage, run)


def with_batch(parameters, size):
    if size < 1:
        raise Refusal("--batch-size: expected 1 at least, found {}".format(size))
    return dataclasses.replace(parameters, batch_size=size)


def item_of(checkpoint):
    """Name of a run by hand: the checkpoint's, and a few digits of where it lies."""
    place = hashlib.sha256(os.path.abspath(checkpoint).encode("utf-8")).hexdigest()[:8]
    return "{}-{}".format(os.path.splitext(os.path.basename(checkpoint))[0], place)


if __name__ == "__main__":
    run_stage(main)
