"""The steps of a stage's training, its validation and its checkpoints (spec drip 4.4 and 5.4)."""

from __future__ import annotations

import math

import torch

from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.systems.drip import published_checkpoints
from encore.systems.drip.class_shares import (
    RowShares,
    own_optimizer_state,
    own_state,
    whole_network,
    whole_optimizer,
)
from encore.systems.drip.network import SYSTEM, build
from encore.systems.drip.precision import Precision
from encore.systems.drip.stage_outputs import HPARAMS, MONITOR, BestCheckpoints, checkpoint_name
from encore.systems.drip.step_failures import StepFailures
from encore.training import checkpoint_files, loop
from encore.training.numerical_fault import check_step

CALLBACK = "ModelCheckpoint"
TRAINING_SUMS = ("trn_loss", "trn_qry_acc")
VALIDATION_SUMS = ("val_loss", "val_acc", "val_qry_acc", "val_ref_acc")


class DripTraining:
    """One process's part of a run: network, optimizer and counters."""

    def __init__(self, run, processes, device):
        recipe, values = run.recipe, run.values
        self.recipe, self.values, self.identity = recipe, values, run.identity()
        self.processes, self.device = processes, device
        self.precision = Precision(recipe.precision, device)
        self.shares = RowShares(values.batch_size, processes)
        self.network = build(run.shape, recipe.seed, values.classes, processes)
        self.network.criterion.scale, self.network.criterion.margin = recipe.arc_s, recipe.arc_m
        self.order = torch.channels_last if device.type == "cpu" else torch.contiguous_format
        self.failures = StepFailures(recipe.max_raised)
        self.best = BestCheckpoints(recipe.save_top_k)
        self.sums = dict.fromkeys(TRAINING_SUMS + ("rows",), 0)
        """Of the epoch so far, over its rows."""
        self.skipped, self.epochs, self.row = 0, 0, None
        """Steps that the scaler skipped; epochs done; what the last one of them came to."""

    def to_device(self):
        """Move the network, then make what refers to its parameters."""
        self.network.to(self.device, memory_format=self.order).train()
        self.optimizer = self.recipe.optimizer(self.network)
        self.schedule = self.recipe.schedule(self.optimizer)
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]

    @property
    def rate(self):
        """The learning rate."""
        return self.optimizer.param_groups[0]["lr"]

    def step(self, epoch, number, batch):
        """One update with a ViewBatch -> StepResult; NumericalFault instead, on all processes, for what
        `check_step` finds, before anything is counted.

        Published: on the augmented views alone; with do_ref_trn some epochs take half of each loss.
        """
        batch = batch.on(self.device)
        torch.manual_seed(derive_seed(self.recipe.seed, SYSTEM, "step", epoch, number))  # dropout
        views = [batch.augmented] + ([batch.clean] if self.recipe.trains_on_clean(epoch) else [])
        self.optimizer.zero_grad(set_to_none=True)
        own, whole = zip(*[self._embedded(view, len(batch.classes)) for view in views])
        leaves = [embeddings.detach().requires_grad_() for embeddings in whole]
        with self.precision.autocast():
            found = [self.network.criterion(leaf, batch.classes) for leaf in leaves]
        loss = sum(part.loss for part in found) / len(found)
        accuracy = _share_equal(found[0].predictions, batch.classes)
        value, terms = loss.item(), {"trn_qry_acc": accuracy}
        self.precision.scaled(loss).backward()
        self._through_backbone(own, leaves)
        self._check(value, terms, batch.augmented)
        kernel = list(self.network.criterion.parameters())
        self.skipped += self.precision.update(
            self.optimizer, self.parameters, self.recipe.clip_grad_norm, self.processes, kernel
        )
        self._count(batch, dict(terms, trn_loss=value))
        return loop.StepResult(value, terms, self.rate)

    def _check(self, loss, terms, pictures):
        """Gradients that are not finite in half precision are no fault: the scaler skips their update."""
        kernel = list(self.network.criterion.parameters())
        skips = self.precision.unscale(self.optimizer, self.parameters, self.processes, kernel)
        if skips and math.isfinite(loss):
            self.precision.refuse_further_skip()
        named = [] if skips else self.network.named_parameters()
        check_step(loss, terms, named, pictures, self.processes, self.device)

    def _embedded(self, view, count):
        """Own views -> (their descriptors, or None without a view; those of the whole batch, without
        gradient)."""
        if not len(view):
            width = self.network.criterion.kernel.shape[0]
            return None, self.shares.gather(torch.zeros((0, width), device=self.device), count)
        with self.precision.autocast():
            own = self.network(view.contiguous(memory_format=self.order))
        return own, self.shares.gather(own.detach(), count)

    def _through_backbone(self, own, leaves):
        """Carry the gradients of all descriptors, which every process has, through this process's views."""
        for embeddings, leaf in zip(own, leaves):
            if embeddings is not None:
                embeddings.backward(leaf.grad[self.shares.rows])
        if self.processes.count == 1:
            return
        same = list(self.network.backbone.parameters())
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in same]
        for parameter, gradient in zip(same, self.processes.sum_many(gradients)):
            parameter.grad = gradient

    def _count(self, batch, terms):
        rows = len(batch.classes)
        for name in TRAINING_SUMS:
            self.sums[name] += terms[name] * rows
        self.sums["rows"] += rows
        self.failures.add(self.shares.counts(batch.raised), rows)

    @torch.no_grad()
    def validate(self, batches):
        """Name -> mean over the views of ViewBatches with both views.

        Published: the pictures are those of the training, val_loss is the mean of both views' losses, and
        val_acc is how often both are taken for the same class, whichever it is.
        """
        for buffer in self.network.buffers():  # of BatchNorm, where there is one: each saw its own views
            self.processes.broadcast(buffer, 0)
        self.network.eval()
        sums, rows = dict.fromkeys(VALIDATION_SUMS, 0.0), 0
        for batch in batches:
            batch = batch.on(self.device)
            count = len(batch.classes)
            clean, augmented = (self._judged(view, batch.classes) for view in (batch.clean, batch.augmented))
            values = (
                0.5 * (clean.loss + augmented.loss).item(),
                _share_equal(clean.predictions, augmented.predictions),
                _share_equal(augmented.predictions, batch.classes),
                _share_equal(clean.predictions, batch.classes),
            )
            for name, value in zip(VALIDATION_SUMS, values):
                sums[name] += value * count
            rows += count
            self.failures.add(self.shares.counts(batch.raised), count)
        self.network.train()
        return {name: total / rows for name, total in sums.items()}

    def _judged(self, view, classes):
        embeddings = self._embedded(view, len(classes))[1]
        with self.precision.autocast():
            return self.network.criterion(embeddings, classes)

    def end_epoch(self, epoch, validation):
        """Validate with `validation` (ViewBatches) -> the epoch's row, name -> number; sums start again."""
        sums, self.sums = self.sums, dict.fromkeys(self.sums, 0)
        values = {name: sums[name] / sums["rows"] for name in TRAINING_SUMS}
        values.update(self.validate(validation))
        if not math.isfinite(values["val_loss"]):
            raise Refusal(
                "%s training: after epoch %d the loss of the validation is %g, expected a finite number: "
                "look at the epoch's last step with --replay-step %d:%d, then lower init_lr or mend the "
                "pictures" % (SYSTEM, epoch, values["val_loss"], epoch, self.values.steps - 1)
            )
        self.row = {name + "_epoch": value for name, value in values.items()}
        self.row["lr"], self.epochs = self.rate, epoch + 1
        return self.row

    def follow_validation(self):
        """Let the schedule see the last epoch; published: once its checkpoint is saved."""
        self.schedule.step(self.row["val_loss_epoch"])

    def ended(self):
        """Whether the stage is over."""
        row = self.row
        return row is not None and self.values.stop.ends(
            self.epochs, row["trn_loss_epoch"], row["val_loss_epoch"]
        )

    def save(self, folder, position):
        """Write the checkpoint at `position` into a CheckpointFolder -> its path (all processes must
        call)."""
        best = None
        if not position.step:
            name = checkpoint_name(self.epochs - 1, self.row)
            best = name if self.best.take(name, self.row[MONITOR]) else None
        network = whole_network(self.network)
        optimizer = whole_optimizer(self.optimizer, self.network.criterion)
        paths = folder.paths_at(position, best)
        if self.processes.is_first:
            for path in paths:
                self._write(path, position, network, optimizer)
            folder.drop([name for name, _ in self.best.kept], but=paths[-1])
        self.processes.barrier()
        return paths[-1]

    def _write(self, path, position, network, optimizer):
        ours = {
            "format": 1,
            "epoch": position.epoch,
            "step": position.step,
            "recipe": self.identity,
            "sums": dict(self.sums),
            "skipped": self.skipped,
            "failures": self.failures.state(),
            "row": self.row,
        }
        published_checkpoints.write_checkpoint(
            path,
            network,
            position.epoch if position.step else position.epoch - 1,
            position.epoch * self.values.steps + position.step,
            [optimizer],
            [self.schedule],
            self.precision.scaler,
            {CALLBACK: self.best.state()},
            ours,
        )

    def resume(self, path):
        """Go on from a checkpoint of this run -> Position of the next step; Refusal for that of another."""
        content = published_checkpoints.read_container(path)
        ours, head = content.get(checkpoint_files.OURS), self.network.criterion
        if ours is None or ours["recipe"] != self.identity:
            raise Refusal(
                "{}: belongs to another run than the {} beside it says: remove that version".format(
                    path, HPARAMS
                )
            )
        self.network.load_state_dict(own_state(content[published_checkpoints.STATE], head))
        self.optimizer.load_state_dict(own_optimizer_state(content["optimizer_states"][0], head))
        self.schedule.load_state_dict(content["lr_schedulers"][0])
        if self.precision.scaler is not None:
            self.precision.scaler.load_state_dict(content[published_checkpoints.SCALER])
        self.best.load(content["callbacks"][CALLBACK])
        self.sums, self.skipped, self.row = dict(ours["sums"]), ours["skipped"], ours["row"]
        self.failures.load(ours["failures"])
        position = checkpoint_files.position_of(content)
        self.epochs = position.epoch
        if not position.step:
            self.follow_validation()
        return position


def _share_equal(found, expected):
    return (found == expected).sum().item() / len(expected)
