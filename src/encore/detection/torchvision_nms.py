"""torchvision's detection models where its compiled operators are missing: non-maximum suppression in torch.

A torchvision built for CUDA does not load its compiled part beside a CPU build of torch, and then cannot even
be imported by today's versions. Only there the operator `torchvision::nms` is registered here; where the
compiled one loads, it is used and nothing is changed.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util

from encore.runtime.refusal import Refusal

SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_registered = []
"""The torch.library.Library object: the operators vanish with it."""


def load_torchvision():
    """Import torchvision -> the module, with `torchvision.ops.nms` at work; Refusal where that cannot be."""
    compiled = has_compiled_operators()
    if not compiled and not _registered:
        _register()
    import torchvision

    if not compiled:
        import torchvision.ops.boxes as boxes

        boxes._assert_has_ops = _nms_is_there  # it guards nothing but nms in that module
    return torchvision


def has_compiled_operators():
    """Whether the installed torchvision's compiled part loads beside this torch."""
    import torch

    found = importlib.util.find_spec("torchvision")
    if found is None:
        raise Refusal("expected the package torchvision, found none in this interpreter: install the lock's")
    loader = (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
    for folder in found.submodule_search_locations:
        library = importlib.machinery.FileFinder(folder, loader).find_spec("_C")
        if library is None:
            continue
        try:
            torch.ops.load_library(library.origin)
        except (ImportError, OSError):  # what torchvision itself takes for "not there"
            return False
        return True
    return False


def nms(dets, scores, iou_threshold):
    """Indices int64 of the boxes that greedy non-maximum suppression keeps, by falling score.

    dets: float (n, 4), x1, y1, x2, y2. scores: float (n,). A box goes when its intersection over union with a
    kept one of higher score is above iou_threshold; equal scores count in the order of the rows. The
    arithmetic is that of torchvision's compiled CPU operator, in the boxes' own precision.
    """
    import torch

    order = torch.sort(scores, dim=0, descending=True, **_stable(torch))[1]
    x1, y1, x2, y2 = dets.unbind(1)
    areas = (x2 - x1) * (y2 - y1)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        width = (torch.min(x2[best], x2[order]) - torch.max(x1[best], x1[order])).clamp(min=0)
        height = (torch.min(y2[best], y2[order]) - torch.max(y1[best], y1[order])).clamp(min=0)
        shared = width * height
        overlap = shared / (areas[best] + areas[order] - shared)
        # Compared in double as there: 0.45 and the nearest float are two different thresholds.
        order = order[~(overlap.double() > iou_threshold)]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.int64, device=dets.device)


def _stable(torch):
    """torch before 1.9 has no such argument."""
    old = tuple(int(part) for part in torch.__version__.split(".")[:2]) < (1, 9)
    return {} if old else {"stable": True}


def _register():
    import torch

    if not hasattr(getattr(torch, "library", None), "Library"):
        raise Refusal(
            "torchvision's compiled operators do not load beside torch {}: install the torchvision that "
            "belongs to it".format(torch.__version__)
        )
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):  # importing torchvision asks for both; quantised boxes are not used here
        library.define(name + SCHEMA)
    for device in ("CPU", "CUDA"):
        library.impl("nms", nms, device)
    _registered.append(library)


def _nms_is_there():
    """Stands for torchvision's own check, which asks for the whole compiled part."""
