"""The networks in files of weights that describe pictures for copy detection.

Track 2's: the matrix head. Track 1's: the wide head at one scale, without the PCA whitening, which the
published test trains on 20,000 pictures. drip's: the network's own unit vector.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Callable, NamedTuple, Tuple

import numpy as np

from encore.data.images import RejectedImage
from encore.models.isc_network import IscNetwork
from encore.runtime.parameters import read_parameters, read_section
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import is_state_dict, safe_load
from encore.systems.isc.extraction import PUBLISHED, network_input
from encore.systems.isc.parameters import network_shape
from encore.systems.isc.prepared_pictures import Preparation
from encore.systems.isc_track1.backbones import Networks
from encore.systems.isc_track1.test_plan import TestPlan
from encore.training.checkpoint import load_exactly, shape_of, strip

EXPECTED = (
    "weights of isc_track2 or isc_track1 (trained.pth.tar, baseline_cc_50.pth.tar), or a checkpoint of drip "
    "(.ckpt)"
)


class Model(NamedTuple):
    """What a file of weights is."""

    kind: str
    """For people."""
    mini: bool
    """Whether it has the shape of the mini size's network."""
    network: Any
    scales: Tuple[int, ...]
    """Sides in pixels of the squares that it was tested at."""
    width: int
    """Numbers of a descriptor."""
    view: Callable
    """(PIL image, side) -> uint8 (3, side, side)."""
    feature: Callable
    """uint8 (n, 3, side, side) on the network's device -> float32 (n, width)."""
    settings: dict
    """What its descriptors depend on besides the weights and the scales, as plain values."""
    libraries: Tuple[str, ...] = ()
    """Modules besides numpy, torch and PIL that compute them."""


def recognised(path, sizes):
    """The Model in the file `path`; `sizes`: folders with a params.yaml each, the mini size's first.

    Refusal for a file that is none of the kinds in EXPECTED.
    """
    content = _content(path)
    if isinstance(content, dict) and "pytorch-lightning_version" in content:
        return _drip(path, sizes)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]  # a checkpoint of training
    if not is_state_dict(content) or not content:
        raise _other_kind(path, "no state dict")
    if "base.0.weight" not in content:
        raise _other_kind(path, "weights such as {}".format(next(iter(content))))
    return _isc(strip(content), path, sizes)


def _isc(state, path, sizes):
    shape = shape_of(state, path)
    network = IscNetwork(shape)
    load_exactly(network, state, path)
    if PUBLISHED.gem_exponent is not None:
        network.fix_gem(PUBLISHED.gem_exponent)
    mini = os.path.join(sizes[0], "params.yaml")
    if shape.matrix is not None:
        kind, feature, width = "isc_track2, the matrix head", network.descriptor, shape.matrix
        is_mini = shape == network_shape(mini, "isc_track2")
        scales = mini_scales(mini) if is_mini else PUBLISHED.scales
    else:
        kind, feature, width = "isc_track1, the wide head, not whitened", network.embedding, shape.embedding
        networks = read_parameters(mini, "isc_track1.networks", Networks)
        is_mini = shape in (networks.resnet50, networks.resnet152, networks.resnet_ibn50a)
        params = mini if is_mini else os.path.join(sizes[-1], "params.yaml")
        scales = (read_parameters(params, "isc_track1.test", TestPlan).multi_part_scale,)
    return Model(
        kind,
        is_mini,
        network,
        scales,
        width,
        lambda image, side: Preparation(side)(image),
        lambda pixels: feature(network_input(pixels)),
        {"shape": dataclasses.asdict(shape), "gem_exponent": PUBLISHED.gem_exponent},
    )


def mini_scales(params):
    """The sides that the mini size of Track 2 is tested at."""
    return tuple(read_section(params, "isc_track2.extract")["scales"])


def _drip(path, sizes):
    """Of the first size whose network the checkpoint fits."""
    from encore.systems.drip.inference import load_network
    from encore.systems.drip.network import NetworkShape
    from encore.systems.drip.recipe import DripRecipe

    for number, folder in enumerate(sizes):
        params = os.path.join(folder, "params.yaml")
        shape = read_parameters(params, "drip.network", NetworkShape)
        recipe = read_parameters(params, "drip.train", DripRecipe)
        try:
            return _drip_model(load_network(shape, path), shape, recipe, mini=number == 0)
        except Refusal as refusal:
            problem = refusal
    raise Refusal(
        "{}: a checkpoint of drip that fits neither size's drip.network ({}): name the network that was "
        "trained there".format(path, problem)
    )


def _drip_model(network, shape, recipe, mini):
    from encore.systems.drip.network import STAND_IN
    from encore.systems.drip.view_batches import normalised_pixels

    return Model(
        "drip",
        mini,
        network,
        (recipe.size,),
        shape.embedding,
        _drip_view,
        lambda pixels: network(normalised_pixels(pixels, recipe.img_norm_type)),
        {"network": dataclasses.asdict(shape), "img_norm_type": recipe.img_norm_type},
        () if shape.backbone == STAND_IN else ("timm",),
    )


def _drip_view(image, side):
    from encore.systems.drip.clean_view import clean_view, three_channels

    try:
        pixels = three_channels(clean_view(image, side))
    except ValueError as error:
        raise RejectedImage("no picture that drip can take: {}".format(error)) from error
    return np.ascontiguousarray(pixels.astype(np.uint8, copy=False).transpose(2, 0, 1))


def _content(path):
    """What a torch file holds, also one with the names of Lightning's callbacks."""
    try:
        return safe_load(path)
    except Refusal as refusal:
        problem = refusal
    if str(path).endswith(".ckpt"):
        from encore.systems.drip.published_checkpoints import read_container

        return read_container(path)
    raise _other_kind(path, str(problem).replace(str(path), "that it"))


def _other_kind(path, why):
    return Refusal("{}: expected {}, found {}".format(path, EXPECTED, why))
