"""Labels cut down to their largest classes: small, and the same softmax as the top-k rule gives."""

from __future__ import annotations

import math

import torch


def cut(logits, k, temperature):
    """Logits (b, classes) -> (classes int64 (b, k), their logits (b, k) as given, rest float32 (b,)).

    rest: the one logit that, given to each of the other classes, leaves them at `temperature` the share of
    the softmax that they have together. So the softmax of `full` at this temperature is `keep_top_k` of the
    softmax of `logits`.
    """
    wide = logits.to(torch.float64)
    places = torch.topk(wide, k, dim=1).indices
    others = wide.scatter(1, places, -math.inf) / temperature
    rest = temperature * (torch.logsumexp(others, dim=1) - math.log(wide.shape[1] - k))
    return places, logits.gather(1, places), rest.to(torch.float32)


def full(places, values, rest, classes):
    """The logits (b, classes), float32, of what `cut` gave."""
    logits = rest.view(-1, 1).expand(len(rest), classes).contiguous()
    return logits.scatter_(1, places, values.to(torch.float32))
