"""Training a classifier on labelled pictures, by their classes or by a teacher's answers."""

from __future__ import annotations

import os

import torch
import torch.nn.functional as F

from encore.losses.distillation import distillation_loss
from encore.runtime.numerics import exact
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.systems.fkd import student_checkpoints as checkpoints
from encore.systems.fkd.classifier_batches import LabelledBatches
from encore.systems.fkd.classifier_recipe import ClassifierRecipe
from encore.systems.fkd.distilled_batches import mixed_inputs
from encore.systems.fkd.mixing import draw_mix
from encore.systems.fkd.networks import PREFIX, frozen
from encore.systems.fkd.optimizers import set_rate
from encore.systems.fkd.sections import SYSTEM
from encore.systems.fkd.tracking import Tracker
from encore.systems.fkd.training import Training, run_through, start_of, trained
from encore.systems.fkd.validation import ANSWERS, Answers, evaluate, may_share_classes
from encore.training import checkpoint_files, loop
from encore.training.replicas import running_statistics_kept


class Classification(Training):
    """Network, optimizer and counters of a run, with the checkpoints of the students; `step` does one
    update."""

    def __init__(self, recipe: ClassifierRecipe, network, batches, identity, device, teacher=None):
        super().__init__(recipe, network, batches, identity, device)
        self.teacher = None if teacher is None else frozen(teacher).to(device)

    def step(self, epoch, number, batch):
        """One update with the LabelledBatch `number` of an epoch -> StepResult; terms: loss of each of its
        batches, which is checked before the update."""
        recipe = self.recipe
        set_rate(self.optimizer, recipe.rate(epoch))
        torch.manual_seed(derive_seed(recipe.seed, SYSTEM, "train", epoch, number))  # dropout
        pixels, targets = batch.pixels.to(self.device), batch.targets.to(self.device)
        self.optimizer.zero_grad()
        losses, total = {}, len(pixels)
        for place, first in enumerate(range(0, total, recipe.batch)):
            rows = slice(first, first + recipe.batch)
            inputs = self._inputs(pixels[rows], epoch, number * recipe.accumulation + place)
            losses["batch_%d" % place] = value = self._add_gradients(inputs, targets[rows], total)
            loop.refuse_unless_finite(value, losses, epoch, number)
        self.optimizer.step()
        return loop.StepResult(sum(losses.values()), losses, recipe.rate(epoch))

    def _inputs(self, pixels, epoch, number):
        """Batch `number` of an epoch as the network is shown it; mixed, if at all, within itself."""
        recipe, kind, alpha = self.recipe, "none", None
        if recipe.distillation is not None:
            kind, alpha = recipe.distillation.mix, recipe.distillation.alpha
        mix = draw_mix(kind, len(pixels), recipe.size, alpha, recipe.seed, epoch, number)
        return mixed_inputs(pixels, mix, recipe.mean, recipe.deviation)

    def _add_gradients(self, inputs, targets, total):
        """Add the gradients of one batch of an update of `total` pictures -> its share of the mean loss."""
        value, replicas = 0.0, self.recipe.replicas
        for replica, (shown, classes) in enumerate(
            zip(torch.chunk(inputs, replicas), torch.chunk(targets, replicas))
        ):
            logits = self._logits(shown, replica)
            loss = self._loss(logits, shown, classes) * (len(shown) / total)
            loss.backward()
            value += loss.item()
            self._count(loss.item() * total / len(shown), logits.detach(), classes)
        return value

    def _logits(self, shown, replica):
        try:
            if replica == 0:
                return self.student(shown)
            with running_statistics_kept(self.student):
                return self.student(shown)
        except ValueError as error:  # of a BatchNorm after which 1 x 1 pixels are left
            if len(shown) > 1:
                raise
            raise Refusal(
                "the last batch of an epoch leaves a single picture for BatchNorm (%s): choose another batch"
                % error
            ) from error

    def _loss(self, logits, shown, classes):
        values = self.recipe.distillation
        if values is None:
            return F.cross_entropy(logits, classes)
        with torch.no_grad():
            answers = self.teacher(shown)
        return distillation_loss(logits, answers, values.temperature, values.squared)


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
    that do not fit, and for a loss that is not finite.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    _check(recipe, validation, images, teacher)
    os.makedirs(folder, exist_ok=True)
    batches = LabelledBatches(images, recipe)
    identity = {"pictures": images.digest, "teacher": str(teacher_digest)}
    training = Classification(recipe, network, batches, identity, device, teacher)
    source, start = start_of(training, folder)
    tracker = Tracker(folder, first=start.epoch)

    def validate(judged):
        answers = Answers()
        scores = validated(recipe, judged, validation, device, answers)
        answers.evidence().write(os.path.join(folder, ANSWERS))
        return scores

    done = run_through(
        training, batches, start, folder, tracker, validation and validate, "%s classifier" % SYSTEM, on_step
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
