"""Training a student on stored labels: no teacher, no draws but those that the labels hold."""

from __future__ import annotations

import json
import math
import os
from typing import NamedTuple, Optional

import torch

from encore.losses.distillation import divergence, softened
from encore.runtime.numerics import exact
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.systems.fkd import student_checkpoints as checkpoints
from encore.systems.fkd.accumulation import chunks
from encore.systems.fkd.distilled_batches import DistilledBatches, mixed_inputs
from encore.systems.fkd.optimizers import set_rate
from encore.systems.fkd.sections import SYSTEM
from encore.systems.fkd.top_k import hits, keep_top_k
from encore.systems.fkd.tracking import Tracker
from encore.systems.fkd.train_recipe import StudentRecipe
from encore.systems.fkd.validation import ANSWERS, Answers, check_classes, evaluate
from encore.training import checkpoint_files, loop
from encore.training.checkpoint_files import Position

SUMS = ("loss", "top1", "top5", "rows")


class Trained(NamedTuple):
    """Result of `train_student`, and of `classification.train_classifier`."""

    top1: Optional[float]
    """Of the last epoch, in percent; None without validation, as the next three."""
    top5: Optional[float]
    loss: Optional[float]
    """Mean cross entropy of the validation."""
    best_top1: Optional[float]
    """Highest of the validated epochs."""
    train_loss: Optional[float]
    """Mean over the last epoch; as published, each chunk's loss is divided by the number of chunks."""
    steps: int
    """Updates of the whole run."""
    done: int
    """Updates made by this call (fewer after a resume)."""
    resumed_from: Optional[str]
    checkpoint: str
    """Path of the checkpoint that holds the result: the last epoch's, or the best one's where a classifier's
    recipe keeps that."""


class Training:
    """Student, optimizer and counters of a run; `step` does one update, `end_epoch` what follows the last
    one."""

    def __init__(self, recipe: StudentRecipe, student, labels, identity, device):
        self.recipe, self.iterations, self.device = recipe, labels.batches, device
        self.student = student.to(device).train()
        self.optimizer = recipe.build_optimizer(self.student)
        for group in self.optimizer.param_groups:
            group["initial_lr"] = recipe.learning_rate  # as the published scheduler leaves it
        self.digest = dict(recipe.digest(), **identity)
        self.sums = dict.fromkeys(SUMS, 0)
        """Of the epoch so far: rows, and over them the loss, and the hits among the first and first five."""
        self.best = 0.0
        self.validated, self.train_loss = {}, None

    def step(self, epoch, number, batch):
        """One update with batch `number` of an epoch (a DistilledBatch) -> StepResult; terms: chunk -> its
        loss, which is checked before the update."""
        set_rate(self.optimizer, self.recipe.rate(epoch))
        torch.manual_seed(derive_seed(self.recipe.seed, SYSTEM, "train", epoch, number))  # dropout
        pixels, targets = batch.pixels.to(self.device), batch.targets.to(self.device)
        probabilities = softened(batch.logits.to(self.device), self.recipe.temperature)
        probabilities = keep_top_k(probabilities, self.recipe.keep_top_k)
        self.optimizer.zero_grad()
        losses = {}
        for place, chunk in enumerate(self._chunks(len(pixels))):
            rows = slice(chunk.first, chunk.last)
            logits = self.student(
                mixed_inputs(pixels, batch.mix, self.recipe.mean, self.recipe.deviation, rows)
            )
            loss = divergence(logits, probabilities[rows], self.recipe.temperature, self.recipe.squared)
            loss = loss / chunk.divisor
            losses["chunk_%d" % place] = value = loss.item()
            loop.refuse_unless_finite(value, losses, epoch, number)
            loss.backward()
            self._count(value, logits.detach(), targets[rows])
        self.optimizer.step()
        return loop.StepResult(sum(losses.values()), losses, self.recipe.rate(epoch))

    def _chunks(self, rows):
        return chunks(rows, self.recipe.batch, self.recipe.accumulation, self.recipe.unbiased)

    def _count(self, loss, logits, targets):
        # Published: mixed pictures count as the class of the unmixed one, so these accuracies are no goal.
        rows = len(targets)
        values = (loss * rows, hits(logits, targets, 1), hits(logits, targets, 5), rows)
        for name, value in zip(SUMS, values):
            self.sums[name] += value

    def end_epoch(self, epoch, validation):
        """Validate with `validation` (network -> {top1, top5, loss}, or None) where the epoch asks for it ->
        (published name -> number, whether this is the best epoch so far); sums start again."""
        sums, self.sums = self.sums, dict.fromkeys(SUMS, 0)
        rows = sums["rows"]
        self.train_loss = sums["loss"] / rows
        values = {
            "train/loss": self.train_loss,
            "train/Top1": 100.0 * sums["top1"] / rows,
            "train/Top5": 100.0 * sums["top5"] / rows,
            "train/lr": self.recipe.rate(epoch),
            "train/epoch": epoch,
        }
        if validation is None or not self.recipe.validates(epoch):
            return values, False
        self.validated = _finite(validation(self.student), epoch)
        values.update({"val/" + name: value for name, value in self.validated.items()})
        values["val/epoch"] = epoch
        best = self.validated["top1"] > self.best
        self.best = max(self.best, self.validated["top1"])
        return values, best

    def content(self, position):
        """The checkpoint at `position`: the five published entries, and what an exact resume needs."""
        set_rate(self.optimizer, self.recipe.rate(position.epoch))
        groups = len(self.optimizer.param_groups)
        ours = {
            "format": 1,
            "epoch": position.epoch,
            "step": position.step,
            "recipe": self.digest,
            "sums": dict(self.sums),
            "validated": dict(self.validated),
            "train_loss": self.train_loss,
        }
        return {
            "epoch": position.epoch,
            "state_dict": checkpoints.student_state(self.student),
            "best_acc1": self.best,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": checkpoint_files.lambda_lr_state(
                self.recipe.learning_rate, position.epoch, groups, self.recipe.factor
            ),
            checkpoint_files.OURS: ours,
        }

    def resume(self, content, source):
        """Go on from a loaded checkpoint -> Position of the next step; Refusal for one of another recipe,
        network or optimizer. A published one holds all that the start of an epoch needs, but no recipe to
        compare with."""
        ours = content.get(checkpoint_files.OURS)
        if ours is not None:
            self._refuse_another_recipe(ours["recipe"], source)
            self.sums, self.validated = dict(ours["sums"]), dict(ours["validated"])
            self.train_loss = ours["train_loss"]
        checkpoints.load_student(self.student, content["state_dict"], source)
        checkpoints.load_optimizer(self.optimizer, content["optimizer"], source)
        self.best = float(content["best_acc1"])
        return checkpoint_files.position_of(content)

    def _refuse_another_recipe(self, found, source):
        expected = self.digest
        changed = sorted(name for name in set(found) | set(expected) if found.get(name) != expected.get(name))
        if changed:
            texts = ["%s (%s, now %s)" % (name, found.get(name), expected.get(name)) for name in changed]
            raise Refusal(
                "%s was written with other values of %s: go on with those, or start in an empty folder"
                % (source, ", ".join(texts))
            )


@exact()  # the published run lets cuDNN try algorithms out, and is not deterministic
def train_student(
    recipe: StudentRecipe,
    student,
    labels,
    images,
    validation,
    folder,
    device=None,
    key=None,
    name=None,
    on_step=None,
):
    """Train `student` (a network, changed in place) on `labels` (Labels) of `images` (ClassFolders) ->
    Trained.

    validation: ClassFolders, or None for a run without. Writes checkpoints and the record to `folder`, going
    on from what is there (our checkpoint or a published one). key: wandb's, for the mode online. name: of the
    wandb run; None: the folder's. on_step(epoch, step, StepResult): called after each step. On the CPU a run
    that is killed and started again ends in the same bits (same number of threads), whatever the number of
    loader processes. Raises Refusal, before the first step, for labels that do not fit pictures and recipe,
    for validation pictures of other classes and for a checkpoint of another run, and later for a loss, of a
    step or a validation, that is not finite.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    check_data(recipe, labels, images, validation)
    os.makedirs(folder, exist_ok=True)
    training = Training(recipe, student, labels, _identity(labels, images), device)
    source, start = start_of(training, folder, recipe.start_epoch)
    batches = _batches(recipe, labels, images)
    tracker = Tracker(folder, recipe.wandb, recipe.wandb_project, key, start.epoch, name)

    def validate(network):
        answers = Answers()
        scores = _validated(recipe, network, validation, device, answers)
        answers.evidence().write(os.path.join(folder, ANSWERS))
        return scores

    done = run_through(
        training, batches, start, folder, tracker, validation and validate, "%s student" % SYSTEM, on_step
    )
    path = os.path.join(folder, checkpoints.NAME)
    return trained(training, validation, recipe.start_epoch, done, source, path)


def run_through(training, batches, start, folder, tracker, validate, what, on_step=None):
    """Do all steps of `training` from the Position `start` on, with a checkpoint in `folder` and a row of
    `tracker` after each epoch -> number of steps done.

    batches: their `loader(epoch, first, workers)`; they and the tracker are closed at the end. validate:
    network -> {top1, top5, loss}, or None. what: for the progress bar. The global random numbers are left
    alone.
    """
    recipe, device = training.recipe, training.device

    def save(position):
        best = False
        if position.step == 0:
            values, best = training.end_epoch(position.epoch - 1, validate)
            tracker.epoch(position.epoch - 1, values)
        checkpoints.save(folder, training.content(position), position, best)

    def record(epoch, step, result, seconds, waited):
        if on_step is not None:
            on_step(epoch, step, result)

    run = loop.Run(
        recipe.epochs,
        training.iterations,
        lambda epoch, first: batches.loader(epoch, first, recipe.workers),
        training.step,
        save,
        record,
        recipe.save_every,
    )
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            return loop.train(run, start, what)
    finally:
        batches.close()
        tracker.close()


def check_data(recipe, labels, images, validation):
    """Refuse labels that a run of `recipe` on `images` cannot use, and validation pictures (or None) of other
    classes, with the reason."""
    if validation is not None:
        check_classes(validation, labels.classes, images)
    labels.check(
        images,
        recipe.batch,
        recipe.epochs,
        recipe.order_seed,
        recipe.mix,
        size=recipe.size,
        temperature=recipe.temperature,
        mean=recipe.mean,
        deviation=recipe.deviation,
    )


def _batches(recipe, labels, images):
    # Published labels hold no seed.
    return DistilledBatches(images, labels, recipe.size, recipe.order_seed, epochs=recipe.epochs)


def _identity(labels, images):
    """Name -> text of what a resumed run must share besides its recipe."""
    held = [labels.count, labels.batch, labels.classes, labels.dtype, labels.mix, labels.teacher]
    return {"labels": json.dumps(held + [labels.digest]), "pictures": images.digest}


def _finite(scores, epoch):
    """`scores` (name -> number) of the validation of `epoch`; Refusal where one is not finite."""
    for name, value in scores.items():
        if not math.isfinite(value):
            raise Refusal(
                "the validation %s of epoch %d is %g, expected a finite number: the training has diverged; "
                "lower the learning rate and start in an empty folder" % (name, epoch, value)
            )
    return scores


def start_of(training, folder, epoch=0):
    """Load the checkpoint in `folder` to go on from, if any -> (its path or None, Position of the next step);
    without one the run starts with `epoch`."""
    path, content = checkpoints.find_newest(folder)
    if path is None:
        return None, Position(epoch, 0)
    return path, training.resume(content, path)


def _validated(recipe, network, images, device, answers):
    workers = recipe.workers if recipe.validation_workers is None else recipe.validation_workers
    return evaluate(
        network,
        images,
        recipe.validation_size or recipe.size,
        recipe.validation_resize,
        recipe.validation_batch or max(recipe.batch // 4, 1),
        workers,
        device,
        recipe.mean,
        recipe.deviation,
        recipe.validation_limit,
        answers,
    )


def trained(training, validation, start_epoch, done, source, path):
    """The result of a `training` that has come to its end; path: the checkpoint that holds it."""
    found = training.validated
    return Trained(
        found.get("top1"),
        found.get("top5"),
        found.get("loss"),
        None if validation is None else training.best,
        training.train_loss,
        (training.recipe.epochs - start_epoch) * training.iterations,
        done,
        source,
        path,
    )
