"""Write the network of a run as an ONNX file, checked against torch: `export RUN_FOLDER OUT.onnx`.

Input: images, float32 (batch, 3, height, width), ImageNet's normalisation, any batch. Output: features,
un-normalised. The check needs real pictures: --pictures, or the queries of the run's evaluation_root, or its
training pictures.
"""

from __future__ import annotations

import argparse
import os

import numpy as np

from encore.data.image_source import open_source
from encore.data.images import RejectedImage
from encore.runtime.refusal import Refusal
from encore.runtime.stage import run_stage
from encore.systems.reid.evaluation_input import evaluation_input, evaluation_size
from encore.systems.reid.evaluation_pictures import open_evaluation_pictures
from encore.systems.reid.onnx_export import OPSET, export_onnx
from encore.systems.reid.trained_network import load_run
from encore.systems.reid.training_pictures import open_training_pictures

PICTURES = 8
"""Real inputs that both networks are shown, at most."""


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("run", metavar="RUN_FOLDER", help="a folder that stages.reid.train wrote")
    parser.add_argument("output", metavar="OUT.onnx")
    parser.add_argument("--pictures", metavar="PLACE", help="a folder or file.tar#prefix of pictures")
    parser.add_argument("--weights", metavar="NAME", help="default: model_best.pth, or model.pth")
    parser.add_argument("--opset", type=int, default=OPSET, help="default: {}".format(OPSET))
    return parser.parse_args()


def check_pictures(params, place=None):
    """Pictures (names, read) to check an export with: those at `place`, or of a run's ReidParams."""
    own = params.encore
    if place:
        return open_source(place, class_folders=True)
    if own.evaluation_root and params.evaluation_params.type in ("market_evaluate", "msmt_evaluate"):
        naming = "msmt" if params.evaluation_params.type == "msmt_evaluate" else own.naming
        return open_evaluation_pictures(own.evaluation_root, naming).query
    if os.path.exists(params.batches_dir.partition("#")[0]):
        return open_training_pictures(params.batches_dir, own.naming)
    raise Refusal(
        "an export is checked on real pictures, and those of the run ({}) are not there: name some by "
        "--pictures".format(own.evaluation_root or params.batches_dir or "its params.json names none")
    )


def real_inputs(pictures, size):
    """float32 (n, 3, h, w): up to PICTURES of the pictures, spread over all."""
    rows = np.unique(np.linspace(0, len(pictures) - 1, min(PICTURES, len(pictures))).round().astype(int))
    inputs = []
    for row in rows.tolist():
        try:
            inputs.append(evaluation_input(pictures.read(row), size))
        except RejectedImage as rejected:
            raise Refusal(
                "{}: cannot be read ({}): take it out, or name others by --pictures".format(
                    pictures.names[row], rejected.reason
                )
            ) from rejected
    if not inputs:
        raise Refusal("expected pictures to check the export with, found none: name some by --pictures")
    return np.stack(inputs)


def main():
    arguments = parsed()
    params, network, weights = load_run(arguments.run, arguments.weights)
    images = real_inputs(check_pictures(params, arguments.pictures), evaluation_size(params.as_mapping()))
    difference = export_onnx(network, arguments.output, images, arguments.opset)
    print(
        "{}: from {}; largest difference from torch on {} pictures: {:.3g}".format(
            arguments.output, weights, len(images), difference
        )
    )


if __name__ == "__main__":
    run_stage(main)
