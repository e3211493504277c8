"""Extract the descriptors of one group of models: `extract GROUP`, "all" or e.g. baseline_CC-50."""

from __future__ import annotations

import os

import numpy as np

from encore.data.descriptor_rows import DescriptorRows
from encore.data.manifest import Manifest
from encore.metrics.evidence.counts import Counts
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.runtime.atomic import file_digest
from encore.runtime.parameters import read_parameters, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.isc.extraction import Extractor
from encore.systems.isc.prepared_pictures import PictureReader
from encore.systems.isc_track1.backbones import network_shape
from encore.systems.isc_track1.descriptor_files import (
    DESCRIPTORS,
    MULTI_PART_FOLDER,
    ORIGINAL_QUERIES,
    PARTS,
    model_folder,
)
from encore.systems.isc_track1.extraction import (
    ExtractParameters,
    disk_bytes,
    extract_model,
    open_sources,
)
from encore.systems.isc_track1.groups import weights_path
from encore.systems.isc_track1.reference_parts import PARTS as PARTS_OF_ONE
from encore.systems.isc_track1.test_plan import MULTI_PART, TestPlan
from encore.training.checkpoint import load_stripped


def main():
    parser = stage_parser(__doc__, maps=True)
    parser.add_argument("group", help="one of isc_track1.test.groups in the parameter file")
    arguments = parser.parse_args()
    with Stage("isc_track1", "extract", item=arguments.group) as stage:
        parameters = stage.parameters(arguments.params, ExtractParameters)
        plan = read_parameters(arguments.params, "isc_track1.test", TestPlan)
        if arguments.group not in plan.groups:
            raise Refusal(
                "{}: isc_track1.test.groups: group {} is none of {}".format(
                    arguments.params, arguments.group, ", ".join(plan.groups)
                )
            )
        models = plan.models(arguments.group)
        shapes = {name: network_shape(arguments.params, name) for _, name in models}
        sources = open_sources(parameters)
        memory = parameters.recipe(plan).shared_memory(parameters.workers, PARTS_OF_ONE)
        stage.need_shared_memory(memory, "decoded pictures")
        work = stage.work_folder(recipe_digest(*identity(stage, parameters, plan, models)))
        widths = {name: shape.embedding for name, shape in shapes.items()}
        size = disk_bytes(models, plan, parameters, sources.counts, widths)
        stage.need_disk(size, "descriptors", done=work)
        extract(parameters, plan, models, shapes, sources, work)
        stage.publish(work, os.path.join(DESCRIPTORS, arguments.group))
        values, each = counts(models, parameters, sources, plan, work)
        stage.metrics(values)
        stage.evidence(EvidenceFile(Counts.of_sums(each)))


def identity(stage, parameters, plan, models):
    """What the descriptors are made from: weights, recorded inputs, the contents of the query sets."""
    return [
        parameters.deciding(),
        [plan.scales, plan.multi_part_scale, models],
        [file_digest(needed(weights_path(*(model + (plan.groups,))))) for model in models],
        stage.inputs("training_images", "reference_images"),
        [Manifest.read(folder).digest for folder in (parameters.queries, parameters.original_queries)],
    ]


def extract(parameters, plan, models, shapes, sources, folder):
    """Write the descriptor files of all `models` into `folder`."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    reader = PictureReader(parameters.workers, parameters.keep_bytes)
    for tag, backbone in models:
        network = load_stripped(weights_path(tag, backbone, plan.groups), shapes[backbone])
        extractor = Extractor(
            network, parameters.recipe(plan), reader, device, "embedding", channels_last=True
        )
        extract_model(extractor, tag, backbone, plan, parameters.pca, sources, folder)


def counts(models, parameters, sources, plan, work):
    """(metrics, {key: how many of each reference or query, int (n,)} of those that are counted by ids)."""
    values = dict(sources.counts, models=len(models), dimension=parameters.pca.dimensions)
    each = {"parts": np.zeros(0, dtype=np.int64), "original_queries": np.zeros(0, dtype=np.int64)}
    values.update(parts=0, original_queries=0)
    backbones = [backbone for tag, backbone in models if tag == MULTI_PART]
    if backbones:
        folder = os.path.join(work, model_folder(MULTI_PART_FOLDER, backbones[0], plan.multi_part_scale))
        for name, pattern in (("parts", PARTS), ("original_queries", ORIGINAL_QUERIES)):
            rows = DescriptorRows(os.path.join(folder, pattern))
            values[name], each[name] = rows.shape[0], of_each(rows.ids)
    values["train"] = values.pop("training")
    return values, each


def of_each(ids):
    """int64 (n,): how many of the `ids` (fixed-length bytes: Q50000, R000123_7) belong to each picture."""
    return np.unique(ids.astype("S7"), return_counts=True)[1]  # R and six digits: parts have no place


if __name__ == "__main__":
    run_stage(main)
