import io
import os

import numpy as np
import pytest
import torch
from PIL import Image

from encore.runtime.refusal import Refusal
from encore.systems.isc.extraction import ExtractionRecipe, Extractor
from encore.systems.isc.prepared_pictures import Preparation
from encore.systems.matching.describer import Describer
from tests.encore.systems.isc.pictures import WIDE, Pictures, png, small_network

PROJECT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "..", ".."))
SIZES = (os.path.join(PROJECT, "mini"), PROJECT)


def saved(tmp_path, content, name="w.pth.tar"):
    path = str(tmp_path / name)
    torch.save(content, path)
    return path


def views(describer, count=3):
    return [describer.views(Image.open(io.BytesIO(png(i)))) for i in range(count)]


@pytest.mark.parametrize(("shape", "head"), [(None, "descriptor"), (WIDE, "embedding")])
def test_descriptors_are_those_of_the_extraction(tmp_path, shape, head):
    network = small_network() if shape is None else small_network(shape=shape)
    describer = Describer(saved(tmp_path, network.state_dict()), SIZES, (24, 32))
    found = describer.descriptors(views(describer))
    extractor = Extractor(small_network() if shape is None else small_network(shape=shape), head=head)
    images = Pictures({str(i): png(i) for i in range(3)})
    mean = sum(extractor.in_memory(images, Preparation(size))[1].astype(np.float64) for size in (24, 32))
    assert found.dtype == np.float32 and found.shape == (3, describer.width)
    assert np.allclose(found, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)
    assert ExtractionRecipe().gem_exponent == 3.0  # the trained one, 4.5, is thrown away in both


def test_a_checkpoint_of_training_will_do(tmp_path):
    state = small_network().state_dict()
    stripped = Describer(saved(tmp_path, state), SIZES, (24,))
    whole = Describer(saved(tmp_path, {"state_dict": state, "epoch": 3}, "whole.pth.tar"), SIZES, (24,))
    assert np.array_equal(stripped.descriptors(views(stripped)), whole.descriptors(views(whole)))


def test_bad_scales_are_refused(tmp_path):
    path = saved(tmp_path, small_network().state_dict())
    for scales in ((24, 24), (7,)):
        with pytest.raises(Refusal, match="--scales"):
            Describer(path, SIZES, scales)


def test_descriptors_that_are_no_numbers_are_refused(tmp_path):
    network = small_network()
    network.matrix_feat_bn[0][2].weight.data.fill_(float("nan"))
    describer = Describer(saved(tmp_path, network.state_dict()), SIZES, (24,))
    with pytest.raises(Refusal, match="w.pth.tar: gives descriptors with NaN"):
        describer.descriptors(views(describer))


def test_the_address_tells_weights_and_scales(tmp_path):
    one = saved(tmp_path, small_network().state_dict())
    two = saved(tmp_path, small_network(seed=1).state_dict(), "two")
    found = [
        Describer(path, SIZES, scales).address
        for path, scales in ((one, (24,)), (one, (24, 32)), (two, (24,)))
    ]
    assert len(set(found)) == 3 and Describer(one, SIZES, (24,)).address == found[0]


def drip_checkpoint(tmp_path):
    """(NetworkShape of the mini size, a checkpoint of it)."""
    pytest.importorskip("encore.systems.drip.inference")
    if not hasattr(torch.linalg, "vector_norm"):
        pytest.skip("drip needs a later torch")
    from encore.runtime.parameters import read_parameters
    from encore.systems.drip.network import NetworkShape, build
    from encore.systems.drip.published_checkpoints import write_checkpoint

    shape = read_parameters(os.path.join(SIZES[0], "params.yaml"), "drip.network", NetworkShape)
    path = str(tmp_path / "last.ckpt")
    write_checkpoint(path, build(shape, seed=0), 0, 1)
    return shape, path


def test_a_checkpoint_of_drip_describes_its_clean_view(tmp_path):
    shape, path = drip_checkpoint(tmp_path)
    from encore.systems.drip.clean_view import normalised
    from encore.systems.drip.inference import load_network

    describer = Describer(path, SIZES)
    assert describer.kind == "drip" and describer.mini and describer.scales == (48,)
    found = describer.descriptors(views(describer))
    pixels = [np.asarray(Image.open(io.BytesIO(png(i))).resize((48, 48), Image.BICUBIC)) for i in range(3)]
    inputs = torch.from_numpy(np.stack([normalised(picture) for picture in pixels]))
    with torch.no_grad():
        expected = load_network(shape, path)(inputs).numpy()
    assert found.shape == (3, 64) and np.allclose(found, expected, atol=1e-3)
    torch.save({"pytorch-lightning_version": "1", "epoch": 0, "global_step": 0, "state_dict": {}}, path)
    with pytest.raises(Refusal, match="last.ckpt: a checkpoint of drip that fits neither size"):
        Describer(path, SIZES)


@pytest.mark.parametrize(
    ("old", "new"), [("img_norm_type: imagenet", "img_norm_type: simple"), ("groups: 4", "groups: 2")]
)
def test_a_setting_that_changes_the_descriptors_of_the_same_weights_changes_the_address(tmp_path, old, new):
    _, path = drip_checkpoint(tmp_path)
    before = Describer(path, SIZES)
    with open(os.path.join(SIZES[0], "params.yaml"), encoding="utf-8") as file:
        text = file.read()
    drip = text.index("\ndrip:")
    changed = text[:drip] + text[drip:].replace(old, new, 1)
    assert changed != text
    (tmp_path / "params.yaml").write_text(changed, encoding="utf-8")
    after = Describer(path, (str(tmp_path), PROJECT))
    assert after.weights_digest == before.weights_digest and after.scales == before.scales
    assert not np.allclose(after.descriptors(views(after)), before.descriptors(views(before)), atol=1e-3)
    assert after.address != before.address
