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
from encore.systems.fkd.first_process import LAUNCHER, batches_of_first, done_by_first
from encore.systems.fkd.optimizers import set_rate
from encore.systems.fkd.sections import SYSTEM
from encore.systems.fkd.shared_update import Part, SharedUpdate
from encore.systems.fkd.top_k import keep_top_k
from encore.systems.fkd.tracking import Tracker
from encore.systems.fkd.train_recipe import StudentRecipe
from encore.systems.fkd.validation import ANSWERS, Answers, check_classes, evaluate
from encore.training import checkpoint_files, loop, replay_step
from encore.training.checkpoint_files import Position
from encore.training.distributed import ALONE, join_processes
from encore.training.numerical_fault import check_step

SUMS = ("loss", "top1", "top5", "rows")


class Trained(NamedTuple):
    """Result of `train_student`, and of `classification.train_classifier`; the same on every process."""

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
    one.

    processes: those that share its updates, see `shared_update`. A run is the same bits on as many of them as
    divide its parts, which are the chunks of a batch.
    """

    def __init__(self, recipe: StudentRecipe, student, labels, identity, device, processes=ALONE):
        self.recipe, self.iterations, self.device = recipe, labels.batches, device
        self.processes = processes
        self.student = student.to(device).train()
        self.update = SharedUpdate(self.student, self.parts_of_update(), processes)
        self.optimizer = recipe.build_optimizer(self.student)
        for group in self.optimizer.param_groups:
            group["initial_lr"] = recipe.learning_rate  # as the published scheduler leaves it
        self.digest = dict(recipe.digest(), **identity)
        self.sums = dict.fromkeys(SUMS, 0)
        """Of the epoch so far: rows, and over them the loss, and the hits among the first and first five."""
        self.best = 0.0
        self.validated, self.train_loss = {}, None

    def parts_of_update(self):
        """Parts of a whole batch that have BatchNorm statistics of their own."""
        return self.recipe.accumulation

    def step(self, epoch, number, batch):
        """One update with batch `number` of an epoch (a DistilledBatch) -> StepResult; terms: chunk -> its
        loss. Raises NumericalFault before the update, see `check_step`."""
        recipe = self.recipe
        pixels, targets = batch.pixels.to(self.device), batch.targets.to(self.device)
        probabilities = softened(batch.logits.to(self.device), recipe.temperature)
        probabilities = keep_top_k(probabilities, recipe.keep_top_k)
        cut = chunks(len(pixels), recipe.batch, recipe.accumulation, recipe.unbiased)

        def work(place, rows):
            self.seed_part(epoch, number, place)
            shown = mixed_inputs(pixels, batch.mix, recipe.mean, recipe.deviation, rows)
            logits, count = self.logits(shown), cut[place].last - cut[place].first
            if not len(shown):  # of a chunk that has fewer rows than processes
                return logits.sum(), logits, targets[rows]
            loss = divergence(logits, probabilities[rows], recipe.temperature, recipe.squared)
            loss = loss / cut[place].divisor
            if len(shown) < count:
                loss = loss * (len(shown) / count)
            return loss, logits, targets[rows]

        values = self.update.gradients([Part(chunk.first, chunk.last) for chunk in cut], work)
        losses = {"chunk_%d" % place: value.loss for place, value in enumerate(values)}
        return self.finish(epoch, losses, pixels, values)

    def logits(self, shown):
        """What the network says of pictures; Refusal for a single one that BatchNorm has no use for."""
        try:
            return self.student(shown)
        except ValueError as error:  # of a BatchNorm after which 1 x 1 pixels are left
            if len(shown) > 1:
                raise
            raise Refusal(
                "the last batch of an epoch leaves a single picture for BatchNorm (%s): choose another batch"
                % error
            ) from error

    def seed_part(self, epoch, number, place):
        """What a part of an update draws (dropout) belongs to its address."""
        torch.manual_seed(derive_seed(self.recipe.seed, SYSTEM, "train", epoch, number, place))

    def finish(self, epoch, losses, pixels, values):
        """Check an update whose gradients are there, make it and count it -> StepResult.

        losses: name -> number, of which the loss is the sum. pixels: of the whole batch, before any mixing,
        which makes no two pictures equal. values: PartValues whose losses count for the record.
        """
        loss = sum(losses.values())
        # Loss, gradients and pictures are those of the whole update on every process: nothing to exchange.
        check_step(loss, losses, self.student.named_parameters(), pixels)
        set_rate(self.optimizer, self.recipe.rate(epoch))
        self.optimizer.step()
        for part in values:
            # Published: mixed pictures count as the class of the unmixed one, so these are no goal.
            for name, value in zip(SUMS, (part.loss * part.rows, part.top1, part.top5, part.rows)):
                self.sums[name] += value
        return loop.StepResult(loss, losses, self.recipe.rate(epoch))

    def counted(self):
        """The counters, as `count_as` takes them."""
        return dict(self.sums), self.best, dict(self.validated), self.train_loss

    def count_as(self, counted):
        """Take over what another process has `counted`."""
        sums, self.best, validated, self.train_loss = counted
        self.sums, self.validated = dict(sums), dict(validated)

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
    for validation pictures of other classes and for a checkpoint of another run, and later for a step with a
    numerical fault and for a validation that is not finite.

    Started by torchrun it is one process of the run: all are given the same, except for the folder, which the
    first one names. The result is that of one process, bit for bit (the same number of threads in each) where
    their number divides recipe.accumulation, else to rounding (see `shared_update`).
    """
    processes, device = join_processes(device, LAUNCHER)
    check_data(recipe, labels, images, validation)
    folder = made_by_first(processes, device, folder)
    training = Training(recipe, student, labels, _identity(labels, images), device, processes)
    source, start = start_of(training, folder, recipe.start_epoch)
    batches = _batches(recipe, labels, images)

    def tracker():
        return Tracker(folder, recipe.wandb, recipe.wandb_project, key, start.epoch, name)

    def validate(network, answers):
        return _validated(recipe, network, validation, device, answers)

    done = run_through(
        training, batches, start, folder, tracker, validation and validate, "%s student" % SYSTEM, on_step
    )
    path = os.path.join(folder, checkpoints.NAME)
    return trained(training, validation, recipe.start_epoch, done, source, path)


def run_through(training, batches, start, folder, tracker, validate, what, on_step=None):
    """Do all steps of `training` from the Position `start` on, with a checkpoint in `folder` and a row of a
    Tracker after each epoch -> number of steps done.

    batches: their `loader(epoch, first, workers)` and `pictures(epoch, number)`; closed at the end. tracker:
    () -> Tracker; not called where a step is only replayed, and on the first process alone, which also makes
    the batches, validates and writes. validate: (network, Answers to fill) -> {top1, top5, loss}, or None.
    what: for the progress bar. The global random numbers are left alone. Nothing is written while a step is
    only replayed.
    """
    recipe, device, processes = training.recipe, training.device, training.processes
    looks = replay_step.wanted(start) is not None
    tracker = tracker() if processes.is_first and not looks else None

    def judge(network):
        answers = Answers()
        scores = validate(network, answers)
        if not looks:
            answers.evidence().write(os.path.join(folder, ANSWERS))
        return scores

    def save(position):
        values = best = None
        if position.step == 0:
            values, best = training.end_epoch(position.epoch - 1, validate and judge)
            if tracker is not None:
                tracker.epoch(position.epoch - 1, values)
        return None if looks else checkpoints.save(folder, training.content(position), position, best)

    def save_by_first(position):
        path, counted = done_by_first(processes, device, lambda: (save(position), training.counted()))
        training.count_as(counted)
        return path

    def record(epoch, step, result, seconds, waited):
        if on_step is not None:
            on_step(epoch, step, result)

    run = loop.Run(
        recipe.epochs,
        training.iterations,
        lambda epoch, first: batches_of_first(
            processes, device, batches.loader(epoch, first, recipe.workers)
        ),
        training.step,
        save_by_first,
        record,
        recipe.save_every,
        networks=(training.student,),
        addresses=batches.pictures,
        folder=folder,
    )
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            return loop.train(run, start, what)
    finally:
        batches.close()
        if tracker is not None:
            tracker.close()


def made_by_first(processes, device, folder):
    """The folder that the first process names, once it is there."""

    def make():
        os.makedirs(folder, exist_ok=True)
        return str(folder)

    return done_by_first(processes, device, make)


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
    without one the run starts with `epoch`. Of several processes the first one says which."""
    processes, device = training.processes, training.device
    path = done_by_first(processes, device, lambda: checkpoints.find_newest(folder)[0])
    if path is None:
        return None, Position(epoch, 0)
    start = training.resume(checkpoints.load(path), path)
    if processes.is_first and replay_step.wanted(start) is None:
        checkpoint_files.drop_work(folder, but=path)  # one killed right after saving it has not
    return path, start


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
