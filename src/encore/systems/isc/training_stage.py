"""The stage `train` of both tracks: one run from its command to its checkpoints, records and curves."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections import OrderedDict
from typing import NamedTuple, Optional

from encore.data.image_source import open_source
from encore.models.isc_network import IscNetwork
from encore.runtime.atomic import file_digest
from encore.runtime.parameters import recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, needed
from encore.systems.isc.flags import overrides
from encore.systems.isc.training import train
from encore.systems.isc.training_command import TRACK2, TrainingScript, training_command
from encore.training import checkpoint, checkpoint_files
from encore.training.class_parallel import BLOCKS_OVER, COUNTS
from encore.training.curves import write_curves
from encore.training.distributed import Processes, processes_key
from encore.training.launch import further_processes


class TrainingJob(NamedTuple):
    """What differs between the runs of a pipeline."""

    system: str
    data: str
    """Folder of the training set."""
    start: str
    """File of the backbone's start weights."""
    output: str
    """Folder of checkpoints and log."""
    curves: str
    """CSV of the training curves."""
    stripped: Optional[str] = None
    """File of the final weights without the classifiers; None: another stage makes it."""
    section: Optional[dict] = None
    """What the section `train` says, where the run's recipe is made of several; None: it is the recipe."""
    others: Optional[dict] = None
    """The values of the other sections, by name."""
    item: str = ""
    """Name of the run where the system has several."""
    script: TrainingScript = TRACK2


def run_training_stage(job: TrainingJob, recipe, arguments):
    """Train as `recipe` and the published flags among `arguments` say, and publish the result.

    With flags the run stands beside the pipeline: it needs `--logs-dir`, keeps its files there, and leaves
    the pipeline's outputs and metrics alone. Raises Refusal for flags without it, and, before any process is
    started, for a number of processes that cannot share the replicas.
    """
    chosen, warnings = overrides(arguments, job.script.ignored)
    if chosen and "logs_dir" not in chosen:
        raise Refusal(
            "published flags describe a run beside the pipeline: name its folder with --logs-dir, or change "
            "{}.train in {}".format(job.system, arguments.params)
        )
    command = training_command(recipe, chosen, job.data, job.script)
    _refuse_uneven_shares(command.recipe)
    data = open_source(command.data)
    if int(os.environ.get("RANK", "0")) > 0:  # a further process of the run: the first one keeps the records
        _run(job, command, data, None)  # and decides on the work folder
        return
    identity = data.manifest.digest if hasattr(data, "manifest") else [data.spec, len(data)]
    digest = recipe_digest(
        command.recipe.digest(), command.recipe.epochs, identity, file_digest(needed(job.start))
    )
    for warning in warnings:
        print("encore: warning: {}".format(warning), file=sys.stderr)
    name = "train" if command.logs is None else "train_by_hand"  # its records stay apart from the pipeline's
    with Stage(job.system, name, job.item, seed=command.recipe.seed) as stage:
        stage.recorded["parameters"] = job.section or dataclasses.asdict(command.recipe)
        stage.recorded["other_parameters"] = job.others or {}
        stage.recorded["recipe"] = dataclasses.asdict(command.recipe)
        stage.recorded["published_flags"] = {key: str(value) for key, value in sorted(chosen.items())}
        stage.need_shared_memory(command.recipe.shared_memory(), "batches of pictures")
        work = stage.work_folder(digest)
        with further_processes(command.recipe.processes):
            result = _run(job, command, data, work)
        _report_start(result, stage)
        if command.logs is not None:  # beside the pipeline: its metrics stay those of its own run
            write_curves(os.path.join(command.logs, "history.jsonl"), os.path.join(command.logs, "loss.csv"))
            return
        _record(job, stage, work, result)
        if job.stripped is not None:
            stage.publish(_strip(command.recipe.shape, result.checkpoint, work), job.stripped)
        stage.publish(work, job.output)


def _refuse_uneven_shares(recipe):
    count = int(os.environ.get("WORLD_SIZE", recipe.processes))
    processes = Processes(0, count, processes_key(recipe.system))
    processes.refuse_unless(COUNTS, BLOCKS_OVER)
    processes.share(recipe.replicas)


def _run(job, command, data, work):
    """Train in `work`, going on where a killed run stopped; in `--logs-dir` only when asked, as published."""
    return train(
        command.recipe,
        data,
        job.start,
        command.logs or work,
        resume=command.resume,
        auto_resume=command.auto_resume or command.logs is None,
    )


def _strip(shape, source, work):
    """Write the state dict of the checkpoint `source` without its classifiers, as Tran.py does -> path."""
    state = OrderedDict(checkpoint.strip(checkpoint.load(source)["state_dict"]))
    checkpoint.load_exactly(IscNetwork(shape), state, source)
    path = os.path.join(work, "stripped.pth.tar")
    checkpoint_files.save(path, state)
    return path


def _report_start(result, stage):
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


def _record(job, stage, logs, result):
    epochs = [
        int(found.group(1))
        for found in (re.match(r"checkpoint_([0-9]+)\.pth\.tar$", name) for name in os.listdir(logs))
        if found
    ]
    write_curves(os.path.join(logs, "history.jsonl"), job.curves)
    stage.metrics({"classes": result.classes, "checkpoints": len(epochs), "last_checkpoint": max(epochs)})
