"""Barlow Twins pre-training of the backbone (Zbontar et al. 2021), which makes the start weights of ISC Track
2.

Published: ResNet-50, 1000 epochs of ImageNet in batches of 2048, projector 8192-8192-8192, lambda 0.0051,
LARS with weights at 0.2 and biases at 0.0048 (times batch / 256), 10 epochs of warm-up, cosine to a
thousandth; about 7 days on 16 V100, which share each batch, BatchNorm and correlation over all of it. The
published weights are downloaded, not made again; this makes a backbone for a small run.

Several processes share a batch as published, with synchronised BatchNorm and sums in a fixed order. What
still depends on their number is how a process adds up the pictures of its share. In float64 the gradients
that 1, 2 and 4 processes have of the same weights agree to 1e-12 of their norm; in float32, in which it
trains, they differ by its rounding, which BatchNorm and correlation over few pictures amplify: at the tests'
size to 1e-4 (measured: 2e-5), and by more where an input of a ReLU lies that near to zero. Several are not
farther from float64 than one.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import random
from dataclasses import dataclass
from typing import NamedTuple, Tuple

import torch
import torch.nn as nn

from encore.data.training_transform import normalised
from encore.data.two_views import published_views
from encore.data.view_batches import TwoViewBatches, permutation
from encore.losses.barlow_twins import barlow_twins
from encore.models.resnet import RESNET50_LAYERS, ResNet
from encore.runtime.numerics import exact
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.runtime.shared_memory import loader_bytes
from encore.training import checkpoint_files, loop
from encore.training.distributed import ALONE, join_processes
from encore.training.lars import Lars
from encore.training.learning_rate import warm_up_cosine
from encore.training.numerical_fault import check_step
from encore.training.replay_step import wanted
from encore.training.replicas import leaf
from encore.training.whole_batch_norm import over_whole_batch

SYSTEM = "barlow_twins"


@dataclass(frozen=True)
class PretrainingRecipe:
    """Everything a pre-training run depends on; the defaults are the published values."""

    seed: int = 0
    layers: Tuple[int, ...] = RESNET50_LAYERS
    width: int = 64
    """Channels after the first convolution."""
    size: int = 224
    batch: int = 2048
    epochs: int = 1000
    warm_up_epochs: int = 10
    projector: Tuple[int, ...] = (8192, 8192, 8192)
    off_diagonal_weight: float = 0.0051
    learning_rate_weights: float = 0.2
    learning_rate_biases: float = 0.0048
    momentum: float = 0.9
    trust: float = 0.001
    weight_decay: float = 1e-6
    save_every: int = limited(0, low=0)
    """Steps between checkpoints within an epoch; 0: only the one after each epoch."""
    workers: int = 8

    def __post_init__(self):
        for name in ("width", "size", "epochs"):
            if getattr(self, name) < 1:
                raise Refusal("pretraining.%s must be at least 1, found %d" % (name, getattr(self, name)))
        if self.batch < 2 or self.warm_up_epochs >= self.epochs:
            raise Refusal(
                "pretraining.batch must be at least 2 and warm_up_epochs below epochs, found %d "
                "and %d of %d" % (self.batch, self.warm_up_epochs, self.epochs)
            )

    def shared_memory(self):
        """Bytes of shared memory that the loader's batches of two uint8 views need."""
        return loader_bytes(self.workers, 2 * self.batch * 3 * self.size**2)

    def digest(self):
        """What a resumed run must share with the one that wrote the checkpoint, as name -> text."""
        values = dataclasses.asdict(self)
        for free in ("save_every", "workers"):
            del values[free]
        return {name: json.dumps(value, sort_keys=True) for name, value in values.items()}


class Pretrained(NamedTuple):
    """Result of `pretrain`."""

    steps: int
    """Steps of the whole run."""
    done: int
    """Steps done by this call (fewer after a resume)."""
    losses: Tuple[float, ...]
    """Of every step of the whole run."""


def projector(features, widths):
    """Linear, BatchNorm, ReLU between the given widths; the last layer linear only; no biases before
    BatchNorm."""
    widths = [features] + list(widths)
    layers = []
    for inputs, outputs in zip(widths[:-2], widths[1:-1]):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1], bias=False))


class _SeededView:
    """A view that takes its seed instead of a generator."""

    def __init__(self, view):
        self.view = view

    def __call__(self, image, seed):
        return self.view(image, random.Random(seed))


def two_views(source, recipe, processes=ALONE):
    """The batches of a run, of which each of the processes holds its share: an epoch is a permutation of the
    source; Refusal for less than a batch, and for one that cannot be shared."""
    iterations = len(source) // recipe.batch
    if iterations == 0:
        raise Refusal(
            "pre-training needs one batch of %d images at least, found %d: lower "
            "pretraining.batch" % (recipe.batch, len(source))
        )
    if recipe.batch % processes.count:
        raise Refusal(
            "pretraining.batch: %d images cannot be shared evenly by %d processes: start another number of "
            "them" % (recipe.batch, processes.count)
        )
    share = recipe.batch // processes.count
    own = slice(processes.rank * share, (processes.rank + 1) * share)
    rows = functools.partial(_rows, recipe, len(source))
    views = [_SeededView(view) for view in published_views(recipe.size)]
    return TwoViewBatches(source, views, rows, iterations, recipe.seed, SYSTEM, own)


def _rows(recipe, count, epoch, step):
    return permutation(recipe.seed, SYSTEM, epoch, count)[step * recipe.batch : (step + 1) * recipe.batch]


class Training:
    """Network, optimizer and losses of a run; `step` does one update."""

    def __init__(self, recipe: PretrainingRecipe, iterations, device, processes=ALONE):
        self.recipe, self.iterations, self.device, self.processes = recipe, iterations, device, processes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(recipe.seed, SYSTEM, "initial weights"))
            backbone = ResNet(recipe.layers, recipe.width, classes=None)
            network = nn.ModuleDict({"backbone": backbone})
            network["projector"] = projector(backbone.features, recipe.projector)
        self.network = over_whole_batch(network, processes).to(device).train()
        parameters = list(self.network.parameters())
        groups = [
            dict(params=[p for p in parameters if p.dim() > 1], scale=recipe.learning_rate_weights),
            dict(params=[p for p in parameters if p.dim() == 1], scale=recipe.learning_rate_biases),
        ]
        self.optimizer = Lars(groups, 0.0, recipe.momentum, recipe.trust, recipe.weight_decay)
        self.losses = []

    def step(self, epoch, number, pair):
        """One update with two uint8 batches (rows, 3, size, size), the rows of this process -> StepResult;
        loss and gradients are checked before it."""
        views = [normalised(view).to(self.device) for view in pair]
        loss = self._gradients(views)
        named = self.network.named_parameters()
        check_step(loss, {"barlow_twins": loss}, named, views[0], self.processes)
        factor = self._factor(epoch * self.iterations + number)
        for group in self.optimizer.param_groups:
            group["lr"] = group["scale"] * factor
        self.optimizer.step()
        self.losses.append(loss)
        return loop.StepResult(loss, {}, factor)

    def _gradients(self, views):
        """Set `.grad` of every parameter -> the loss, a number.

        Every process computes the loss of the whole batch, and goes back into its own rows.
        """
        own = [self.network["projector"](self.network["backbone"](view)) for view in views]
        whole = [leaf(self.processes.gather(part.detach())) for part in own]
        loss = barlow_twins(*whole, off_diagonal_weight=self.recipe.off_diagonal_weight)
        rows, first = len(own[0]), self.processes.rank * len(own[0])
        into = [gradient[first : first + rows] for gradient in torch.autograd.grad(loss, whole)]
        parameters = list(self.network.parameters())
        gradients = list(torch.autograd.grad(own, parameters, into))
        for parameter, gradient in zip(parameters, self.processes.sum_many(gradients)):
            parameter.grad = gradient.contiguous()  # as backward() lays it out: LARS takes its norm
        return loss.item()

    def _factor(self, number):
        recipe, per_epoch = self.recipe, self.iterations
        factor = warm_up_cosine(number, recipe.epochs * per_epoch, recipe.warm_up_epochs * per_epoch)
        return factor * recipe.batch / 256

    def save(self, folder, position):
        """The first process writes the checkpoint at `position`, and removes those before it -> its path."""
        path = checkpoint_files.work_path(folder, position)
        if self.processes.is_first:
            ours = {"epoch": position.epoch, "step": position.step, "recipe": self.recipe.digest()}
            content = {
                "model": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "losses": torch.tensor(self.losses, dtype=torch.float64),
                checkpoint_files.OURS: ours,
            }
            checkpoint_files.save(path, content)
            checkpoint_files.drop_work(folder, but=path)
        self.processes.barrier()
        return path

    def resume(self, path):
        """Go on from a checkpoint -> Position of the next step; Refusal for one of another recipe."""
        keys = ("model", "optimizer", "losses", checkpoint_files.OURS)
        content = checkpoint_files.load(path, keys, "Barlow Twins", os.path.basename(path))
        found, expected = content[checkpoint_files.OURS]["recipe"], self.recipe.digest()
        changed = sorted(name for name in set(found) | set(expected) if found.get(name) != expected.get(name))
        if changed:
            raise Refusal(
                "%s was written with other values of %s: resume with those, or start in an empty folder"
                % (path, ", ".join(changed))
            )
        self.network.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.losses = content["losses"].tolist()
        return checkpoint_files.position_of(content)


def _newest(folder):
    """Path of the checkpoint that has come furthest in `folder`, or None."""
    names = filter(checkpoint_files.WORK_NAME.fullmatch, os.listdir(folder))
    found = [(tuple(map(int, checkpoint_files.WORK_NAME.fullmatch(name).groups())), name) for name in names]
    return os.path.join(folder, max(found)[1]) if found else None


@exact()
def pretrain(recipe: PretrainingRecipe, source, folder, path, device=None, on_step=None):
    """Pre-train on an image source (`len`, `names`, `read(i)`) -> Pretrained.

    Writes checkpoints to `folder`, going on from what is there, and at the end the backbone's bare state dict
    with torchvision's names and without fc to `path`, atomically. Of several processes the first writes, and
    all read its checkpoint; what the others pass for `folder` and `path` is not looked at. On the CPU a run
    that is killed and started again ends in the same bits (same number of processes and threads).
    on_step(epoch, step, StepResult): called after each step. Raises Refusal for images, checkpoints and
    values that do not fit, and for a step with a numerical fault. With --replay-step nothing is written.
    """
    processes, device = join_processes(device, "--nproc_per_node")
    if processes.is_first:
        os.makedirs(folder, exist_ok=True)
    folder = processes.first_says(folder, device)
    views = two_views(source, recipe, processes)
    training = Training(recipe, views.iterations, device, processes)
    newest = processes.first_says(_newest(folder) if processes.is_first else None, device)
    start = loop.FROM_THE_START if newest is None else training.resume(newest)
    looks = wanted(start) is not None

    def record(epoch, step, result, seconds, waited):
        if on_step is not None:
            on_step(epoch, step, result)

    run = loop.Run(
        recipe.epochs,
        views.iterations,
        lambda epoch, first: views.batches(epoch, first, recipe.workers),
        training.step,
        lambda position: None if looks else training.save(folder, position),
        record,
        recipe.save_every,
        networks=(training.network,),
        addresses=views.names,
        folder=folder,
    )
    done = loop.train(run, start, "%s pre-training" % SYSTEM)
    if processes.is_first:
        state = training.network["backbone"].state_dict()
        checkpoint_files.save(path, {name: value.cpu() for name, value in state.items()})
    return Pretrained(recipe.epochs * views.iterations, done, tuple(training.losses))
