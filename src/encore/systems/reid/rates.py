"""Learning rates: what both of them are multiplied by at each iteration."""

from __future__ import annotations

CLASS_BALANCED_EPOCHS = 5
"""Published epochs of state H that one epoch of the file stands for, with class-balanced batches."""


def epoch_factor(params):
    """By how much the epochs of a file are multiplied (decay, warm-up, evaluation, length of the run)."""
    return CLASS_BALANCED_EPOCHS if params.state == "H" and params.pk else 1


def rate_factor(params, epoch, step_in_run, steps_per_epoch):
    """What base_lr and fc_lr are multiplied by, a float, at one iteration.

    epoch: from 0. step_in_run: iterations of the run before this one. ValueError where they contradict
    steps_per_epoch. State S: a power of decay_gamma by epoch, or by iteration with class-balanced batches; H:
    a linear warm-up, then a power by the epochs since that are in decay_step.
    """
    if not 0 <= step_in_run - epoch * steps_per_epoch < steps_per_epoch:
        raise ValueError(
            "step {} is not in epoch {} of {} steps an epoch".format(step_in_run, epoch, steps_per_epoch)
        )
    rates = params.lr
    if params.state == "S":
        return rates.decay_gamma ** ((step_in_run if params.pk else epoch) // rates.decay_step[0])
    factor = epoch_factor(params)
    warm_up = rates.warmup_epoch * factor
    if epoch < warm_up:
        return (epoch + 1) / warm_up
    falls = {step * factor for step in rates.decay_step}  # published: one listed twice counts once
    return rates.decay_gamma ** sum(step <= epoch - warm_up for step in falls)
