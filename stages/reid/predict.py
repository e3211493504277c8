"""Describe pictures by a run or an ONNX file: `predict MODEL PICTURES OUT.npz`.

MODEL: the folder of a run, or an ONNX file. PICTURES: a folder (of pictures, or of folders of them), or
file.tar#prefix. OUT.npz: names, text (n,), and features, float32 (n, D), of unit length unless --raw.
"""

from __future__ import annotations

import argparse

import numpy as np

from encore.data.image_source import open_source
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal
from encore.runtime.stage import run_stage
from encore.systems.reid.evaluation_input import evaluation_size
from encore.systems.reid.features import Extraction, extract_raw, l2_normalised
from encore.systems.reid.onnx_predictor import ONNXPredictor
from encore.systems.reid.trained_network import load_run


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("pictures", metavar="PICTURES")
    parser.add_argument("output", metavar="OUT.npz")
    parser.add_argument("--weights", metavar="NAME", help="of a run; default: model_best.pth, or model.pth")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="default: 64")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that read pictures")
    parser.add_argument("--raw", action="store_true", help="leave the features as the network answers them")
    arguments = parser.parse_args()
    if arguments.batch_size < 1 or arguments.workers < 0:
        raise Refusal("--batch-size and --workers: expected 1 and 0 at least")
    return arguments


def open_model(arguments):
    """(network or ONNXPredictor, Extraction)."""
    if arguments.model.endswith(".onnx"):
        predictor = ONNXPredictor(arguments.model, 0, arguments.batch_size)
        width, height = predictor.input_size
        return predictor, Extraction((height, width), arguments.batch_size, "cpu", arguments.workers)
    import torch

    params, network, _ = load_run(arguments.model, arguments.weights)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = evaluation_size(params.as_mapping())
    return network.to(device), Extraction(size, arguments.batch_size, device, arguments.workers)


def main():
    arguments = parsed()
    pictures = open_source(arguments.pictures, class_folders=True)
    network, how = open_model(arguments)
    features = extract_raw(network, pictures, how)
    if not arguments.raw:
        features = l2_normalised(features, pictures.names)
    with replacing(arguments.output) as file:
        np.savez(file, names=np.array(pictures.names), features=features)
    print("{}: {} pictures, {} numbers each".format(arguments.output, *features.shape))


if __name__ == "__main__":
    run_stage(main)
