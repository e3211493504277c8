"""The three backbones of Track 1."""

from __future__ import annotations

from dataclasses import dataclass

from encore.models.isc_network import IscShape
from encore.runtime.parameters import read_parameters
from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.data_sets import PAIR


@dataclass(frozen=True)
class Backbone:
    """One backbone under its published names."""

    name: str
    """In the test: `--model`, `<tag>_<name>.pth.tar`, `V5_<tag>/<name>`."""
    arch: str
    """In training: `-a`."""
    start_weights: str
    """File of the start weights."""


BACKBONES = (
    Backbone("50", "resnet50", "resnet50_bar.pth"),
    Backbone("152", "resnet152", "unsupervised_pretrained_byol_152.pkl"),
    Backbone("ibn", "resnet_ibn50a", "unsupervised_pretrained_m2t_ibn.pkl"),
)
BY_NAME = {backbone.name: backbone for backbone in BACKBONES}


@dataclass(frozen=True)
class Networks:
    """The section `isc_track1.networks`: the shape of each backbone's network."""

    resnet50: IscShape
    resnet152: IscShape
    resnet_ibn50a: IscShape


def backbone_of(name):
    """The Backbone called `name` in the test (50, 152, ibn); Refusal for another name."""
    if name not in BY_NAME:
        raise Refusal("backbone {}: expected one of {}".format(name, ", ".join(BY_NAME)))
    return BY_NAME[name]


def network_shape(path, name):
    """The shape of the network with backbone `name` from the parameter file; Refusal for one with a matrix
    head."""
    arch = backbone_of(name).arch
    shape = getattr(read_parameters(path, "isc_track1.networks", Networks), arch)
    if shape.matrix is not None:
        raise Refusal(
            "{}: isc_track1.networks.{}.matrix: expected null, found {}: Track 1 has no matrix head".format(
                path, arch, shape.matrix
            )
        )
    return shape


def start_weights_path(name):
    """Where the start weights of a backbone lie, relative to the size's folder."""
    backbone = backbone_of(name)
    return "models/isc_track1/start/{}/{}".format(backbone.name, backbone.start_weights)


def weights_name(tag, name):
    """Published name of a run's stripped weights: baseline_CC, 50 -> baseline_cc_50.pth.tar; those of pair
    models end in `_pair` (baseline_cc_50_pair.pth.tar)."""
    tag, end = (tag[: -len(PAIR)], PAIR) if tag.endswith(PAIR) else (tag, "")
    return "{}_{}{}.pth.tar".format(tag.lower(), backbone_of(name).name, end)
