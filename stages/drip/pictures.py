"""Write the resized copies of all pictures, the order of classes, and the screenshot templates."""

from __future__ import annotations

import os
from collections import OrderedDict

import numpy as np

from encore.data.image_source import open_source
from encore.data.manifest import NAME, Manifest
from encore.metrics.evidence.counts import Counts
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.metrics.predictions import PairIds, read_ground_truth
from encore.runtime.parameters import recipe_digest
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.drip.picture_folders import (
    FOLDER,
    TEMPLATES,
    PictureParameters,
    source_identity,
    write_pictures,
)
from encore.systems.drip.samples import check_ground_truth
from encore.systems.drip.screenshot_templates import read_templates

ROLES = {
    "training_images": "drip_training",
    "imagenet_images": "drip_imagenet",
    "face_frames": "drip_faces",
    "query_images": "drip_queries",
    "reference_images": "drip_references",
}
"""Folder -> its role in inputs.yaml."""


def main():
    arguments = stage_parser(__doc__, maps=True).parse_args()
    with Stage("drip", "pictures") as stage:
        parameters = stage.parameters(arguments.params, PictureParameters)
        counts, identities = sources(stage, parameters)
        digest = recipe_digest(parameters.copies(), identities)
        work = stage.work_folder(digest)
        stage.need_disk(sum(counts) * parameters.expected_bytes(), "resized copies", work)
        values = write_pictures(work, parameters, digest)
        if parameters.ground_truth is not None:
            values["labelled_queries"], values["true_pairs"] = check_ground_truth(parameters.ground_truth)
        stage.evidence(evidence_of(work, parameters.ground_truth))
        stage.publish(work, FOLDER)
        stage.metrics(values)


def evidence_of(folder, ground_truth):
    """The EvidenceFile of what was counted in `folder` and in a ground truth CSV (or None).

    Templates are the pictures beside their boxes, pairs are counted query by query. The pictures of shards
    are those that the manifests state, not counted again.
    """
    templates = read_templates(os.path.join(folder, TEMPLATES), at_least=0)
    listed = [1] * len(templates.found) + [0] * len(templates.missing)
    parts = {"template_listed": np.array(listed, dtype=np.int64)}
    numbers = OrderedDict([("templates", ("sum", "template_listed"))])
    for name, counts in shard_counts(folder).items():
        parts[name], numbers[name] = counts, ("sum", name)
    if ground_truth is not None:
        ids = PairIds()
        truth = read_ground_truth(str(ground_truth), ids)
        parts["pairs_of_query"] = np.bincount(truth.query, minlength=len(ids.queries.names))[truth.labelled]
        numbers["true_pairs"] = "sum", "pairs_of_query"
    return EvidenceFile(Counts(parts, numbers))


def shard_counts(folder):
    """{data set: pictures in each shard, int64 (shards,)}, as the manifests below `folder` state them."""
    return {
        name: np.array([shard.count for shard in Manifest.read(os.path.join(folder, name)).shards], np.int64)
        for name in ROLES
    }


def sources(stage, parameters):
    """(how many pictures, what they are) of the folders: from the manifest of a data set that an earlier
    stage made, or from what the data check recorded. Faces, which no published model uses, may be without a
    record: their folder is scanned."""
    counts, identities = [], []
    for name, role in ROLES.items():
        spec = getattr(parameters, name)
        if spec is None:
            identities.append(None)
        elif os.path.isfile(os.path.join(needed(spec.partition("#")[0]), NAME)):
            manifest = Manifest.read(spec)
            counts.append(manifest.count)
            identities.append(manifest.digest)
        else:
            count, identity = unrecorded(spec) if is_raw_faces(name, role) else recorded(stage, role)
            counts.append(count)
            identities.append(identity)
    return counts, identities


def recorded(stage, role):
    (record,) = stage.inputs(role)
    return record["count"], record


def is_raw_faces(name, role):
    return name == "face_frames" and not os.path.exists(os.path.join("inputs", role + ".json"))


def unrecorded(spec):
    return len(open_source(spec)), source_identity(spec)


if __name__ == "__main__":
    run_stage(main)
