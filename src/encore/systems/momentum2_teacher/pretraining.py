"""A Momentum²-Teacher run (spec isc-track1-training 2.2)."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple, Optional

import torch

from encore.data.training_transform import normalised
from encore.runtime.numerics import exact
from encore.runtime.refusal import Refusal
from encore.systems.momentum2_teacher import checkpoints
from encore.systems.momentum2_teacher.data_order import view_batches
from encore.systems.momentum2_teacher.networks import build_pair
from encore.systems.momentum2_teacher.published_files import backbone_of_teacher, write_backbone
from encore.systems.momentum2_teacher.recipe import SYSTEM, Momentum2Recipe
from encore.systems.momentum2_teacher.replica_statistics import ReplicaStatistics
from encore.systems.momentum2_teacher.schedules import FIRST_RATE, teacher_momentum
from encore.training import checkpoint_files, loop
from encore.training.distributed import ALONE, join_processes
from encore.training.journal import Journal
from encore.training.numerical_fault import NumericalFault, check_step
from encore.training.replay_step import wanted
from encore.training.replicas import GradientSum, running_statistics_kept


class Pretrained(NamedTuple):
    """Result of `pretrain`."""

    steps: int
    """Steps of the whole run."""
    done: int
    """Steps done by this call (fewer after a resume)."""
    first_loss: Optional[float]
    """None where the run goes on from a published checkpoint, which does not hold it."""
    last_loss: Optional[float]
    resumed_from: Optional[str]


def agreement_loss(first, second, teacher_of_first, teacher_of_second):
    """Mean of 4 - 2 (q1 . k2 + q2 . k1): each student's view against the teacher's other one; a scalar.

    All are unit vectors (n, c); without constants, the squared distances of both pairs.
    """
    agreement = (first * teacher_of_second).sum(1) + (second * teacher_of_first).sum(1)
    return (4 - 2 * agreement).mean()


class Training:
    """Networks, optimizer and counters of a run; `step` does one update.

    Each of the `processes` carries its share of the replicas; sums are taken in tree order (see `Processes`),
    so that their number changes no bit.
    """

    def __init__(self, recipe: Momentum2Recipe, iterations, device, processes=ALONE):
        self.recipe, self.iterations, self.device = recipe, iterations, device
        self.processes, self.own = processes, processes.share(recipe.replicas)
        self.total = recipe.epochs * iterations
        self.pair = build_pair(recipe, self.total).to(device).train()
        self.student = list(self.pair.student_encoder.parameters())
        self.optimizer = torch.optim.SGD(
            self.student, FIRST_RATE, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
        self.statistics = ReplicaStatistics(self.pair.momentum_norms(), recipe.replicas, processes)
        self.teacher_steps = 0
        """Iterations counted by the teacher's schedule; a lossy resume starts it again."""
        self.first_loss = self.last_loss = None

    def step(self, epoch, number, views):
        """One update with two uint8 batches (rows, 3, size, size), the rows of this process -> StepResult;
        loss and gradients are checked before it."""
        momentum = teacher_momentum(self.teacher_steps, self.total, self.recipe.teacher_momentum)
        views = [normalised(view).to(self.device) for view in views]
        with self._unchanged_by_a_fault():
            self.pair.follow(momentum)
            loss, gradients = self._gradients(views)
            for parameter, gradient in zip(self.student, gradients):
                parameter.grad = gradient
            named, terms = self.pair.student_encoder.named_parameters(), {"teacher_momentum": momentum}
            check_step(loss, terms, named, views[0], self.processes)
        rate = self._rate(epoch * self.iterations + number)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.teacher_steps += 1
        self.first_loss = loss if self.first_loss is None else self.first_loss
        self.last_loss = loss
        return loop.StepResult(loss, {"teacher_momentum": momentum}, rate)

    @contextlib.contextmanager
    def _unchanged_by_a_fault(self):
        """Put the teacher, which moves before the student, and its statistics back after a fault."""
        teacher = list(self.pair.teacher_encoder.parameters())
        before = [parameter.detach().clone() for parameter in teacher]
        statistics = self.statistics.kept()
        try:
            yield
        except NumericalFault:
            with torch.no_grad():
                for parameter, kept in zip(teacher, before):
                    parameter.copy_(kept)
            self.statistics.put_back(statistics)
            raise

    def _rate(self, number):
        # Published quirk: the rate is set after each step, so a lossy resume starts at that of the warm-up.
        if self.recipe.lossy_resume and self.teacher_steps == 0:
            return FIRST_RATE
        return self.recipe.rate(number, self.iterations)

    def _gradients(self, views):
        """The mean loss over the replicas and the gradients of the student, as DistributedDataParallel means
        them."""
        losses, sums = [], GradientSum()
        for replica, first, second in zip(self.own, *(torch.chunk(view, len(self.own)) for view in views)):
            loss = self._loss(replica, first, second)
            sums.add(torch.autograd.grad(loss, self.student))
            losses.append(loss.detach().double())
        total = sum(self.processes.gather(torch.stack(losses)).tolist())
        replicas, gradients = self.recipe.replicas, self.processes.sum_many(sums.total())
        return total / replicas, [gradient.div_(replicas) for gradient in gradients]

    def _loss(self, replica, first, second):
        student, teacher = self.pair.student_encoder, self.pair.teacher_encoder
        if replica == 0:
            of_first, of_second = student(first), student(second)
        else:
            with running_statistics_kept(student):
                of_first, of_second = student(first), student(second)
        with torch.no_grad(), self.statistics.of(replica):
            teacher_of_second, teacher_of_first = teacher(second), teacher(first)
        return agreement_loss(of_first, of_second, teacher_of_first, teacher_of_second)

    def content(self, position):
        """The checkpoint at `position`: the three published entries, and what an exact resume needs. Every
        process must call it; that of the first one is whole."""
        ours = {
            "format": 1,
            "epoch": position.epoch,
            "step": position.step,
            "recipe": self.recipe.digest(),
            "teacher_steps": self.teacher_steps,
            "statistics": self.statistics.state(),
            "first_loss": self.first_loss,
            "last_loss": self.last_loss,
        }
        return {
            "start_epoch": position.epoch,
            "model": checkpoints.model_state(self.pair),
            "optimizer": checkpoints.sgd_state(self.optimizer),
            checkpoint_files.OURS: ours,
        }

    def resume(self, content, source):
        """Go on from a loaded checkpoint -> Position of the next step.

        Exact: Refusal for a published checkpoint, which lacks what that needs, and for one of another recipe.
        Lossy: weights and epoch only.
        """
        ours = content.get(checkpoint_files.OURS)
        if ours is not None:
            self._refuse_another_recipe(ours["recipe"], source)
            self.first_loss, self.last_loss = ours["first_loss"], ours["last_loss"]
        elif not self.recipe.lossy_resume:
            raise Refusal(
                "%s is a published checkpoint, which lacks the teacher's counters: set lossy_resume to true "
                "to go on from its weights and epoch, as published" % source
            )
        checkpoints.load_model(self.pair, content["model"], source)
        position = checkpoints.position_of(content)
        if self.recipe.lossy_resume:
            self.statistics.spread()
            return position
        checkpoints.load_sgd_state(self.optimizer, content["optimizer"], source)
        self.statistics.load(ours["statistics"], source)
        self.teacher_steps = ours["teacher_steps"]
        return position

    def _refuse_another_recipe(self, found, source):
        expected = self.recipe.digest()
        changed = sorted(name for name in set(found) | set(expected) if found.get(name) != expected.get(name))
        if changed:
            raise Refusal(
                "%s was written with other values of %s: resume with those, or start afresh"
                % (
                    source,
                    ", ".join(
                        "%s (%s, now %s)" % (name, found.get(name), expected.get(name)) for name in changed
                    ),
                )
            )


def _start(training, folder, resume):
    """Load the checkpoint to go on from, which the first process finds -> (its path or None, Position)."""
    processes, path = training.processes, None
    if processes.is_first:
        path, _ = checkpoints.find_newest(folder, not training.recipe.lossy_resume)
        path = path or resume
    path = processes.first_says(path, training.device)
    return path, loop.FROM_THE_START if path is None else training.resume(checkpoints.load(path), path)


@exact()  # the published run lets cuDNN try algorithms out, and is not deterministic
def pretrain(recipe: Momentum2Recipe, source, folder, path, resume=None, device=None, on_step=None):
    """Pre-train on an image source (`len`, `names`, `read(i)`) -> Pretrained.

    Writes checkpoints and the record to `folder`, going on from what is there, and at the end the teacher's
    backbone to `path` in the published layout, atomically. resume: a checkpoint to go on from where `folder`
    has none. Of several processes the first decides on these three and writes, and all read its checkpoint;
    what the others pass for them is not looked at. on_step(epoch, step, StepResult): called after each step.
    On the CPU a run that is killed and started again ends in the same bits (same number of threads), unless
    recipe.lossy_resume is set, and so does one on any number of processes that share the replicas. Raises
    Refusal for images, checkpoints and values that do not fit, and for a step with a numerical fault; with
    recipe.lossy_resume no state within an epoch is saved, so that its epoch starts again after one. With
    --replay-step nothing is written.
    """
    processes, device = join_processes(device, "--nproc_per_node")
    if processes.is_first:
        os.makedirs(folder, exist_ok=True)
    folder = processes.first_says(folder, device)
    views = view_batches(source, recipe, processes.share(recipe.replicas))
    training = Training(recipe, views.iterations, device, processes)
    resumed_from, start = _start(training, folder, resume)
    looks = wanted(start) is not None
    writes = processes.is_first and not looks
    journal = Journal(folder, views.iterations, recipe.print_every, start) if writes else None

    def record(epoch, step, result, seconds, waited):
        if journal is not None:
            journal.step(epoch, step, result.learning_rate, result.loss, result.terms, seconds, waited)
        if on_step is not None:
            on_step(epoch, step, result)

    run = loop.Run(
        recipe.epochs,
        views.iterations,
        lambda epoch, first: views.batches(epoch, first, recipe.workers),
        training.step,
        lambda position: None if looks else _save(training, folder, position),
        record,
        0 if recipe.lossy_resume else recipe.save_every,
        networks=(training.pair,),
        addresses=views.names,
        folder=folder,
    )
    try:
        done = loop.train(run, start, "%s pre-training" % SYSTEM)
    finally:
        if journal is not None:
            journal.close()
    if processes.is_first:
        write_backbone(path, backbone_of_teacher(checkpoints.model_state(training.pair)))
    return Pretrained(training.total, done, training.first_loss, training.last_loss, resumed_from)


def _save(training, folder, position):
    """The first process writes the checkpoint at `position` -> its path; None, and nothing is written, within
    an epoch of a run whose resume is lossy, which reads no such state."""
    if training.recipe.lossy_resume and position.step:
        return None
    content = training.content(position)
    path = checkpoints.path_at(folder, position)
    if training.processes.is_first:
        checkpoints.save(folder, content, position)
    training.processes.barrier()
    return path
