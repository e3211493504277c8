"""Multiply-adds counted from shapes, against networks that are built."""

from __future__ import annotations

import pytest
import yaml

from checks.forecast import networks, reid, reid_length
from checks.size import PROJECT

SIZES = {
    name: yaml.safe_load((PROJECT / name / "params.yaml").read_text(encoding="utf-8"))
    for name in (".", "mini")
}


def built(make_network, height, width, forward=None):
    from benchmarks.gpu_check.multiply_adds import multiply_adds

    return multiply_adds(make_network, height, width, forward)


def as_shape(section):
    return {key: tuple(value) if isinstance(value, list) else value for key, value in section.items()}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet101", "resnet18_gn"])
def test_residual_students_are_counted_as_they_are_built(size, name):
    from encore.systems.fkd.networks import NetworkShape, build

    section, side = SIZES[size]["fkd"]["students"][name], SIZES[size]["fkd"]["train"]["recipe"]["size"]
    expected = built(lambda: build(NetworkShape(**as_shape(section)), 0, side), side, side)
    assert networks.of_section(section, side) == expected


def test_a_transformer_is_counted_by_hand():
    # 16 patches of 4 x 4 x 3 numbers and the class token, width 48, depth 3: a token costs 4 w^2 for
    # attention and 8 w^2 for the perceptron a block
    section = SIZES["mini"]["fkd"]["students"]["vit_tiny"]
    assert networks.of_section(section, 16) == 16 * 48 * 48 + 17 * 3 * 12 * 48**2 + 48 * 10
    # DeiT-Tiny: 1.07e9 without the products of attention (paper: 1.3e9 with them)
    published = networks.of_section(SIZES["."]["fkd"]["students"]["vit_tiny"], 224)
    assert 1.05e9 < published < 1.3e9


@pytest.mark.parametrize("size", SIZES)
def test_the_network_of_drip_is_counted_as_it_is_built(size):
    from encore.systems.drip.network import NetworkShape, build

    section, side = SIZES[size]["drip"]["network"], SIZES[size]["drip"]["train"]["size"]
    expected = built(lambda: build(NetworkShape(**as_shape(section)), 0), side, side)
    assert networks.of_drip(section, side) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("size", SIZES)
def test_backbones_of_persons_are_counted_as_they_are_built(size):
    from encore.systems.reid.network import NetworkShape, _backbone, feature_map
    from encore.systems.reid.params_json import params_from

    for name, run in {**SIZES[size]["reid"]["runs"], **SIZES[size]["reid"]["students"]}.items():
        params, _ = params_from(run, name)
        shape = NetworkShape.of(params)
        expected = built(lambda shape=shape: _backbone(shape), run["img_h"], run["img_w"], feature_map)
        assert reid.forward_of(run) == expected, name
        assert reid_length.batch_of(run) == params.batch, name


def test_a_network_of_another_name_is_not_counted():
    assert networks.resnet("densenet121", 224, 224) is None
    assert networks.of_drip({"backbone": "dm_nfnet_f0", "embedding": 256}, 160) is None
