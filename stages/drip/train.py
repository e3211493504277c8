"""Train a stage of the drip: `train STAGE`, a name in the section drip.stages; or by hand with the flags of
the published trainer, without STAGE."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import NamedTuple

from encore.runtime.parameters import read_parameters, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, run_stage, stage_parser
from encore.systems.drip.manual_run import manual_parts
from encore.systems.drip.model_config import read_model_config
from encore.systems.drip.network import SYSTEM, NetworkShape
from encore.systems.drip.precision import check_precision
from encore.systems.drip.recipe import DripRecipe
from encore.systems.drip.record import HISTORY, write_curves
from encore.systems.drip.stage_data import Places, open_stage_data
from encore.systems.drip.stage_outputs import last_checkpoint
from encore.systems.drip.stage_run import StageRun
from encore.systems.drip.stage_values import START, DripStageValues, read_stage
from encore.systems.drip.start_weights import StartWeights
from encore.systems.drip.train_flags import add_train_flags, typed
from encore.systems.drip.training import train_stage
from encore.training.launch import further_processes
from encore.training.replay_step import add_replay_step

OUTPUT = "models/drip/{}"
CURVES = "plots/drip/train/{}.csv"
CURVES_BY_HAND = "curves.csv"


class Job(NamedTuple):
    """One run from its values to its folder."""

    name: str
    recipe: DripRecipe
    values: DripStageValues
    shape: NetworkShape
    start: StartWeights
    places: Places
    output: str
    """Where the result goes; by hand, also where it is made."""
    by_hand: bool


def pipeline_job(path, name):
    """The job of the stage `name` of the parameter file `path`."""
    recipe = read_parameters(path, "drip.train", DripRecipe)
    shape = read_parameters(path, "drip.network", NetworkShape)
    values = read_stage(path, name)
    start = StartWeights()
    if values.from_ != START:
        start = StartWeights(last_checkpoint(OUTPUT.format(values.from_)), False)
    return Job(name, recipe, values, shape, start, Places(), OUTPUT.format(name), False)


def manual_job(chosen, warnings):
    """The job that the flags `chosen` (key -> value) describe; what they leave without effect is added to
    `warnings`."""
    parts = manual_parts(chosen)
    warnings.extend(parts.warnings)
    name, config = parts.values.folder_name, chosen.get("model_config")
    is_said = bool(config) and "text_layout" in read_model_config(config).recipe
    return Job(
        name,
        parts.recipe if is_said else _with_text_layout(parts.recipe, warnings),
        parts.values,
        parts.shape,
        parts.start,
        parts.places,
        os.path.join(".", name),
        True,
    )


def _with_text_layout(recipe, warnings):
    """A recipe that says nothing of the layout of text: the one that is here, with a warning where it is not
    the published one."""
    from PIL import features

    if recipe.text_layout != "raqm" or features.check("raqm"):
        return recipe
    warnings.append(
        "Pillow finds no raqm here, so text_layout is basic (other pixels wherever text is drawn): install "
        "libfribidi0 for the published layout"
    )
    return dataclasses.replace(recipe, text_layout="basic")


def main():
    parser = stage_parser(__doc__)
    parser.add_argument("stage", nargs="?", metavar="STAGE", help="a name in the section drip.stages")
    add_replay_step(parser)
    arguments = add_train_flags(parser).parse_args()
    chosen, warnings = typed(arguments)
    if arguments.stage and chosen:
        raise Refusal(
            "flags describe a run beside the pipeline: leave STAGE out, or change drip.stages.{} in "
            "{}".format(arguments.stage, arguments.params)
        )
    job = pipeline_job(arguments.params, arguments.stage) if arguments.stage else manual_job(chosen, warnings)
    if int(os.environ.get("RANK", "0")) > 0:  # a further process of the run: the first one keeps the records
        train_stage(_run(job), None)
        return
    for warning in warnings:
        print("encore: warning: {}".format(warning), file=sys.stderr)
    name = "train_by_hand" if job.by_hand else "train"  # its records stay apart from the pipeline's
    with Stage(SYSTEM, name, job.name, seed=job.recipe.seed) as stage:
        stage.recorded["parameters"] = dataclasses.asdict(job.recipe)
        others = {"network": dataclasses.asdict(job.shape), "stages." + job.name: job.values.recorded()}
        if job.by_hand:  # not of a parameter file
            stage.recorded["by_hand"] = others
            stage.recorded["published_flags"] = {key: str(value) for key, value in sorted(chosen.items())}
        else:
            stage.recorded["other_parameters"] = others
        _train(job, stage)


def _run(job):
    return StageRun(
        job.recipe,
        job.values,
        job.shape,
        job.start,
        job.start.digest(),
        open_stage_data(job.values, job.recipe, job.places),
    )


def _train(job, stage):
    check_precision(job.recipe.precision)  # before anything that takes time or room
    recipe, run = job.recipe, _run(job)
    batches = run.data.batches
    shared = [
        batches.shared_memory(recipe.workers, 2),
        batches.shared_memory(recipe.workers, 1, recipe.w_batch),
    ]
    stage.need_shared_memory(recipe.processes * max(shared), "batches of views")
    folder = job.output
    if not job.by_hand:
        folder = stage.work_folder(recipe_digest(run.identity()))  # when it stops may be changed
    stage.need_disk(run.disk(), "checkpoints", folder)
    with further_processes(recipe.processes):
        result = train_stage(run, folder)
    if not result.done:
        print(
            "encore: {}: {} epochs were done before, its stop rule asks for no more".format(
                job.name, result.epochs
            ),
            file=sys.stderr,
        )
    history = os.path.join(result.version, HISTORY)
    if job.by_hand:  # beside the pipeline: its metrics stay those of its own run
        write_curves(history, os.path.join(result.version, CURVES_BY_HAND))
        print("{}: {} epochs, {} steps".format(result.checkpoint, result.epochs, result.steps))
        return
    write_curves(history, CURVES.format(job.name))
    stage.metrics(result.metrics)
    stage.publish(folder, job.output)


if __name__ == "__main__":
    run_stage(main)
