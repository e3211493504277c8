"""The published recipes' differences, and refused values."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from encore.data.augment.chain_recipe import PUBLISHED, ChainRecipe


def differences(name):
    base = asdict(PUBLISHED["isc_100k_256_big"])
    return {key: value for key, value in asdict(PUBLISHED[name]).items() if value != base[key]}


def test_the_ten_data_sets_differ_as_published():
    grey = {"grey_probability": 1.0, "grey_first_copy": True}
    blur = {"blur_probability": 0.3, "blur_radius": (5, 20)}
    assert {name: differences(name) for name in PUBLISHED} == {
        "isc_100k_256": {"overlay_scale": (1, 2.5)},
        "isc_100k_256_big": {},
        "isc_100k_256_big_bw": dict(grey, grey_position="after_resize"),
        "isc_100k_256_big_blur": blur,
        "isc_100k_256_big_blur_bw": dict(grey, grey_position="before_resize", **blur),
        "isc_100k_256_big_color_p4": {"colorize_probability": 0.4},
        "isc_100k_256_big_color_p4_bw": dict(grey, colorize_probability=0.4),
        "isc_100k_256_big_dark": {"dark_probability": 0.5},
        "isc_100k_256_big_opa": {"blend_probability": 0.4},
        "isc_100k_256_big_u": {"underlay_probability": 0.4, "underlay_scale": (0.2, 0.3)},
    }


@pytest.mark.parametrize(
    "field, value",
    [
        ("rotation_probability", 1.2),
        ("text_probability", -0.1),
        ("crop_scale", (1, 0.2)),
        ("blur_radius", (0.1, 2.0, 3.0)),
        ("size", 0),
        ("foreign_pictures", 0),
        ("grey_position", "first"),
    ],
)
def test_values_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        ChainRecipe(**{field: value})


def test_lists_from_a_parameter_file_become_ranges():
    assert ChainRecipe(crop_scale=[0.3, 1]) == ChainRecipe(crop_scale=(0.3, 1))
    assert hash(ChainRecipe(crop_scale=[0.3, 1])) == hash(ChainRecipe(crop_scale=(0.3, 1)))
