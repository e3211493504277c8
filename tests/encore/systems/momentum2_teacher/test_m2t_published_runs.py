"""The two published runs on ImageNet: length, rates, and the lines of params.yaml that ask for them."""

import os
import re

import pytest
import yaml

from encore.runtime.parameters import from_mapping, read_parameters
from encore.systems.isc_track1.backbones import BACKBONES
from encore.systems.momentum2_teacher.data_order import view_batches
from encore.systems.momentum2_teacher.recipe import PUBLISHED
from stages.isc_track1.pretrain import PretrainParameters

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 4))
UNWRITTEN = {"seed", "shape", "print_every", "save_every", "lossy_resume"}
"""Values that decide no published number; the shape belongs in isc_track1.networks."""


class ImageNet:
    """As long as ImageNet's training pictures; there is nothing to read."""

    def __len__(self):
        return 1281167


@pytest.mark.parametrize(
    ("arch", "batch", "per_epoch", "total", "highest"),
    [("resnet152", 512, 2502, 750600, 0.1), ("resnet_ibn50a", 1024, 1251, 375300, 0.2)],
)
def test_length_and_rates_of_the_published_runs(arch, batch, per_epoch, total, highest):
    recipe = PUBLISHED[arch]
    assert (recipe.batch, recipe.replicas) == (batch, 8)
    assert view_batches(ImageNet(), recipe).iterations == per_epoch
    assert recipe.epochs * per_epoch == total
    rates = [recipe.rate(step, per_epoch) for step in range(0, total, per_epoch // 3)]
    assert max(rates) == recipe.rate(recipe.warm_up_epochs * per_epoch, per_epoch)
    assert max(rates) == pytest.approx(highest, rel=1e-12)


def written():
    """The section `isc_track1.pretrain` that the manual says to write."""
    with open(os.path.join(ROOT, "REPRODUCE.md"), encoding="utf-8") as file:
        blocks = re.findall(r"^```yaml\n(.*?)^```$", file.read(), re.MULTILINE | re.DOTALL)
    (section,) = [block for block in blocks if "momentum2_teacher" in block]
    return yaml.safe_load(section)["isc_track1"]["pretrain"]


def test_the_lines_of_the_manual_are_the_published_runs():
    with open(os.path.join(ROOT, "params.yaml"), encoding="utf-8") as file:
        section = yaml.safe_load(file)["isc_track1"]["pretrain"]
    lines = written()
    assert set(lines) == set(PUBLISHED) == {backbone.arch for backbone in BACKBONES} - {"resnet50"}
    parameters = from_mapping(PretrainParameters, dict(section, **lines), "REPRODUCE.md")
    for arch, recipe in PUBLISHED.items():
        found = getattr(parameters, arch)
        assert found.momentum2_teacher == recipe
        assert (found.published, found.images) == (None, "raw/imagenet/train")
        # nothing is left to a default that may change, and the keys are those of the file
        assert set(lines[arch]["momentum2_teacher"]) | UNWRITTEN == set(vars(recipe))
        assert set(lines[arch]) == set(section[arch])
    path = os.path.join(ROOT, "params.yaml")
    assert read_parameters(path, "isc_track1.pretrain", PretrainParameters).resnet50 == parameters.resnet50
