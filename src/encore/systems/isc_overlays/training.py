"""Training of the overlay detector: RetinaNet from scratch or from a backbone's weights.

Published: YOLOv5x from COCO's weights, 640 pixels, batches of 16, 50 epochs on one GPU.
"""

from __future__ import annotations

import os
from typing import NamedTuple, Optional

import torch

from encore.detection.retina_net import build_retina_net, load_portable, portable_state
from encore.runtime.numerics import exact
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.runtime.seeds import derive_seed
from encore.systems.isc_overlays.frames import SYSTEM, TrainingFrames
from encore.systems.isc_overlays.inference import (
    Precision,
    average_precision,
    save_detector,
)
from encore.systems.isc_overlays.training_set import TRAINING, VALIDATION
from encore.training import checkpoint_files, loop, replay_step
from encore.training.distributed import ALONE, join_processes
from encore.training.journal import Journal
from encore.training.learning_rate import warm_up_cosine
from encore.training.numerical_fault import check_step
from encore.training.whole_batch_norm import over_whole_batch

DETECTOR = "detector.pth"
CHECKPOINT = "checkpoint.pth"
FINAL_FACTOR = 0.01
STARTED_BY = "the number of processes"
"""What is to be changed where it does not fit: this training has no parameter for it."""


class Trained(NamedTuple):
    """Result of `train`."""

    detector: Optional[str]
    """Its path; None, as `precision`, on any process but the first."""
    steps: int
    """Steps done by this call (fewer than the whole run's after a resume)."""
    resumed_at: Optional[loop.Position]
    precision: Optional[Precision]
    """On the validation part."""


class OverlayTraining:
    """One process's part of a run: network, optimizer and data, ready for `loop.train`."""

    def __init__(self, recipe, labelled, device, processes=ALONE):
        self.recipe, self.device, self.processes = recipe, device, processes
        self.frames = TrainingFrames(labelled, recipe, own_rows(recipe.batch, processes))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(recipe.seed, SYSTEM, "initial weights"))
            self.network = build_retina_net(recipe.shape)
        if recipe.start is not None:
            load_backbone(self.network.backbone.body, recipe.start)
        over_whole_batch(self.network, processes).to(device).train()
        shrunk = [p for p in self.network.parameters() if p.dim() > 1]
        others = [p for p in self.network.parameters() if p.dim() <= 1]  # biases and BatchNorm do not decay
        groups = [{"params": shrunk}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)

    def step(self, epoch, step, batch):
        """One update; NumericalFault instead, on all processes, for what `check_step` finds."""
        frames, boxes, labels = batch
        images = list(frames.to(self.device).float().div_(255))
        targets = [
            {"boxes": own.to(self.device), "labels": kinds.to(self.device)}
            for own, kinds in zip(boxes, labels)
        ]
        terms = self.network(images, targets)
        total = terms["classification"] + terms["bbox_regression"]
        self.optimizer.zero_grad()
        total.backward()
        loss, *parts = self._mean([total.detach()] + [term.detach() for term in terms.values()])
        self._share_gradients()
        values = {name: part.item() for name, part in zip(terms, parts)}
        check_step(loss.item(), values, self.network.named_parameters(), frames, self.processes)
        rate = self.rate(epoch, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        return loop.StepResult(loss.item(), values, rate)

    def _mean(self, tensors):
        """The means of tensors over the processes: each has the mean over as many pictures."""
        count = self.processes.count
        return [summed / count for summed in self.processes.sum_many(tensors)] if count > 1 else tensors

    def _share_gradients(self):
        if self.processes.count == 1:
            return
        trained = list(self.network.parameters())
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        for parameter, gradient in zip(trained, self._mean(gradients)):
            parameter.grad = gradient

    def rate(self, epoch, step):
        """Learning rate of a step."""
        recipe, per_epoch = self.recipe, len(self.frames)
        return recipe.learning_rate * warm_up_cosine(
            epoch * per_epoch + step + 1,  # the first step, too, has a rate above 0
            recipe.epochs * per_epoch + 1,
            recipe.warm_up_epochs * per_epoch + 1,
            FINAL_FACTOR,
        )

    def save(self, path, position):
        """Write everything that the next step depends on -> `path`; draws come from addresses, so no random
        state."""
        content = {
            "state_dict": dict(portable_state(self.network)),
            "optimizer": self.optimizer.state_dict(),
            "epoch": position.epoch,
            "step": position.step,
            "recipe": self.recipe.digest(),
        }
        if self.processes.is_first:
            checkpoint_files.save(path, content)
        self.processes.barrier()
        return path

    def resume(self, path):
        """Take network and optimizer from a checkpoint of this recipe -> Position of the next step."""
        content = safe_load(path)
        missing = {"state_dict", "optimizer", "epoch", "step", "recipe"} - set(content)
        if missing or content["recipe"] != self.recipe.digest():
            raise Refusal(
                "{}: {}: remove it to start afresh".format(
                    path, "no checkpoint" if missing else "written with another recipe"
                )
            )
        load_portable(self.network, content["state_dict"], path)
        self.optimizer.load_state_dict(content["optimizer"])
        return loop.Position(content["epoch"], content["step"])


@exact()
def train(recipe, labelled, folder, device=None, on_step=None):
    """Train on the set {part: Labelled} -> Trained; the detector and the run's record lie in `folder`.

    A checkpoint that a killed run left there is gone on from, to the same bits on the CPU (same number of
    threads). on_step(epoch, step, StepResult): called after each step. Raises Refusal for pictures, weights
    or values that do not fit, for a step with a numerical fault, and where another process of the run is
    lost. With --replay-step nothing is written.

    The published run has one process. Several each take equal parts of a batch's pictures, with BatchNorm
    over all of it: of the same state, every gradient of a step agrees with that of one process to 1e-4 of the
    largest of its tensor (rounding). Of several processes the first decides on the folder.
    """
    processes, device = join_processes(device, STARTED_BY)
    folder = processes.first_says(folder, device)
    training = OverlayTraining(recipe, labelled[TRAINING], device, processes)
    path = os.path.join(folder, CHECKPOINT)
    resumed = training.resume(path) if processes.first_says(_if_there(path), device) else None
    start = resumed or loop.FROM_THE_START
    looks = replay_step.wanted(start) is not None
    journal = None
    if processes.is_first and not looks:
        os.makedirs(folder, exist_ok=True)
        journal = Journal(folder, len(training.frames), recipe.print_every, start)

    def record(epoch, step, result, seconds, waited):
        if journal is not None:
            journal.step(epoch, step, result.learning_rate, result.loss, result.terms, seconds, waited)
        if on_step is not None:
            on_step(epoch, step, result)

    run = loop.Run(
        recipe.epochs,
        len(training.frames),
        training.frames.batches,
        training.step,
        lambda position: None if looks else training.save(path, position),
        record,
        networks=(training.network,),
        addresses=training.frames.pictures,
        folder=folder,
    )
    try:
        steps = loop.train(run, start, SYSTEM + " training")
    finally:
        if journal is not None:
            journal.close()
    if not processes.is_first:
        return Trained(None, steps, resumed, None)
    detector = os.path.join(folder, DETECTOR)
    network = training.network.eval()
    save_detector(detector, network, recipe.shape)
    precision = average_precision(network, labelled[VALIDATION], recipe.shape.size, recipe.batch)
    return Trained(detector, steps, resumed, precision)


def own_rows(batch, processes):
    """This process's slice of each batch of so many pictures; Refusal where it does not divide."""
    size, rest = divmod(batch, processes.count)
    if rest:
        raise Refusal(
            "a batch of {} pictures cannot be shared by {} processes: start as many as divide it".format(
                batch, processes.count
            )
        )
    return slice(processes.rank * size, (processes.rank + 1) * size)


def _if_there(path):
    return path if os.path.exists(path) else None


def load_backbone(body, path):
    """Load a bare backbone state dict with torchvision's names (an fc is passed over) into `body`.

    Refusal, naming the file, for tensors that are missing or of another shape.
    """
    given, own = safe_load(path), body.state_dict()
    wrong = [
        name
        for name in own
        if getattr(given.get(name) if isinstance(given, dict) else None, "shape", None) != own[name].shape
    ]
    if wrong:
        raise Refusal(
            "{}: {} tensors of the backbone are missing or of another shape, the first is {}: give the "
            "weights of this backbone, or null".format(path, len(wrong), wrong[0])
        )
    body.load_state_dict({name: given[name] for name in own})
