"""Training of ISC 2021, both tracks: the 8192-d head, in Track 2 with a 256-d one distilled from it.

Published: 100,000 classes x 20 images of 256 x 256, 25 epochs of 8,000 batches of 128 on four V100, under one
day. Each step cuts the batch in four replicas of 32 (BatchNorm statistics and WaveBlock bands per replica),
computes 10 CE + triplet (Track 2: + CE of the matrix head + 2 KD) on the whole batch, and updates with Adam
without weight decay.
"""

from __future__ import annotations

import os
import random
from typing import NamedTuple, Optional

import torch

from encore.data.batches import Batches, BatchPlan, load_batches
from encore.data.training_transform import TrainingTransform
from encore.models.isc_network import CLASSIFIER_BLOCKS
from encore.runtime.numerics import exact
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.systems.isc.recipe import TrainingRecipe
from encore.systems.isc.start_weights import StartWeights, build_network, load_start_weights
from encore.training import checkpoint, checkpoint_files, loop, replay_step
from encore.training.class_parallel import BLOCKS_OVER, COUNTS, ClassParallelStep
from encore.training.distributed import join_processes, processes_key
from encore.training.journal import Journal
from encore.training.learning_rate import isc_epoch_factor
from encore.training.numerical_fault import check_step
from encore.training.optimizer_state import (
    adam,
    gather_named,
    load_adam_state,
    published_adam_state,
    trainable,
)


class Trained(NamedTuple):
    """Result of `train` (the same on every process)."""

    checkpoint: str
    """Path of the last epoch's checkpoint."""
    steps: int
    """Steps done by this call (fewer than the whole run's after a resume)."""
    classes: int
    resumed_from: Optional[str]
    start_weights: Optional[StartWeights]


def memory_format(device):
    """How images and weights lie in memory: with channels last convolutions on the CPU are up to 1.7 times as
    fast; only rounding differs."""
    return torch.channels_last if device.type == "cpu" else torch.contiguous_format


class IscTraining:
    """One process's part of a run: network, optimizer and data, ready for `loop.train`."""

    def __init__(self, recipe: TrainingRecipe, data_set, processes, device):
        self.recipe, self.processes, self.device = recipe, processes, device
        own = processes.share(recipe.replicas)
        chunk = recipe.batch // recipe.replicas
        plan = BatchPlan(
            recipe.system,
            recipe.seed,
            recipe.batch,
            recipe.instances,
            recipe.iterations,
            TrainingTransform(recipe.height, recipe.width, pad=recipe.pad, random=not recipe.plain),
            recipe.keep_bytes,
        )
        self.batches = Batches(data_set, plan, slice(own[0] * chunk, (own[-1] + 1) * chunk))
        self.own = own
        self.network = build_network(recipe, self.batches.classes, processes.share(CLASSIFIER_BLOCKS)).train()

    def to_device(self):
        """Move the network, then make what refers to its parameters."""
        self.network.to(self.device, memory_format=memory_format(self.device))
        self.optimizer = adam(self.network, self.recipe.learning_rate)
        self.gradients = ClassParallelStep(
            self.network, self.recipe.loss, self.recipe.replicas, self.processes
        )

    def step(self, epoch, step, batch):
        """One update; NumericalFault instead, on all processes, for what `check_step` finds."""
        images, labels = (part.to(self.device, non_blocking=True) for part in batch)
        rngs = [
            random.Random(
                derive_seed(self.recipe.seed, self.recipe.system, "wave_block", epoch, step, replica)
            )
            for replica in self.own
        ]
        total, terms = self.gradients.gradients(images, labels, rngs)
        loss, terms = total.item(), {name: term.item() for name, term in terms.items()}
        check_step(loss, terms, trainable(self.network).items(), images, self.processes)
        rate = self.recipe.rate(epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        return loop.StepResult(loss, terms, rate)

    def content(self, position):
        """The checkpoint's content at `position` (collective; whole on the first process)."""
        recipe = self.recipe
        state = gather_named(self.network.state_dict(), self.processes)
        optimizer = published_adam_state(
            self.network, self.optimizer, self.processes, recipe.rate(position.epoch), recipe.learning_rate
        )
        scheduler = checkpoint_files.lambda_lr_state(
            recipe.learning_rate,
            position.epoch,
            len(optimizer["param_groups"]),
            lambda epoch: isc_epoch_factor(epoch, *recipe.schedule),
        )
        ours = {"format": 1, "epoch": position.epoch, "step": position.step, "recipe": recipe.digest()}
        return {
            "state_dict": state,
            "epoch": position.epoch,
            "optimizer": optimizer,
            "lr_scheduler": scheduler,
            checkpoint_files.OURS: ours,
        }

    def save(self, folder, position):
        """Write the checkpoint at `position`: the published file after an epoch, a work file within one ->
        its path."""
        content, path = self.content(position), checkpoint.path_at(folder, position)
        if self.processes.is_first:
            checkpoint_files.save(path, content)
            self.drop_older(folder, path, position)
        self.processes.barrier()
        return path

    def drop_older(self, folder, path, position):
        """Remove the checkpoints in `folder` that the one at `path` makes superfluous."""
        checkpoint_files.drop_work(folder, but=path)
        if self.recipe.keep_checkpoints == "last" and not position.step:
            checkpoint.drop_epochs(folder, position.epoch - 1)

    def resume(self, path):
        """Take network and optimizer from a checkpoint, ours or published -> Position of the next step."""
        content = checkpoint.load(path)
        found = content.get(checkpoint_files.OURS, {}).get("recipe", self.recipe.digest())
        expected = self.recipe.digest()
        changed = sorted(name for name in set(found) | set(expected) if found.get(name) != expected.get(name))
        if changed:
            raise Refusal(
                "%s was written with other values of %s: resume with those, or start in an empty "
                "folder"
                % (
                    path,
                    ", ".join(
                        "%s (%s, now %s)" % (name, found.get(name), expected.get(name)) for name in changed
                    ),
                )
            )
        checkpoint.load_exactly(self.network, content["state_dict"], path)
        load_adam_state(self.network, self.optimizer, content["optimizer"])
        return checkpoint_files.position_of(content)


def _source(processes, resume, folder, device):
    """Path of the checkpoint that the first process goes on from, for every process; None: there is none."""
    newest = checkpoint.find_newest(folder) if processes.is_first and folder is not None else None
    return processes.first_says(resume or newest, device)


@exact()  # the published run lets cuDNN try algorithms out, and is not deterministic
def train(
    recipe: TrainingRecipe,
    data_set,
    start_weights_path,
    logs_dir,
    resume=None,
    auto_resume=False,
    device=None,
    on_step=None,
):
    """Train from a data set (`len`, `names`, `read(i)`) -> Trained; writes checkpoints and the record to
    `logs_dir`.

    resume: a checkpoint's path; auto_resume: go on from the newest in logs_dir, or start afresh where there
    is none. Of several processes the first decides on logs_dir and on the checkpoint, and all of them read
    that one; what the others pass for the three is not looked at. device: "cpu" or "cuda", by default what is
    there. on_step(epoch, step, StepResult): called after each step. On the CPU a run that is killed and
    resumed ends in the same bits (same number of threads), and so does one on 1, 2 or 4 processes. Raises
    Refusal for data, weights or values that do not fit, for a step with a numerical fault, and where another
    process of the run is lost. With --replay-step nothing is written.
    """
    processes, device = join_processes(device, processes_key(recipe.system), COUNTS, BLOCKS_OVER)
    logs_dir = processes.first_says(logs_dir, device)
    training = IscTraining(recipe, data_set, processes, device)
    source = _source(processes, resume, logs_dir if auto_resume else None, device)
    started = None
    if source is None and start_weights_path is not None:
        started = load_start_weights(training.network, start_weights_path)
    training.to_device()
    start = training.resume(source) if source is not None else checkpoint_files.Position(0, 0)
    batches = training.batches
    looks = replay_step.wanted(start) is not None
    writes = processes.is_first and not looks
    if writes and source is not None and os.path.samefile(os.path.dirname(source) or ".", logs_dir):
        training.drop_older(logs_dir, source, start)  # one killed right after saving it has not
    journal = Journal(logs_dir, len(batches), recipe.print_every, start) if writes else None

    def record(epoch, step, result, seconds, waited):
        if journal is not None:
            journal.step(epoch, step, result.learning_rate, result.loss, result.terms, seconds, waited)
        if on_step is not None:
            on_step(epoch, step, result)

    run = loop.Run(
        recipe.epochs,
        len(batches),
        lambda epoch, first: load_batches(batches, epoch, first, recipe.workers, device.type == "cuda"),
        training.step,
        lambda position: None if looks else training.save(logs_dir, position),
        record,
        recipe.save_every,
        networks=(training.network,),
        addresses=batches.names,
        folder=logs_dir,
    )
    try:
        steps = loop.train(run, start, "%s training" % recipe.system)
    finally:
        if journal is not None:
            journal.close()
    final = checkpoint.epoch_path(logs_dir, max(recipe.epochs, start.epoch) - 1)
    return Trained(final, steps, batches.classes, source, started)
