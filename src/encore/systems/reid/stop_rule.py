"""When a run ends, and after which iterations it saves and evaluates."""

from __future__ import annotations

from encore.runtime.refusal import Refusal
from encore.systems.reid.rates import epoch_factor


class StopRule:
    """The published triggers, made finite: every run ends, and its end is saved and evaluated (ours).

    params: ReidParams. iterations_per_epoch: batches of one pass over the pictures or, class-balanced, over
    the identities. Refusal where there are none. `iterations`: length of the run; `epochs`: those that it
    begins. State S ends after `epochs`; class-balanced (published: never) after encore.max_iterations, else
    as many passes. H ends after epochs + warmup_epoch (published: a million epochs later).
    encore.max_iterations bounds every run.
    """

    def __init__(self, params, iterations_per_epoch):
        if iterations_per_epoch < 1:
            raise Refusal(
                "batch_sampling_params: expected at least one batch an epoch, found none: class-balanced "
                "batches need P ({}) identities or more, lower it".format(params.batch_sampling_params.P)
            )
        self._params, self._per_epoch = params, iterations_per_epoch
        most = params.encore.max_iterations
        if params.state == "S":
            self.iterations = params.epochs * iterations_per_epoch
            self._endless = params.pk
        else:
            epochs = (params.epochs + params.lr.warmup_epoch) * epoch_factor(params)
            self.iterations, self._endless = epochs * iterations_per_epoch, False
        if most is not None:
            self.iterations = most if self._endless else min(most, self.iterations)
        self.epochs = -(-self.iterations // iterations_per_epoch)

    def saves_after(self, epoch, step, global_step):
        """Whether model.pth is written after iteration `step` of an epoch, both from 0; global_step: the
        iterations of the run before it."""
        self._check(epoch, step, global_step)
        count = self._count(step, global_step)
        in_epoch = count > 0 and count % self._params.encore.save_every == 0
        return in_epoch or self._ends_epoch(epoch, step) or self._is_last(global_step)

    def evaluates_after(self, epoch, step, global_step):
        """Whether the network is evaluated after that iteration; never where evaluation_params.type is
        None."""
        self._check(epoch, step, global_step)
        evaluation = self._params.evaluation_params
        if evaluation.type is None:
            return False
        count = self._count(step, global_step)
        in_epoch = evaluation.step is not None and count > 0 and count % evaluation.step == 0
        return in_epoch or self._ends_epoch(epoch, step) or self._is_last(global_step)

    def _count(self, step, global_step):
        """What the triggers within an epoch look at: the iteration in its epoch; in S with class-balanced
        batches that of the run, counted from 0, and from 1 with the triplet loss (published quirk)."""
        if not self._endless:
            return step
        return global_step + ("tri_loss" in self._params.losses)

    def _ends_epoch(self, epoch, step):
        """Whether an epoch ends here that is saved and evaluated: in S each, and none with class-balanced
        batches; in H those after the first whose number from 0 is a multiple of evaluation_params.epoch."""
        if step + 1 < self._per_epoch or self._endless:
            return False
        if self._params.state == "S":
            return True
        every = self._params.evaluation_params.epoch
        return every is not None and epoch > 0 and epoch % (every * epoch_factor(self._params)) == 0

    def _is_last(self, global_step):
        return global_step + 1 == self.iterations

    def _check(self, epoch, step, global_step):
        if not 0 <= step < self._per_epoch or global_step != epoch * self._per_epoch + step:
            raise ValueError(
                "iteration {} is not step {} of epoch {} with {} steps an epoch".format(
                    global_step, step, epoch, self._per_epoch
                )
            )
