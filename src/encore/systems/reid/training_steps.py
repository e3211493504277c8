"""The steps of a training run: one update, the counters between them, and what a resume needs of both."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from torch import nn

from encore.runtime.seeds import derive_seed
from encore.systems.reid import SYSTEM
from encore.systems.reid.network import Outputs
from encore.systems.reid.objective import CLASSIFICATION, Objective
from encore.systems.reid.optimizers import build_optimizer, rates, set_factor
from encore.systems.reid.rates import rate_factor
from encore.systems.reid.record import TRIPLET_TAGS
from encore.systems.reid.replica_shares import ReplicaShares
from encore.systems.reid.replica_step import ReplicaStep
from encore.systems.reid.weights import PREFIX
from encore.training import loop
from encore.training.checkpoint_files import Position
from encore.training.distributed import ALONE
from encore.training.numerical_fault import check_step

ACCURACY_STEPS = 50
"""H: steps of an epoch from one look at the batch accuracy to the next."""
SUMS = ("loss", "accuracy", "rows")


class ReidTraining:
    """Network, optimizer and counters of a run; `step` does one update.

    params: ReidParams. iterations: per epoch. network: a ReidNetwork with its first weights. teaching: a
    Distillation or None. device: of the network. replicas: of a batch; with encore.replicas they run one
    after the other, shared by `processes`, else on as many GPUs, the first one is `device`.
    """

    def __init__(self, params, iterations, network, teaching, device, replicas=1, processes=ALONE):
        self.params, self.iterations, self.device, self.processes = params, iterations, device, processes
        self.teaching, self.objective = teaching, Objective(params)
        self.network = network.to(device).train()
        groups = self.network.parameter_groups(params)
        self.optimizer = build_optimizer(params.optimizer, groups, params.weight_decay)
        self.replicas, self._classifies = replicas, CLASSIFICATION in params.losses
        if replicas > 1 and params.encore.replicas is not None:
            shares = ReplicaShares(replicas, processes)
            self._pass = ReplicaStep(self.network, shares, params.encore.seed, teaching)
        else:
            self._pass = _WholeStep(self.network, replicas, params.encore.seed, teaching)
        self.accuracy = 0.0
        """H: of the batch that was looked at last."""
        self.rows = 0
        """Pictures of the last step."""
        self.sums = dict.fromkeys(SUMS, 0)
        """Of the epoch so far: rows, and over them the loss and, where there is one, the accuracy."""
        self.train = {}
        """train_loss and, where something classifies, train_accuracy of the last epoch."""
        self.best = {"value": 0.0}
        """The best evaluation: value, epoch (from 0), iteration (done); published: it must exceed 0."""
        self.evaluation = {}
        """The numbers of the last one."""

    def iteration(self, position):
        """Number of iterations before a Position."""
        return position.epoch * self.iterations + position.step

    def step(self, epoch, number, batch):
        """One update with (images float32 (rows, 3, h, w) of this process, labels int64 (b,) of the batch) ->
        StepResult; loss and gradients are checked before it.

        Published order: the rate is set before the update.
        """
        images, labels = (tensor.to(self.device) for tensor in batch)
        iteration = self.iteration(Position(epoch, number))
        seed = self.params.encore.seed
        draws = np.random.RandomState(derive_seed(seed, SYSTEM, "branches", iteration) % 2**32)
        outputs, taught = self._pass.outputs(images, labels, self.accuracy, iteration)
        found = self.objective(outputs, labels, draws)
        total, terms = found.total, self._terms(found, outputs)
        if self.teaching is not None:
            term = self.teaching.term(outputs, taught)
            total, terms["teacher"] = total + term, term.item()
        value = total.item()
        self.optimizer.zero_grad()
        self._pass.backward(total)
        check_step(value, terms, self.network.named_parameters(), images, self.processes)
        set_factor(self.optimizer, rate_factor(self.params, epoch, iteration, self.iterations))
        terms.update(self.rates())
        self.optimizer.step()
        self._count(value, found.accuracy, len(labels), number)
        return loop.StepResult(value, terms, terms["learning_rate"])

    def _terms(self, found, outputs):
        """Name -> number of all that is recorded of a step but the rates."""
        terms = dict(found.terms)
        if self._classifies:
            terms["accuracy"] = found.accuracy
        if found.triplet is not None:
            triplet = found.triplet
            values = (triplet.pull_ratio, triplet.active, triplet.mean_negative - triplet.mean_positive)
            terms.update(zip(TRIPLET_TAGS, values))
        if outputs.st_mean is not None:
            terms["st_mean"] = outputs.st_mean.mean().item()  # of each GPU
        return terms

    def _count(self, loss, accuracy, rows, number):
        accuracy = accuracy if self._classifies else 0.0
        if self.params.state == "H" and number % ACCURACY_STEPS == 0:
            self.accuracy = accuracy
        self.rows = rows
        for name, value in zip(SUMS, (loss * rows, accuracy * rows, rows)):
            self.sums[name] += value

    def rates(self):
        """learning_rate (of the backbone) and fc_learning_rate as they are set."""
        return rates(self.optimizer, not self.params.fine_tune)

    def end_epoch(self):
        """The means over the epoch, and the rates, by name; sums start again."""
        sums, self.sums = self.sums, dict.fromkeys(SUMS, 0)
        names = SUMS[:2] if self._classifies else SUMS[:1]
        self.train = {"train_" + name: sums[name] / sums["rows"] for name in names}
        return dict(self.train, **self.rates())

    def take(self, measured, epoch, done):
        """Count an evaluation (Measured) after `done` iterations -> whether it is the best so far; of equal
        ones the first is (published)."""
        self.evaluation = dict(measured.metrics)
        better = measured.value > self.best["value"]
        if better:
            self.best = {"value": measured.value, "epoch": epoch, "iteration": done}
        return better

    def metrics(self):
        """Name -> number of what the run has come to: the last epoch's, the last evaluation's, and the best
        one's value with its epoch and its number of iterations (where there is any)."""
        best = {"best_" + name: number for name, number in self.best.items()} if self.evaluation else {}
        return dict(self.evaluation, **dict(self.train, **best))

    def weights(self):
        """The state dict to publish, on the CPU; published: with several GPUs each name has a
        prefix."""
        prefix = PREFIX if self.replicas > 1 else ""
        state = self.network.state_dict()
        return OrderedDict((prefix + name, tensor.cpu()) for name, tensor in state.items())

    def content(self, position, identity, due=False):
        """What an exact resume at the Position needs; identity: name -> text of the run. due: the evaluation
        after the step before the Position is still to be made."""
        return {
            "evaluation_due": due,
            "format": 1,
            "identity": dict(identity),
            "position": tuple(position),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "counters": {
                "accuracy": self.accuracy,
                "sums": dict(self.sums),
                "train": dict(self.train),
                "best": dict(self.best),
                "evaluation": dict(self.evaluation),
            },
        }

    def resume(self, content):
        """Go on from `content` of the same run -> Position of the next step."""
        self.network.load_state_dict(content["network"])
        self.optimizer.load_state_dict(content["optimizer"])
        counters = content["counters"]
        self.accuracy, self.sums, self.train = counters["accuracy"], counters["sums"], counters["train"]
        self.best, self.evaluation = counters["best"], counters["evaluation"]
        return Position(*content["position"])


class _WholeStep:
    """A batch in one graph: by the network as it is, or by nn.DataParallel on several GPUs.

    Dropout draws from the address (seed, "reid", "dropout", iteration).
    """

    def __init__(self, network, replicas, seed, teaching):
        self.seed, self.teaching = seed, teaching
        self._forward = _Plain(network)
        if replicas > 1:
            self._forward = nn.DataParallel(self._forward, list(range(replicas)))

    def outputs(self, images, labels, accuracy, iteration):
        """(Outputs, the teacher's Outputs or None) of the batch."""
        torch.manual_seed(derive_seed(self.seed, SYSTEM, "dropout", iteration))
        outputs = Outputs(*self._forward(images, labels, accuracy, iteration))
        return outputs, None if self.teaching is None else self.teaching.taught(images)

    def backward(self, total):
        """Set `.grad` of every parameter that the loss `total` depends on."""
        total.backward()


class _Plain(nn.Module):
    """The network with outputs that DataParallel can gather: lists of tensors, and one tensor or None."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images, labels, accuracy, iteration):
        outputs = self.network(images, labels=labels, accuracy=accuracy, global_step=iteration)
        mean = outputs.st_mean
        if mean is not None:
            mean = torch.as_tensor(mean, dtype=torch.float32, device=images.device).reshape(1)
        return outputs.logits, outputs.features, mean
