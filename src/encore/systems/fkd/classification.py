"""Training a classifier on labelled pictures, by their classes or by a teacher's answers."""

from __future__ import annotations

import os

import torch
import torch.nn.functional as F

from encore.losses.distillation import distillation_loss
from encore.runtime.numerics import exact
from encore.runtime.refusal import Refusal
from encore.systems.fkd import student_checkpoints as checkpoints
from encore.systems.fkd.classifier_batches import LabelledBatches
from encore.systems.fkd.classifier_recipe import ClassifierRecipe
from encore.systems.fkd.distilled_batches import mixed_inputs
from encore.systems.fkd.first_process import LAUNCHER
from encore.systems.fkd.mixing import draw_mix
from encore.systems.fkd.networks import PREFIX, frozen
from encore.systems.fkd.sections import SYSTEM
from encore.systems.fkd.shared_update import Part
from encore.systems.fkd.tracking import Tracker
from encore.systems.fkd.training import (
    Training,
    made_by_first,
    run_through,
    start_of,
    trained,
)
from encore.systems.fkd.validation import evaluate, may_share_classes
from encore.training import checkpoint_files
from encore.training.distributed import ALONE, join_processes


class Classification(Training):
    """Network, optimizer and counters of a run, with the checkpoints of the students; `step` does one
    update. Its parts are the replicas of its batches; the running statistics are those of the first ones."""

    def __init__(
        self, recipe: ClassifierRecipe, network, batches, identity, device, teacher=None, processes=ALONE
    ):
        super().__init__(recipe, network, batches, identity, device, processes)
        self.teacher = None if teacher is None else frozen(teacher).to(device)

    def parts_of_update(self):
        return self.recipe.accumulation * self.recipe.replicas

    def step(self, epoch, number, batch):
        """One update with the LabelledBatch `number` of an epoch -> StepResult; terms: loss of each of its
        batches. Raises NumericalFault before the update."""
        pixels, targets = batch.pixels.to(self.device), batch.targets.to(self.device)
        total, size = len(pixels), self.recipe.batch
        parts = replica_parts(total, size, self.recipe.replicas)

        def work(place, rows):
            self.seed_part(epoch, number, place)
            of_update = rows.start // size
            shown = self._inputs(
                pixels, of_update, rows, epoch, number * self.recipe.accumulation + of_update
            )
            logits = self.logits(shown)
            if not len(shown):  # of a part that has fewer rows than processes
                return logits.sum(), logits, targets[rows]
            return self._loss(logits, shown, targets[rows]) * (len(shown) / total), logits, targets[rows]

        values = self.update.gradients(parts, work)
        losses = {}
        for part, value in zip(parts, values):
            name = "batch_%d" % (part.first // size)
            losses[name] = losses.get(name, 0.0) + value.loss
        means = [value._replace(loss=value.loss * total / value.rows) for value in values]
        return self.finish(epoch, losses, pixels, means)

    def _inputs(self, pixels, of_update, rows, epoch, number):
        """What the network is shown of the pictures `rows` of an update, where they lie in batch `of_update`
        of the update and batch `number` of an epoch; it is mixed, if at all, within itself."""
        recipe, kind, alpha = self.recipe, "none", None
        if recipe.distillation is not None:
            kind, alpha = recipe.distillation.mix, recipe.distillation.alpha
        first = of_update * recipe.batch
        batch = pixels[first : first + recipe.batch]
        mix = draw_mix(kind, len(batch), recipe.size, alpha, recipe.seed, epoch, number)
        within = slice(rows.start - first, rows.stop - first)
        return mixed_inputs(batch, mix, recipe.mean, recipe.deviation, within)

    def _loss(self, logits, shown, classes):
        values = self.recipe.distillation
        if values is None:
            return F.cross_entropy(logits, classes)
        with torch.no_grad():
            answers = self.teacher(shown)
        return distillation_loss(logits, answers, values.temperature, values.squared)


def replica_parts(total, size, replicas):
    """The Parts of an update of `total` pictures in batches of `size`, each cut as torch.chunk does."""
    parts = []
    for first in range(0, total, size):
        last = min(first + size, total)
        rows = -(-(last - first) // replicas)
        for start in range(first, last, rows):
            parts.append(Part(start, min(start + rows, last), keeps=start == first))
    return parts


@exact()  # the published runs let cuDNN try algorithms out, and are not deterministic
def train_classifier(
    recipe: ClassifierRecipe,
    network,
    images,
    validation,
    folder,
    teacher=None,
    teacher_digest=None,
    device=None,
    on_step=None,
):
    """Train `network` (changed in place) on `images` (ClassFolders) -> Trained.

    validation: ClassFolders, or None for a run without. teacher: the network to learn from where the recipe
    has a distillation, frozen and evaluated by its running statistics, and teacher_digest what a resumed run
    must share of it. Writes checkpoints in the published layout of the students and the record to `folder`,
    going on from what is there. on_step(epoch, step, StepResult): called after each update. On the CPU a run
    that is killed and started again ends in the same bits (same number of threads), whatever the number of
    loader processes. Raises Refusal, before the first update, for values, pictures, teacher or a checkpoint
    that do not fit, and later for a step with a numerical fault. Several processes: as `train_student`, with
    the same bits where their number divides recipe.accumulation * recipe.replicas.
    """
    processes, device = join_processes(device, LAUNCHER)
    _check(recipe, validation, images, teacher)
    folder = made_by_first(processes, device, folder)
    batches = LabelledBatches(images, recipe)
    identity = {"pictures": images.digest, "teacher": str(teacher_digest)}
    training = Classification(recipe, network, batches, identity, device, teacher, processes)
    source, start = start_of(training, folder)

    def validate(judged, answers):
        return validated(recipe, judged, validation, device, answers)

    done = run_through(
        training,
        batches,
        start,
        folder,
        lambda: Tracker(folder, first=start.epoch),
        validation and validate,
        "%s classifier" % SYSTEM,
        on_step,
    )
    best = recipe.keep_best and training.best > 0  # with no hit ever, no epoch was the best
    path = os.path.join(folder, checkpoints.BEST if best else checkpoints.NAME)
    return trained(training, validation, 0, done, source, path)


def validated(recipe, network, images, device, answers=None):
    """{top1, top5 (percent), loss} of `network` on `images` (ClassFolders), with the recipe's values.

    answers: as `validation.evaluate` takes them.
    """
    workers = recipe.workers if recipe.validation_workers is None else recipe.validation_workers
    return evaluate(
        network,
        images,
        recipe.size,
        recipe.validation_resize,
        recipe.validation_batch or recipe.batch,
        workers,
        device,
        recipe.mean,
        recipe.deviation,
        recipe.validation_limit,
        answers,
    )


def write_weights(path, state, layout, epoch=None, top1=None):
    """Write the weights `state` (name -> tensor, without prefix) in a published layout, atomically.

    bare: torchvision's file. model: {"model": ...}, Tiny-ImageNet's teachers. state_dict: {"state_dict": ...
    with "module." before the names, "acc": top1 in percent, "epoch"}, CIFAR-100's ckpt.pth.
    `networks.load_weights` reads all three.
    """
    state = type(state)((key, value.detach().cpu()) for key, value in state.items())
    if layout == "model":
        content = {"model": state}
    elif layout == "state_dict":
        prefixed = type(state)((PREFIX + key, value) for key, value in state.items())
        content = {"state_dict": prefixed, "acc": top1, "epoch": epoch}
    else:
        content = state
    checkpoint_files.save(path, content)


def write_result(path, trained, recipe):
    """Write the network of a `Trained` in the recipe's layout, atomically.

    epoch: the last one, counted from 0, that it was trained for.
    """
    content = checkpoints.load(trained.checkpoint)
    start = len(PREFIX)
    state = type(content["state_dict"])((key[start:], value) for key, value in content["state_dict"].items())
    top1 = trained.best_top1 if recipe.keep_best else trained.top1
    write_weights(path, state, recipe.layout, content["epoch"] - 1, top1)


def _check(recipe, validation, images, teacher):
    if (recipe.distillation is None) != (teacher is None):
        raise Refusal(
            "a distillation needs a teacher, and labels none: give both teacher and recipe.distillation, or "
            "neither"
        )
    if validation is None:
        if recipe.keep_best:
            raise Refusal("keep_best needs validation pictures: give some, or keep the last epoch")
        return
    _check_classes(images, validation)


def _check_classes(images, validation):
    if not may_share_classes(images, validation):
        raise Refusal(
            "%s holds %d classes, %s other ones (%d): give folders of the same classes"
            % (images.spec, len(images.classes), validation.spec, len(validation.classes))
        )
