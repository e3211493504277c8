"""Networks that describe pictures for copy detection, by the file of their weights.

Track 2's: the matrix head at several scales, their mean. Track 1's: the wide head at one scale, without the
PCA whitening, which the published test trains on 20,000 pictures. drip's: the network's own unit vector.
"""

from __future__ import annotations

import hashlib
import os
import sys
from typing import Any, Callable, NamedTuple, Tuple

import numpy as np
import torch

from encore.data.augment import resample  # noqa: F401  (loaded before _environment looks)
from encore.models.isc_network import IscNetwork
from encore.runtime.atomic import file_digest
from encore.runtime.numerics import exact
from encore.runtime.parameters import read_parameters, read_section, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.search.multi_scale import mean_of_scales
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
DECIDING = (
    "encore.models",
    "encore.data.images",
    "encore.data.augment.resample",
    "encore.search.multi_scale",
    "encore.systems.isc.extraction",
    "encore.systems.isc.prepared_pictures",
    "encore.systems.isc_track2.describers",
    "encore.systems.isc_track2.kept_descriptors",
    "encore.systems.drip.clean_view",
    "encore.systems.drip.network",
    "encore.systems.drip.view_batches",
)
"""Modules on which the numbers of a descriptor depend."""
LIBRARIES = ("numpy", "torch", "PIL", "timm")


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


class Describer:
    """Describes pictures by the network in the file `weights`, at `scales` (None: those it was tested at).

    `sizes`: folders with a params.yaml each, the mini size's first, which say what networks are made of.
    Refusal for a file that is none of the kinds in EXPECTED.
    """

    def __init__(self, weights, sizes, scales=None, device="cpu"):
        self.weights = weights
        self._model = recognised(weights, sizes)
        self.kind, self.mini, self.width = self._model.kind, self._model.mini, self._model.width
        self.scales = tuple(scales or self._model.scales)
        if min(self.scales) < 8 or len(set(self.scales)) != len(self.scales):
            raise Refusal(
                "--scales: expected different sides of 8 pixels at least, found {}".format(
                    " ".join(map(str, self.scales))
                )
            )
        self._device = torch.device(device)
        self._model.network.to(self._device).eval()
        self.weights_digest = file_digest(weights)
        self.address = recipe_digest(
            self.weights_digest, self.kind, list(self.scales), self._device.type, _environment()
        )
        """SHA-256 of everything but the pictures that a descriptor depends on."""

    def views(self, image):
        """[uint8 (3, side, side), one a scale] of a PIL image; RejectedImage where it has none."""
        return [self._model.view(image, side) for side in self.scales]

    def descriptors(self, views):
        """float32 (n, width), L2-normalised, of a list of n `views`: the mean over the scales.

        Refusal for one that is not finite or has no direction.
        """
        found = []
        with torch.no_grad(), exact():
            for pictures in zip(*views):
                pixels = torch.from_numpy(np.stack(pictures)).to(self._device)
                feature = torch.nn.functional.normalize(self._model.feature(pixels).float())
                found.append(feature.cpu().numpy())
        if not all(np.isfinite(vectors).all() for vectors in found):
            raise Refusal(
                "{}: gives descriptors with NaN or infinity: the training has failed, give other "
                "weights".format(self.weights)
            )
        return mean_of_scales(found)


def recognised(path, sizes):
    """The Model in a file of weights; see Describer."""
    content = _content(path)
    if isinstance(content, dict) and "pytorch-lightning_version" in content:
        return _drip(path, sizes)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]  # a checkpoint of training
    if not isinstance(content, dict) or not all(map(torch.is_tensor, content.values())) or not content:
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
    from encore.systems.drip.view_batches import normalised_pixels

    return Model(
        "drip",
        mini,
        network,
        (recipe.size,),
        shape.embedding,
        _drip_view,
        lambda pixels: network(normalised_pixels(pixels, recipe.img_norm_type)),
    )


def _drip_view(image, side):
    from encore.data.images import RejectedImage
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


def _environment():
    """The code and the libraries that decide on a descriptor, as plain values."""
    found = {"python": "{}.{}".format(*sys.version_info[:2])}
    for name, module in sorted(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path and name.startswith(DECIDING):
            with open(path, "rb") as file:
                found[name] = hashlib.sha256(file.read()).hexdigest()
        elif name in LIBRARIES:
            found[name] = str(getattr(module, "__version__", ""))
    return found
