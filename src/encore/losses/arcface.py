"""Additive angular margin (ArcFace, Deng et al. 2019) over millions of classes, without its many maps."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn as nn

from encore.runtime.refusal import Refusal

EPSILON = 1e-6
"""Added to the norm of each kernel column (published; not a lower bound as in F.normalize)."""
COLUMNS = {"cpu": 2**11, "cuda": 2**16}
"""Columns worked on at a time: on a CPU so few that they stay in its caches."""


class ArcFaceLoss(NamedTuple):
    """What a training step takes from the head."""

    loss: torch.Tensor
    """Mean cross entropy, a scalar."""
    predictions: torch.Tensor
    """int64 (B,): the class of the largest cosine, WITHOUT the margin; of equals the first one on a CPU
    (CUDA promises none)."""


class ArcFace(nn.Module):
    """Mean cross entropy of s cos(theta), with the margin m added to the angle of the label's class.

    `kernel`, float32 (features, C), is the only parameter, a column a class; it starts as published: uniform
    in (-1, 1), then each column of norm 1. With c = clamp(e . k / (|k| + 1e-6), -1, 1) the label's logit is
    s (c cos m - sqrt(1 - c^2) sin m), and others are s c. Published fallback: where c <= cos(pi - m) the
    label's is s (c - m sin m). No easy margin, no label smoothing (second place of ISC 2021's descriptor
    track).

    The published code makes about eight maps of B x C; here the margin is taken at the label's column alone,
    and a step keeps one map besides the kernel's gradient. It differs from the published one only where half
    precision rounds a cosine: one of another class than the label's to exactly 1 or -1, or the label's own
    above 1, whose gradient is 0 here. In both the published gradient is not a number.

    columns: classes worked on at a time (default: COLUMNS). processes: the Processes
    (`encore.training.distributed`) that each hold a slice of the columns, those of `class_columns`; all of
    them are given the same embeddings and labels, get the same loss and predictions, and must call backward
    together. `kernel` is then this process's slice. None: this process holds all of them.
    """

    def __init__(self, features, classes, scale=40.0, margin=0.4, columns=None, processes=None):
        super().__init__()
        if features < 1 or classes < 1 or (columns is not None and columns < 1):
            raise Refusal(
                "ArcFace: features, classes and columns must be 1 at least, found %s, %s and %s"
                % (features, classes, columns)
            )
        self.classes, self.scale, self.margin = classes, scale, margin
        self.columns, self.processes = columns, processes or _Alone
        self.own = class_columns(classes, self.processes.rank, self.processes.count)
        self.kernel = nn.Parameter(_initial_kernel(features, classes, self.own))

    def forward(self, embeddings, labels):
        """embeddings: float (B, features), of unit norm (not checked); labels: int64 (B,) -> ArcFaceLoss.

        Refusal for a label that is no class. The gradient goes through once: a second backward raises
        RuntimeError.
        """
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.classes:
            raise Refusal(
                "ArcFace: labels must lie in 0 to %d, found %d to %d: build the head for all classes"
                % (self.classes - 1, int(labels.min()), int(labels.max()))
            )
        head = _Head(
            self.scale,
            self.margin,
            self.columns or COLUMNS.get(embeddings.device.type, COLUMNS["cuda"]),
            self.own.start,
            self.processes,
        )
        return ArcFaceLoss(
            *_MarginSoftmax.apply(embeddings, self.kernel, labels, head, torch.is_grad_enabled())
        )

    def cosines(self, embeddings):
        """float (B, features) -> (B, own columns): cosines without margin, the whole map."""
        return (embeddings @ (self.kernel / _norms(self.kernel))).clamp(-1, 1)

    def project(self, embeddings):
        """As `cosines`, times the scale."""
        return self.scale * self.cosines(embeddings)

    @torch.no_grad()
    def set_kernel(self, matrix):
        """Take float (features, classes), such as the matrix of centroids, as the kernel; Refusal for
        another shape."""
        expected = (self.kernel.shape[0], self.classes)
        if tuple(matrix.shape) != expected:
            raise Refusal(
                "ArcFace: the kernel is %s, found a matrix of %s: make it for this set of classes"
                % (expected, tuple(matrix.shape))
            )
        self.kernel.copy_(matrix[:, self.own.start : self.own.stop])

    @torch.no_grad()
    def whole_kernel(self):
        """The (features, classes) kernel, on every process; all of them must call this."""
        if self.processes.count == 1:
            return self.kernel.detach()
        parts = []
        for rank in range(self.processes.count):
            own = class_columns(self.classes, rank, self.processes.count)
            part = self.kernel.new_empty((self.kernel.shape[0], len(own)))
            if rank == self.processes.rank:
                part.copy_(self.kernel)
            parts.append(self.processes.broadcast(part, rank))
        return torch.cat(parts, dim=1)


def class_columns(classes, rank, count):
    """The classes, a range, whose columns process `rank` of `count` holds: round(C / count) each, as in the
    published split over devices, and the last one the rest. Refusal where one would get none."""
    size = round(classes / count)
    if size < 1 or size * (count - 1) >= classes:
        raise Refusal("ArcFace: %d classes cannot be spread over %d processes" % (classes, count))
    return range(rank * size, classes if rank == count - 1 else (rank + 1) * size)


def with_margin(cosines, margin):
    """Cosines of labels, float (B,) -> those of angles `margin` (radians) wider, with the published fallback.

    In half precision the square is taken in float32 and rounded, as autocast does in the published code.
    """
    square = cosines.to(_wide(cosines.dtype)).pow(2).to(cosines.dtype)
    moved = cosines * math.cos(margin) - (1 - square).sqrt() * math.sin(margin)
    return torch.where(_beyond(cosines, margin), cosines - margin * math.sin(margin), moved)


def _margin_slope(cosines, margin):
    """The derivative of `with_margin`; infinite at 1, as published."""
    slope = math.cos(margin) + math.sin(margin) * cosines / (1 - cosines.pow(2)).sqrt()
    return torch.where(_beyond(cosines, margin), torch.ones_like(slope), slope)


def _beyond(cosines, margin):
    # Published quirk: the angle counts as beyond pi - m at the threshold itself.
    return cosines - math.cos(math.pi - margin) <= 0


def _initial_kernel(features, classes, own):
    """The slice `own` of the published initial kernel, from torch's generator, in its bits."""
    kernel = torch.empty(features, len(own))
    for row in kernel:  # the numbers of the whole kernel are drawn row by row, so a slice needs no whole one
        row.copy_(torch.empty(classes).uniform_(-1, 1)[own.start : own.stop])
    return kernel.renorm_(2, 1, 1e-5).mul_(1e5)


def _norms(kernel):
    return torch.linalg.vector_norm(kernel, dim=0) + EPSILON


def _wide(dtype):
    return torch.promote_types(dtype, torch.float32)


class _Alone:
    """A run of one process."""

    rank, count = 0, 1

    @staticmethod
    def gather(tensor):
        return tensor

    sum = gather


class _Head(NamedTuple):
    scale: float
    margin: float
    columns: int
    first: int
    """The class of the first own column."""
    processes: object

    def label_logits(self, cosines):
        """Cosines (B,) of the labels -> their logits."""
        return self.scale * with_margin(cosines, self.margin)


class _MarginSoftmax(torch.autograd.Function):
    """The loss and its gradients, some columns at a time (exact; the sums of pieces as of a running softmax,
    over processes as Partial FC, An et al. 2021)."""

    @staticmethod
    def forward(ctx, embeddings, kernel, labels, head, keep):
        own_labels, best = labels - head.first, _Best(len(labels), labels.device)
        label_cosines = torch.full_like(best.cosines, math.nan)
        clamped = torch.zeros((), dtype=torch.bool, device=labels.device)
        norms, totals, shifts = _norms(kernel), [], []
        # The one map, piece by piece: exp(logits - shift of the piece), in float32 at least.
        map_ = kernel.new_empty(len(labels) * kernel.shape[1] if keep else 0, dtype=_wide(kernel.dtype))
        for start in range(0, kernel.shape[1], head.columns):
            weights = kernel[:, start : start + head.columns]
            cosines = embeddings @ (weights / norms[start : start + head.columns])  # autocast may halve it
            clamped |= _is_outside(cosines)
            cosines.clamp_(-1, 1)
            here, at = _places(own_labels, start, cosines.shape[1])
            label_cosines = torch.where(here, cosines.gather(1, at)[:, 0], label_cosines.to(cosines.dtype))
            top = best.take(cosines, head.first + start)
            logits = cosines.mul_(head.scale).to(map_.dtype)
            shift = logits.gather(1, top)
            _put(logits, here, at, head.label_logits(label_cosines))
            piece = _piece(map_, start, logits.shape) if keep else logits
            torch.exp(logits.sub_(shift), out=piece)
            shifts.append(shift[:, 0])
            totals.append(piece.sum(1))
        shifts = torch.stack(shifts)
        shift, total = _combined(shifts, torch.stack(totals), head.processes)
        here = (own_labels >= 0) & (own_labels < kernel.shape[1])
        label_logits = head.label_logits(label_cosines).to(total.dtype)
        label_logits = head.processes.sum(torch.where(here, label_logits, torch.zeros_like(label_logits)))
        if keep:
            factors = (shifts - shift).exp() / total  # (pieces, B): of a number of the map to its probability
            ctx.save_for_backward(embeddings, kernel, norms, own_labels, label_cosines, factors, clamped)
            ctx.map_, ctx.head, ctx.product = map_, head, cosines.dtype
        predictions = best.over(head.processes)
        ctx.mark_non_differentiable(predictions)
        return (total.log() + shift - label_logits).mean(), predictions

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient, _):
        embeddings, kernel, norms, own_labels, label_cosines, factors, clamped = ctx.saved_tensors
        if ctx.map_ is None:
            raise RuntimeError("ArcFace: its gradients can be taken once, run forward again for more")
        map_, ctx.map_, head = ctx.map_, None, ctx.head
        rate = gradient * head.scale / len(own_labels)  # of the loss by a cosine, times its probability
        slope = _margin_slope(label_cosines.to(map_.dtype), head.margin)
        product = embeddings.to(ctx.product)
        to_embeddings = torch.zeros_like(embeddings) if ctx.needs_input_grad[0] else None
        to_kernel = torch.empty_like(kernel) if ctx.needs_input_grad[1] else None
        clamped = bool(clamped)
        with torch.autocast(embeddings.device.type, enabled=False):
            for factor, start in zip(factors, range(0, kernel.shape[1], head.columns)):
                columns = slice(start, start + head.columns)
                weights, unit = kernel[:, columns], (kernel[:, columns] / norms[columns]).to(ctx.product)
                piece = _piece(map_, start, (len(own_labels), weights.shape[1]))
                piece.mul_((rate * factor)[:, None])
                here, at = _places(own_labels, start, piece.shape[1])
                _put(piece, here, at, (piece.gather(1, at)[:, 0] - rate) * slope)
                if clamped:  # never in float32 with embeddings of unit norm
                    piece.masked_fill_((product @ unit).abs() > 1, 0)
                piece = piece.to(ctx.product)
                if to_embeddings is not None:
                    to_embeddings += piece @ unit.t()
                if to_kernel is not None:
                    own = _product_into(to_kernel[:, columns], product.t(), piece)
                    _through_norms(own, weights, norms[columns])
        if to_embeddings is not None:
            to_embeddings = head.processes.sum(to_embeddings)
        return to_embeddings, to_kernel, None, None, None


class _Best:
    """The largest cosine of each row so far, and its class."""

    def __init__(self, count, device):
        self.cosines = torch.full((count,), -math.inf, device=device)
        self.classes = torch.zeros(count, dtype=torch.int64, device=device)

    def take(self, cosines, first):
        """Look at (B, w), the columns from class `first` on -> int64 (B, 1), where each row is largest."""
        largest, place = cosines.max(dim=1)
        better = largest > self.cosines  # of equals the first one stays
        self.cosines = torch.where(better, largest, self.cosines.to(largest.dtype))
        self.classes = torch.where(better, place + first, self.classes)
        return place[:, None]

    def over(self, processes):
        """The classes, among those of all processes."""
        cosines, classes = processes.gather(self.cosines[None]), processes.gather(self.classes[None])
        return classes.gather(0, cosines.max(dim=0, keepdim=True)[1])[0]


def _places(own_labels, start, width):
    """Which labels lie among `width` columns from `start` on, bool (B,), and where, int64 (B, 1)."""
    at = own_labels - start
    return (at >= 0) & (at < width), at.clamp(0, width - 1)[:, None]


def _piece(map_, start, shape):
    """The (B, w) part of the flat map for `w` columns from `start` on, contiguous."""
    first = shape[0] * start
    return map_[first : first + shape[0] * shape[1]].view(*shape)


def _put(map_, here, at, values):
    """Write `values` (B,) at the places `at` of the rows where `here`."""
    map_.scatter_(1, at, torch.where(here[:, None], values.to(map_.dtype)[:, None], map_.gather(1, at)))


def _is_outside(cosines):
    least, most = torch.aminmax(cosines)
    return (least < -1) | (most > 1)


def _combined(shifts, totals, processes):
    """Sums of exponentials (pieces, B), each less its own shift -> shift and total (B,) of all processes."""
    shift = shifts.amax(0)
    overall = processes.gather(shift[None]).amax(0)
    return overall, processes.sum((totals * (shifts - overall).exp()).sum(0))


def _product_into(out, left, right):
    if out.dtype == right.dtype:
        return torch.mm(left, right, out=out)
    return out.copy_(left @ right)


def _through_norms(gradient, weights, norms):
    """Turn the gradient by k / (|k| + epsilon), (features, w), into that by k, in place."""
    lengths = norms - EPSILON
    along = (gradient * weights).sum(0) / (norms * lengths)
    along = torch.where(lengths > 0, along, torch.zeros_like(along))  # a zero column: torch's norm says 0
    gradient.addcmul_(weights, along[None], value=-1).div_(norms)
