"""The ArcFace head over many classes against the same formula on whole maps: time and memory of a step.

Forward and backward of 64 descriptors of 256 numbers over 200,000 classes, on the CPU. The literal side takes
the margin of every cosine and picks the labels' columns afterwards, as the published code does. Times are
taken in turns in one process; peaks in a process of its own each, above the kernel, its gradient and what the
process held before. `python -m benchmarks.arcface` prints JSON.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time

BATCH, CLASSES, WIDTH = 64, 200_000, 256
REPEATS = 3
SCALE, MARGIN = 40.0, 0.4


def literal_loss(embeddings, kernel, labels):
    """Mean cross entropy with every map of batch x classes written out."""
    import torch

    weights = kernel / (kernel.norm(dim=0, keepdim=True) + 1e-6)
    cosines = (embeddings @ weights).clamp(-1, 1)
    moved = cosines * math.cos(MARGIN) - torch.sqrt(1 - cosines**2) * math.sin(MARGIN)
    beyond = cosines - math.cos(math.pi - MARGIN) <= 0
    moved = torch.where(beyond, cosines - MARGIN * math.sin(MARGIN), moved)
    logits = SCALE * cosines
    rows = torch.arange(len(labels))
    logits[rows, labels] = SCALE * moved[rows, labels]
    return torch.nn.functional.cross_entropy(logits, labels)


def start(batch, classes, width):
    """(head, embeddings, labels), the kernel's gradient in place."""
    import torch

    from encore.losses.arcface import ArcFace

    torch.manual_seed(0)
    head = ArcFace(width, classes, SCALE, MARGIN)
    embeddings = torch.nn.functional.normalize(torch.randn(batch, width), dim=1).requires_grad_()
    return head, embeddings, torch.randint(0, classes, (batch,))


def loss_of(side, head, embeddings, labels):
    if side == "literal":
        return literal_loss(embeddings, head.kernel, labels)
    return head(embeddings, labels).loss


def step(side, head, embeddings, labels):
    """The loss and both gradients of one step."""
    import torch

    loss = loss_of(side, head, embeddings, labels)
    return (loss.detach(),) + torch.autograd.grad(loss, (embeddings, head.kernel))


def peak(side, batch, classes, width):
    """Print the bytes that a step of `side` needs at most above the kernel and its gradient."""
    head, embeddings, labels = start(batch, classes, width)
    step(side, *start(2, 10, width))  # what torch itself sets up
    before = _memory("VmRSS")
    found = step(side, head, embeddings, labels)
    gradient = found[-1].numel() * found[-1].element_size()
    print(_memory("VmHWM") - before - gradient)


def _memory(entry):
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(entry))


def times(batch, classes, width, repeats):
    """Seconds of a step on both sides, and the largest difference of the gradients over their norm."""
    head, embeddings, labels = start(batch, classes, width)
    seconds, difference = {"literal": [], "encore": []}, 0.0
    for _ in range(repeats):  # in turns, so that a busy moment does not fall on one side alone
        found = {}
        for side, taken in seconds.items():
            began = time.perf_counter()
            found[side] = step(side, head, embeddings, labels)
            taken.append(time.perf_counter() - began)
        for one, other in zip(found["encore"], found["literal"]):
            difference = max(difference, float((one - other).norm() / other.norm()))
    return {side: statistics.median(taken) for side, taken in seconds.items()}, difference


def run(batch=BATCH, classes=CLASSES, width=WIDTH, repeats=REPEATS):
    """Flat dict: seconds and peak bytes of both sides, their ratios (encore over literal), the difference."""
    seconds, difference = times(batch, classes, width, repeats)
    peaks = {
        side: int(
            subprocess.check_output(
                [sys.executable, "-m", "benchmarks.arcface", side] + [str(n) for n in (batch, classes, width)]
            )
        )
        for side in seconds
    }
    return {
        "ratio": seconds["encore"] / seconds["literal"],
        "seconds_encore": seconds["encore"],
        "seconds_literal": seconds["literal"],
        "memory_ratio": peaks["encore"] / peaks["literal"],
        "peak_bytes_encore": peaks["encore"],
        "peak_bytes_literal": peaks["literal"],
        "maps_encore": peaks["encore"] / (4 * batch * classes),
        "maps_literal": peaks["literal"] / (4 * batch * classes),
        "difference_of_gradients": difference,
    }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        peak(sys.argv[1], *map(int, sys.argv[2:]))
    else:
        print(json.dumps(run(), indent=1, sort_keys=True))
