import dataclasses
import os

import pytest
import torch

from encore.models.isc_network import IscShape
from encore.runtime.refusal import Refusal
from encore.systems.isc.parameters import network_shape
from encore.systems.matching.weights_files import recognised
from tests.encore.systems.isc.pictures import WIDE, small_network

PROJECT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "..", ".."))
SIZES = (os.path.join(PROJECT, "mini"), PROJECT)


def saved(tmp_path, content, name="w.pth.tar"):
    path = str(tmp_path / name)
    torch.save(content, path)
    return path


def test_scales_are_those_the_weights_were_tested_at(tmp_path):
    own = recognised(saved(tmp_path, small_network().state_dict()), SIZES)
    assert own.scales == (200, 256, 320, 400) and not own.mini
    track2 = network_shape(os.path.join(SIZES[0], "params.yaml"), "isc_track2")
    mini = recognised(saved(tmp_path, small_network(shape=track2).state_dict()), SIZES)
    assert mini.scales == (48, 64, 80) and mini.mini and "isc_track2" in mini.kind
    track1 = IscShape((1, 2, 2, 1), 16, 256, 512, None)
    mini = recognised(saved(tmp_path, small_network(shape=track1).state_dict()), SIZES)
    assert mini.scales == (40,) and mini.mini and "isc_track1" in mini.kind
    ibn = dataclasses.replace(WIDE, ibn=True)
    other = recognised(saved(tmp_path, small_network(shape=ibn).state_dict()), SIZES)
    assert other.scales == (256,) and not other.mini and other.width == WIDE.embedding


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"conv1.weight": torch.zeros(1)}, "found weights such as conv1.weight"),
        ({"epoch": 3}, "found no state dict"),
        ([torch.zeros(1)], "found no state dict"),
        ({}, "found no state dict"),
        ({"base.0.weight": torch.zeros(2), 1: torch.zeros(1)}, "found no state dict"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_what_was_expected(tmp_path, content, message):
    with pytest.raises(Refusal, match="w.pth.tar: expected weights of isc_track2 or .*" + message):
        recognised(saved(tmp_path, content), SIZES)


def test_a_file_that_is_no_torch_file_is_refused_by_what_was_expected(tmp_path):
    (tmp_path / "w.txt").write_text("weights")
    with pytest.raises(Refusal) as refused:
        recognised(str(tmp_path / "w.txt"), SIZES)
    assert "expected weights of isc_track2" in str(refused.value) and "\n" not in str(refused.value)


def test_missing_weights_are_named(tmp_path):
    state = small_network().state_dict()
    del state["projector_feat_bn.0.0.bias"]
    with pytest.raises(Refusal, match="missing: projector_feat_bn.0.0.bias"):
        recognised(saved(tmp_path, state), SIZES)
