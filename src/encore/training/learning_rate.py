"""Learning rates: the published epoch-wise factor, and warm-up with cosine per step for pre-training."""

import math


def isc_epoch_factor(epoch, warm_up=5, flat_until=10, end=25):
    """Factor on the learning rate in epoch `epoch` (counted from 0); unit-free.

    0.99 e / 5 + 0.01 below 5, 1 below 10, then (cos(pi (e - 10) / 15) + 1) / 2. The published constants 5, 10
    and 25 do not follow --epochs or --warmup-step, and beyond 25 the factor rises again (ISC 2021 Track 2,
    "LR factor").
    """
    if epoch < warm_up:
        return 0.99 * epoch / warm_up + 0.01
    if epoch < flat_until:
        return 1
    return 0.5 * (math.cos(math.pi * (epoch - flat_until) / (end - flat_until)) + 1)


def warm_up_cosine(step, steps, warm_up_steps, final=0.001):
    """Factor at step `step` of `steps`: linear from 0 over warm_up_steps, then cosine from 1 down to `final`.

    Source: the published Barlow Twins recipe (Zbontar et al. 2021, appendix A).
    """
    if step < warm_up_steps:
        return step / warm_up_steps
    share = 0.5 * (1 + math.cos(math.pi * (step - warm_up_steps) / (steps - warm_up_steps)))
    return share + final * (1 - share)
