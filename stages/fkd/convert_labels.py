"""Convert labels from the published layout to ours, or from ours to the published one; by hand, no stage
needs it.

Published labels do not say which pictures they are of, nor sampler seed, side, crop scale and normalisation:
given here, they are stored, and a run that differs is refused.
"""

from __future__ import annotations

import argparse
import os

from encore.data.class_folders import ClassFolders
from encore.runtime.atomic import file_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import run_stage
from encore.systems.fkd.label_conversion import convert

CHANNELS = ("mean", "deviation")
"""Options that take three numbers."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("source", help="folder of labels: epoch_0, epoch_1, … or a store (manifest.json)")
    parser.add_argument("target", help="folder for the labels in the other layout")
    parser.add_argument("--images", metavar="PLACE", help="the pictures that the labels were made of")
    parser.add_argument("--seed", type=int, help="seed of the sampler (default: 42)")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="side that the teacher saw")
    parser.add_argument("--min-scale", type=float, metavar="SHARE", help="least area of a crop")
    parser.add_argument("--max-scale", type=float, metavar="SHARE", help="largest area of a crop")
    for name in CHANNELS:
        text = "of the channels, by which the pictures were normalised"
        parser.add_argument("--" + name, type=float, nargs=3, metavar=("R", "G", "B"), help=text)
    parser.add_argument("--teacher", metavar="FILE", help="weights of the teacher; their SHA-256 is stored")
    parser.add_argument("--top-k", type=int, metavar="K", help="keep the K largest classes: not lossless")
    parser.add_argument(
        "--temperature", type=float, metavar="T", help="of the training, at which --top-k cuts"
    )
    arguments = parser.parse_args()
    known = dict(vars(arguments))
    source, target = known.pop("source"), known.pop("target")
    for name in CHANNELS:
        known[name] = known[name] and tuple(known[name])
    if known["images"] is not None:
        known["images"] = ClassFolders(known["images"])
    if known["teacher"] is not None:
        if not os.path.isfile(known["teacher"]):
            raise Refusal("--teacher {}: no such file: mend the path".format(known["teacher"]))
        known["teacher"] = file_digest(known["teacher"])
    labels = convert(source, target, **known)
    print(
        "{} epochs of {} batches of {} pictures written to {}".format(
            labels.epochs, labels.batches, labels.count, target
        )
    )


if __name__ == "__main__":
    run_stage(main)
