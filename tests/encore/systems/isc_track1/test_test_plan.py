import pytest
import yaml

from encore.runtime.parameters import read_parameters
from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.data_sets import DATA_SETS
from encore.systems.isc_track1.test_plan import TestPlan

SECTION = {
    "tags": ["baseline_CC", "blur_BW"],
    "pair_tags": ["baseline_CC_pair"],
    "backbones": ["50", "ibn"],
    "groups": ["all"],
    "scales": [64, 48, 80],
    "multi_part_scale": 64,
}


def read(tmp_path, **changes):
    section = {key: value for key, value in dict(SECTION, **changes).items() if value is not None}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"isc_track1": {"test": section}}))
    return read_parameters(str(tmp_path / "params.yaml"), "isc_track1.test", TestPlan)


def test_models_and_scales_of_a_plan(tmp_path):
    plan = read(tmp_path)
    assert plan.models() == plan.models("all")
    assert plan.models()[-1] == ("baseline_CC_pair", "ibn") and len(plan.models()) == 6
    assert plan.scales_of("blur_BW") == (64, 48, 80) and plan.scales_of("baseline_CC_pair") == (64,)
    assert plan.group("blur_BW", "50") == "all"


def test_one_process_a_model_as_published(tmp_path):
    tags = [data_set.tag for data_set in DATA_SETS]
    backbones = ["50", "152", "ibn"]
    groups = [tag + "-" + name for tag in tags + ["baseline_CC_pair"] for name in backbones]
    plan = read(
        tmp_path, tags=tags, backbones=backbones, groups=groups, scales=[256, 200, 320], multi_part_scale=256
    )
    assert len(plan.models()) == 33 + 3
    assert [plan.models(group) for group in groups] == [[model] for model in plan.models()]
    assert plan.group("face_BW", "152") == "face_BW-152"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"backbones": None}, r"\.backbones: missing"),
        ({"backbones": []}, "backbones: expected at least one entry, found none"),
        ({"backbones": ["50", "101"]}, "backbones: backbone 101: expected one of 50, 152, ibn"),
        ({"backbones": [50]}, r"backbones\[0\]: expected text, found 50"),
        ({"backbones": ["50", "50"]}, "backbones: expected every entry once, found 50 again"),
        ({"tags": []}, "tags: expected at least one entry"),
        ({"tags": ["baseline_cc"]}, "tags: baseline_cc: expected one of baseline_CC, "),
        (
            {"tags": ["baseline_CC_pair"]},
            "tags: baseline_CC_pair: tags that end in _pair belong in pair_tags",
        ),
        (
            {"pair_tags": ["baseline_CC"]},
            "pair_tags: baseline_CC: tags that end in _pair belong in pair_tags",
        ),
        ({"pair_tags": ["face_CC"]}, "pair_tags: face_CC: tags that end in _pair belong in pair_tags"),
        ({"groups": ["all", "blur_BW-50"]}, "groups: model blur_BW-50: .* found all, blur_BW-50"),
        ({"groups": ["baseline_CC-50", "baseline_CC-ibn"]}, "groups: model blur_BW-50: .* found none"),
        ({"groups": ["all", "face_CC-50"]}, "groups: group face_CC-50: expected all, or"),
        ({"groups": []}, "groups: expected at least one entry"),
        ({"scales": [64, 64]}, "scales: expected every entry once, found 64 again"),
        ({"scales": [4]}, r"scales\[0\]: expected 8 to 4096, found 4"),
        ({"multi_part_scale": 56}, r"multi_part_scale: expected one of scales \(64, 48, 80\), found 56"),
    ],
)
def test_bad_plans_are_refused_by_file_and_key(tmp_path, changes, message):
    with pytest.raises(Refusal, match=r"params\.yaml: isc_track1\.test.*(" + message + ")"):
        read(tmp_path, **changes)
