import pytest

from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.groups import group_of, models_of

TAGS, BACKBONES = ("baseline_CC", "blur_BW"), ("50", "ibn")


def test_the_models_of_a_group():
    assert models_of("all", TAGS, BACKBONES) == [
        ("baseline_CC", "50"),
        ("baseline_CC", "ibn"),
        ("blur_BW", "50"),
        ("blur_BW", "ibn"),
    ]
    assert models_of("blur_BW-50", TAGS, BACKBONES) == [("blur_BW", "50")]


@pytest.mark.parametrize("name", ["blur_BW", "blur_BW-152", "face_CC-50", "All", ""])
def test_other_names_are_refused(name):
    with pytest.raises(Refusal, match="group {}: expected all, or tag-backbone".format(name)):
        models_of(name, TAGS, BACKBONES)


def test_the_group_of_a_model():
    assert group_of("blur_BW", "50", ["all"]) == "all"
    assert group_of("blur_BW", "50", ["blur_BW-ibn", "blur_BW-50"]) == "blur_BW-50"
    with pytest.raises(Refusal, match="model blur_BW-50: .* found none"):
        group_of("blur_BW", "50", ["blur_BW-ibn"])
    with pytest.raises(Refusal, match="model blur_BW-50: .* found all, blur_BW-50"):
        group_of("blur_BW", "50", ["all", "blur_BW-50"])
