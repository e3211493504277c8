"""Train the network on isc_100k_256; accepts every flag of the published training script."""

from __future__ import annotations

import dataclasses
import os
import re
import sys

from encore.data.image_source import open_source
from encore.runtime.atomic import file_digest
from encore.runtime.parameters import recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, needed, run_stage, stage_parser, work_path
from encore.systems.isc.curves import write_curves
from encore.systems.isc.flags import add_published_flags, overrides
from encore.systems.isc.parameters import training_recipe
from encore.systems.isc.training import train
from encore.systems.isc.training_command import training_command

DATA = "data/isc_100k_256"
START = "models/isc_track2/start.pth"
OUTPUT = "models/isc_track2/logs"
CURVES = "plots/isc_track2/loss.csv"


def main():
    arguments = add_published_flags(stage_parser(__doc__)).parse_args()
    chosen, warnings = overrides(arguments)
    if chosen and "logs_dir" not in chosen:
        raise Refusal(
            "published flags describe a run beside the pipeline: name its folder with --logs-dir, or change "
            "isc_track2.train in {}".format(arguments.params)
        )
    command = training_command(training_recipe(arguments.params, "isc_track2"), chosen, DATA)
    data = open_source(command.data)
    identity = data.manifest.digest if hasattr(data, "manifest") else [data.spec, len(data)]
    digest = recipe_digest(
        command.recipe.digest(), command.recipe.epochs, identity, file_digest(needed(START))
    )
    if int(os.environ.get("RANK", "0")) > 0:  # a further process of torchrun: the first one keeps the records
        run(command, data, work_path("isc_track2", "train", digest))
        return
    for warning in warnings:
        print("encore: warning: {}".format(warning), file=sys.stderr)
    name = "train" if command.logs is None else "train_by_hand"  # its records stay apart from the pipeline's
    with Stage("isc_track2", name, seed=command.recipe.seed) as stage:
        stage.recorded["parameters"] = dataclasses.asdict(command.recipe)
        stage.recorded["published_flags"] = {key: str(value) for key, value in sorted(chosen.items())}
        stage.need_shared_memory(command.recipe.shared_memory(), "batches of pictures")
        work = stage.work_folder(digest)
        result = run(command, data, work)
        report_start(result, stage)
        if command.logs is not None:  # beside the pipeline: its metrics stay those of its own run
            write_curves(os.path.join(command.logs, "history.jsonl"), os.path.join(command.logs, "loss.csv"))
            return
        record(stage, work, result)
        stage.publish(work, OUTPUT)


def run(command, data, work):
    """Train in `work`, going on where a killed run stopped; in `--logs-dir` only when asked, as published."""
    return train(
        command.recipe,
        data,
        START,
        command.logs or work,
        resume=command.resume,
        auto_resume=command.auto_resume or command.logs is None,
    )


def report_start(result, stage):
    """Say which tensors of the start weights did not match: a non-strict load must not hide it."""
    started = result.start_weights
    if started is None:
        return
    for name in started.missing + started.unused:
        print("encore: start weights: {} did not match".format(name), file=sys.stderr)
    stage.recorded["start_weights"] = {
        "loaded": len(started.loaded),
        "missing": len(started.missing),
        "unused": len(started.unused),
    }


def record(stage, logs, result):
    epochs = [
        int(found.group(1))
        for found in (re.match(r"checkpoint_([0-9]+)\.pth\.tar$", name) for name in os.listdir(logs))
        if found
    ]
    write_curves(os.path.join(logs, "history.jsonl"), CURVES)
    stage.metrics({"classes": result.classes, "checkpoints": len(epochs), "last_checkpoint": max(epochs)})


if __name__ == "__main__":
    run_stage(main)
