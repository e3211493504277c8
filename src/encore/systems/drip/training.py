"""Training one stage of the drip: ArcFace on augmented views, a class a picture (spec drip 5)."""

from __future__ import annotations

import os
from typing import NamedTuple, Optional

import torch

from encore.runtime.numerics import exact
from encore.systems.drip.centroids import build_centroids, read_w
from encore.systems.drip.network import SYSTEM
from encore.systems.drip.record import HISTORY, Record, epochs_of, read_history
from encore.systems.drip.stage_outputs import MONITOR, CheckpointFolder, open_version
from encore.systems.drip.stage_run import StageRun
from encore.systems.drip.training_steps import TRAINING_SUMS, VALIDATION_SUMS, DripTraining
from encore.training import loop, replay_step
from encore.training.checkpoint_files import Position
from encore.training.distributed import join_processes, processes_key


class Trained(NamedTuple):
    """Result of `train_stage`, the same on every process."""

    version: str
    """Folder lightning_logs/version_N with the record and the checkpoints."""
    checkpoint: str
    """Its last.ckpt."""
    epochs: int
    steps: int
    """Of the whole run; `done` of them by this call, fewer after a resume."""
    done: int
    resumed_from: Optional[str]
    metrics: dict
    """Name -> number."""


@exact()  # the published run lets cuDNN try algorithms out, and may use TF32
def train_stage(run: StageRun, folder, device=None, on_step=None):
    """Train a stage into `folder` -> Trained.

    folder: of W.pickle and lightning_logs, as published; a killed run of the same values goes on there, on
    the CPU to the same bits, whatever the number of loader processes. Of several processes the first decides
    on the folder. When it stops may differ: a run whose epochs suffice by now does none, and what it has of a
    further one is removed. device: "cpu" or "cuda", by default what is there. on_step(epoch, step,
    StepResult): called after each step. Raises Refusal for values, weights and pictures that do not fit, for
    a step with a numerical fault, where augmentation steps raise too often, and where another process of the
    run is lost. With --replay-step no checkpoint and no record is written.

    Processes share a batch's rows and the kernel's columns. Theirs and one process's sums of gradients round
    differently: of the same state, every gradient of a step agrees to 1e-5 of the largest of its tensor. The
    same number of processes gives the same bits.
    """
    processes, device = join_processes(device, processes_key(SYSTEM))
    training = DripTraining(run, processes, device)
    folder = processes.first_says(folder, device)
    version = open_version(folder, training.identity) if processes.is_first else None
    version = processes.first_says(version, device)
    checkpoints = CheckpointFolder(version)
    source = processes.first_says(checkpoints.find_newest() if processes.is_first else None, device)
    if source is None:
        run.start.load(training.network)
    training.to_device()
    if source is not None:
        start = training.resume(source)
        if start.step and training.ended():  # by a rule that was changed within the epoch: that is left out
            source = checkpoints.last
            start = training.resume(source)
    else:
        start = Position(0, 0)
        if run.values.makes_centroids:
            _set_centroids(run, training, folder)
    if processes.is_first and replay_step.wanted(start) is None:
        checkpoints.drop([name for name, _ in training.best.kept], but=source)
    done = _run_through(run, training, checkpoints, start, version, on_step)
    return _trained(run, training, checkpoints, version, source, done)


def _set_centroids(run, training, folder):
    """Make W, or take one of the same, and set it as the kernel."""
    recipe, head = run.recipe, training.network.criterion
    made = build_centroids(
        training.network,
        run.data.batches,
        folder,
        run.centroids_made_of(),
        recipe.w_passes,
        recipe.w_chunk,
        recipe.w_batch,
        recipe.workers,
        training.device,
        training.processes,
        training.failures,
    )
    shape = (head.kernel.shape[0], head.classes)
    head.set_kernel(torch.from_numpy(read_w(made.path, shape)))


def _run_through(run, training, checkpoints, start, version, on_step):
    """Do all steps from `start` on -> their number. The global random numbers are left alone."""
    recipe, batches, rows = run.recipe, run.data.batches, training.shares.rows
    looks = replay_step.wanted(start) is not None
    writes = training.processes.is_first and not looks
    record = Record(version, batches.steps, recipe.print_every, start) if writes else None

    def save(position):
        if position.step:
            return None if looks else training.save(checkpoints, position)
        epoch = position.epoch - 1
        row = training.end_epoch(
            epoch, batches.validation(epoch, recipe.limit_val_batches, recipe.workers, rows)
        )
        if record is not None:
            record.epoch(epoch, row)
        path = None if looks else training.save(checkpoints, position)
        training.follow_validation()
        return path

    def recorded(epoch, step, result, seconds, waited):
        if record is not None:
            values = {"trn_loss_step": result.loss, "trn_qry_acc_step": result.terms["trn_qry_acc"]}
            record.step(epoch, step, dict(values, lr=result.learning_rate))
        if on_step is not None:
            on_step(epoch, step, result)

    device = training.device
    steps = loop.Run(
        run.values.stop.max_epochs,
        batches.steps,
        lambda epoch, first: batches.training(
            epoch, first, recipe.workers, rows, recipe.trains_on_clean(epoch)
        ),
        training.step,
        save,
        recorded,
        recipe.save_every,
        training.ended,
        networks=(training.network,),
        addresses=batches.pictures,
        folder=version,
    )
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            return loop.train(steps, start, "%s training" % SYSTEM)
    finally:
        if record is not None:
            record.close()


def _trained(run, training, checkpoints, version, source, done):
    rows = epochs_of(read_history(os.path.join(version, HISTORY)))
    row, steps = training.row, training.epochs * run.values.steps
    metrics = {name: row[name + "_epoch"] for name in TRAINING_SUMS + VALIDATION_SUMS}
    metrics.update(
        training.failures.metrics(),
        first_epoch_trn_loss=rows[0]["trn_loss_epoch"],
        best_val_acc=max(found[MONITOR] for found in rows),
        classes=run.values.classes,
        epochs=training.epochs,
        steps=steps,
        skipped_steps=training.skipped,
    )
    return Trained(version, checkpoints.last, training.epochs, steps, done, source, metrics)
