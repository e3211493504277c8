"""ImageNet's weights and the evaluation pictures, whose places a published params.json cannot name."""

from __future__ import annotations

import dataclasses
import os

import torch

from encore.runtime.refusal import Refusal
from encore.systems.reid.evaluation_pictures import ARCHIVE_GALLERY, GALLERY, QUERY

RANKED = ("market_evaluate", "msmt_evaluate")
"""Our evaluators that need encore.evaluation_root."""
TORCHVISION = {
    "resnet_18": "resnet18-5c106cde.pth",
    "resnet_34": "resnet34-333f7ec4.pth",
    "resnet_50": "resnet50-19c8e357.pth",
    "resnet_101": "resnet101-5d3b4d8f.pth",
    "resnet_152": "resnet152-b121ed2d.pth",
}
"""model_params.model -> torchvision's file of its first ImageNet weights."""


def completed(params, root, warn):
    """The ReidParams with the places that a published params.json cannot name, each told to `warn` in one
    line; Refusal where there is nothing to take.

    encore.imagenet_weights: torchvision's file in `root`/raw, else in torch.hub's folder; nothing is
    downloaded. encore.evaluation_root of market_evaluate and msmt_evaluate: the folder that holds
    batches_dir.
    """
    found, own = {}, params.encore
    if params.imagenet_pretrain and own.imagenet_weights is None:
        found["imagenet_weights"] = _torchvision_file(params.model_params.model, root)
    if own.evaluation_root is None and ranks_a_gallery(params):
        found["evaluation_root"] = _root_beside(params.batches_dir, params.evaluation_params.type)
    for name, path in found.items():
        warn("encore.{}: missing, {} is taken".format(name, path))
    return dataclasses.replace(params, encore=dataclasses.replace(own, **found))


def _torchvision_file(model, root):
    places = (os.path.join(root, "raw"), os.path.join(torch.hub.get_dir(), "checkpoints"))
    for place in places:
        path = os.path.join(place, TORCHVISION[model])
        if os.path.isfile(path):
            return path
    raise Refusal(
        "encore.imagenet_weights: missing, and there is no {} in {} or {}: put torchvision's weights of {} "
        "there, name their file, or set imagenet_pretrain to false".format(TORCHVISION[model], *places, model)
    )


def _root_beside(batches_dir, kind):
    root = os.path.dirname(os.path.abspath(batches_dir.partition("#")[0]))
    has = {name: os.path.isdir(os.path.join(root, name)) for name in (GALLERY, ARCHIVE_GALLERY, QUERY)}
    if batches_dir and has[QUERY] and (has[GALLERY] or has[ARCHIVE_GALLERY]):
        return root
    raise Refusal(
        "encore.evaluation_root: missing, and {}, which holds batches_dir, has no {} (or {}) and {}: name "
        "the folder of both, or set evaluation_params.type of {} to null".format(
            root, GALLERY, ARCHIVE_GALLERY, QUERY, kind
        )
    )


def ranks_a_gallery(params):
    """Whether the evaluator is one of ours that ranks a gallery, and none of that name dropped in."""
    kind, folder = params.evaluation_params.type, params.encore.evaluators
    return kind in RANKED and not (folder and os.path.isfile(os.path.join(folder, kind + ".py")))
