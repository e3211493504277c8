"""Provide the weights that the first stage starts from: timm's published ones, or values by seed."""

from __future__ import annotations

import dataclasses
import os

from encore.runtime.parameters import read_parameters, recipe_digest
from encore.runtime.stage import Stage, run_stage, stage_parser
from encore.systems.drip.backbone_start import FILE, StartParameters, write_start
from encore.systems.drip.network import NetworkShape


def main():
    arguments = stage_parser(__doc__).parse_args()
    with Stage("drip", "start") as stage:
        parameters = stage.parameters(arguments.params, StartParameters)
        shape = read_parameters(arguments.params, "drip.network", NetworkShape)
        stage.recorded["other_parameters"] = {"network": dataclasses.asdict(shape)}
        made = os.path.join(stage.work_folder(recipe_digest(parameters, shape)), os.path.basename(FILE))
        digest, tensors, numbers = write_start(made, shape, parameters)
        if digest is not None:
            stage.recorded["start_weights_sha256"] = digest
        stage.publish(made, FILE)
        stage.metrics({"tensors": tensors, "parameters": numbers, "published": int(digest is not None)})


if __name__ == "__main__":
    run_stage(main)
