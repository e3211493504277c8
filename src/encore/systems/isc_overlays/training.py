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
    default_device,
    save_detector,
)
from encore.systems.isc_overlays.training_set import TRAINING, VALIDATION
from encore.training import checkpoint_files, loop
from encore.training.journal import Journal
from encore.training.learning_rate import warm_up_cosine

DETECTOR = "detector.pth"
CHECKPOINT = "checkpoint.pth"
FINAL_FACTOR = 0.01


class Trained(NamedTuple):
    """Result of `train`."""

    detector: str
    """Its path."""
    steps: int
    """Steps done by this call (fewer than the whole run's after a resume)."""
    resumed_at: Optional[loop.Position]
    precision: Precision
    """On the validation part."""


class OverlayTraining:
    """Network, optimizer and data of a run, ready for `loop.train`."""

    def __init__(self, recipe, labelled, device):
        self.recipe, self.device = recipe, device
        self.frames = TrainingFrames(labelled, recipe)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(recipe.seed, SYSTEM, "initial weights"))
            self.network = build_retina_net(recipe.shape)
        if recipe.start is not None:
            load_backbone(self.network.backbone.body, recipe.start)
        self.network.to(device).train()
        shrunk = [p for p in self.network.parameters() if p.dim() > 1]
        others = [p for p in self.network.parameters() if p.dim() <= 1]  # biases and BatchNorm do not decay
        groups = [{"params": shrunk}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)

    def step(self, epoch, step, batch):
        """One update; the loss is checked before it."""
        frames, boxes, labels = batch
        images = list(frames.to(self.device).float().div_(255))
        targets = [
            {"boxes": own.to(self.device), "labels": kinds.to(self.device)}
            for own, kinds in zip(boxes, labels)
        ]
        terms = self.network(images, targets)
        total = terms["classification"] + terms["bbox_regression"]
        values = {name: term.item() for name, term in terms.items()}
        loop.refuse_unless_finite(total.item(), values, epoch, step)
        rate = self.rate(epoch, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()
        return loop.StepResult(total.item(), values, rate)

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
        """Write everything that the next step depends on; draws come from addresses, so no random state."""
        content = {
            "state_dict": dict(portable_state(self.network)),
            "optimizer": self.optimizer.state_dict(),
            "epoch": position.epoch,
            "step": position.step,
            "recipe": self.recipe.digest(),
        }
        checkpoint_files.save(path, content)

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
    or values that do not fit, and for a loss that is not finite.
    """
    os.makedirs(folder, exist_ok=True)
    training = OverlayTraining(recipe, labelled[TRAINING], device or default_device())
    path = os.path.join(folder, CHECKPOINT)
    resumed = training.resume(path) if os.path.exists(path) else None
    start = resumed or loop.FROM_THE_START
    journal = Journal(folder, len(training.frames), recipe.print_every, start)

    def record(epoch, step, result, seconds, waited):
        journal.step(epoch, step, result.learning_rate, result.loss, result.terms, seconds, waited)
        if on_step is not None:
            on_step(epoch, step, result)

    run = loop.Run(
        recipe.epochs,
        len(training.frames),
        training.frames.batches,
        training.step,
        lambda position: training.save(path, position),
        record,
    )
    try:
        steps = loop.train(run, start, SYSTEM + " training")
    finally:
        journal.close()
    detector = os.path.join(folder, DETECTOR)
    network = training.network.eval()
    save_detector(detector, network, recipe.shape)
    precision = average_precision(network, labelled[VALIDATION], recipe.shape.size, recipe.batch)
    return Trained(detector, steps, resumed, precision)


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
