import importlib.util
import os

import numpy as np
import pytest
import torch
from golden_files import golden
from PIL import Image

from encore.runtime.refusal import Refusal
from encore.systems.drip.clean_view import clean_view, normalised
from encore.systems.drip.extraction import DescriptorChunks, ExtractionRecipe, extract
from encore.systems.drip.inference import load_network
from encore.systems.drip.network import NetworkShape, build
from encore.systems.drip.published_checkpoints import write_checkpoint
from encore.systems.drip.sample_pictures import SamplePictures
from encore.systems.drip.samples import SampleIds
from tests.encore.systems.drip.drip_formula import formula_weights

SIZE, MODES = 12, ("RGB", "L", "CMYK", "RGBA")
SMALL = NetworkShape("resnet", embedding=8, width=2, layers=(1, 1, 1, 1))


class Sums(torch.nn.Module):
    """A network that a test can follow: the sums of each channel's four quarters."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, views):
        self.calls.append(len(views))
        return torch.nn.functional.adaptive_avg_pool2d(views, 2).flatten(1)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "training_images"
    folder.mkdir()
    for number in range(23):
        values = np.random.RandomState(number).randint(0, 256, (20, 30, 4), dtype=np.uint8)
        mode = MODES[number % 4]
        image = Image.fromarray(values[:, :, 0] if mode == "L" else values[:, :, : 3 if mode == "RGB" else 4])
        image = Image.frombytes(mode, image.size, image.tobytes())
        form = "PNG" if mode == "RGBA" else "JPEG"
        image.save(str(folder / "T{:06d}.jpg".format(number)), form)
    return tmp_path


def described(root, network=None, folder="chunks", workers=0, **recipe):
    pictures = SamplePictures(root)
    values = dict({"batch": 4, "batches_per_chunk": 2, "size": SIZE}, **recipe)
    network = network or Sums()
    return extract(
        network, 12, pictures, pictures.ids("T"), ExtractionRecipe(**values), root / folder, "t", workers
    )


@pytest.mark.parametrize("mode", ["imagenet", "simple"])
def test_rows_are_the_networks_of_the_clean_views(root, mode):
    chunks = described(root, normalisation=mode)
    assert chunks.shape == (23, 12) and chunks.ranges == [(0, 8), (8, 16), (16, 23)]
    found = chunks.read(0, 23)
    assert found.dtype == np.float32
    for number in range(23):
        image = SamplePictures(root).open("T{:06d}".format(number))
        assert image.mode == MODES[number % 4]
        view = normalised(clean_view(image, SIZE), mode).astype(np.float64)
        quarters = view.reshape(3, 2, SIZE // 2, 2, SIZE // 2).mean(axis=(2, 4)).ravel()
        assert np.allclose(found[number], quarters, atol=1e-5)


@pytest.mark.parametrize("first, last", [(0, 23), (0, 8), (7, 9), (8, 16), (15, 23), (5, 5), (22, 23)])
def test_any_rows_can_be_read(root, first, last):
    chunks = described(root)
    assert np.array_equal(chunks.read(first, last), chunks.read(0, 23)[first:last])


def test_same_bits_with_loader_processes_and_large_batches_in_portions(root, monkeypatch):
    one = described(root).read(0, 23)
    assert np.array_equal(described(root, folder="two", workers=2).read(0, 23), one)
    monkeypatch.setattr("encore.systems.drip.extraction.PORTION", 3)
    network = Sums()
    assert np.array_equal(described(root, network, "three", workers=2).read(0, 23), one)
    assert network.calls == [4] * 5 + [3]  # what the network gets are whole batches


def test_what_a_killed_run_finished_is_kept(root):
    whole = described(root).read(0, 23)
    os.unlink(str(root / "chunks" / "t_1.npy"))
    (root / "chunks" / "t_1.npy.tmp-1").write_bytes(b"half a chunk")
    network = Sums()
    assert np.array_equal(described(root, network).read(0, 23), whole)
    assert network.calls == [4, 4]
    network = Sums()
    described(root, network)
    assert network.calls == []


def test_an_error_keeps_the_chunks_before_it(root):
    class Breaks(Sums):
        def forward(self, views):
            found = super().forward(views)
            return found / 0 if len(self.calls) == 4 else found

    with pytest.raises(Refusal, match="T000012: its descriptor holds NaN or infinity"):
        described(root, Breaks())
    assert sorted(os.listdir(str(root / "chunks"))) == ["t_0.npy"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_cannot_be_used_is_named(root, workers):
    broken = root / "training_images" / "T000017.jpg"
    Image.new("LA", (5, 5)).save(str(broken), "PNG")
    with pytest.raises(Refusal, match="T000017: expected .*channels"):
        described(root, workers=workers)
    broken.write_bytes(b"no picture")
    with pytest.raises(Refusal, match="T000017: not a readable picture"):
        described(root, workers=workers)
    broken.unlink()
    with pytest.raises(Refusal, match="no T000017.jpg"):
        extract(Sums(), 12, SamplePictures(root), SampleIds(["T000017"]), ExtractionRecipe(), root / "x", "t")


def test_ids_are_in_order_and_other_names_are_refused(root):
    ids = SamplePictures(root).ids("T")
    assert list(ids) == ["T{:06d}".format(number) for number in range(23)]
    (root / "training_images" / "holiday.jpg").write_bytes(b"")
    with pytest.raises(Refusal, match="training_images: holiday.jpg: expected names like T000000.jpg"):
        SamplePictures(root).ids("T")


def test_an_empty_set_has_its_width(tmp_path):
    assert DescriptorChunks(tmp_path, "t", (0, 5), 4).read(0, 0).shape == (0, 5)


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
def test_published_descriptors_of_the_published_network(tmp_path):
    shape, path = NetworkShape(), str(tmp_path / "last.ckpt")
    trained = formula_weights(build(shape, 0, classes=40))
    write_checkpoint(path, trained, 0, 0)
    os.makedirs(str(tmp_path / "reference_images"))
    for number in range(2):
        picture = golden("drip/inputs/photo{}.png".format(number)).read_bytes()
        (tmp_path / "reference_images" / "R{:06d}.jpg".format(number)).write_bytes(picture)
    pictures = SamplePictures(tmp_path)
    network = load_network(shape, path)
    assert network.criterion is None and not network.training
    recipe = ExtractionRecipe()
    found = extract(network, 256, pictures, pictures.ids("R"), recipe, tmp_path / "chunks", "r")
    recipe = ExtractionRecipe(flip=True)
    both = extract(network, 256, pictures, pictures.ids("R"), recipe, tmp_path / "flipped", "r")
    with np.load(str(golden("drip/model.npz"))) as arrays:
        assert np.abs(found.read(0, 2) - arrays["embedding"]).max() < 1e-5
        assert np.abs(both.read(0, 2) - arrays["embedding_tta"]).max() < 1e-5
        assert np.abs(arrays["embedding_tta"] - arrays["embedding"]).max() > 1e-3


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    path = str(tmp_path / "last.ckpt")
    write_checkpoint(path, build(SMALL, 0, classes=7), 0, 0)
    load_network(SMALL, path)  # any number of classes
    with pytest.raises(Refusal, match="last.ckpt: 1 of .* first is backbone.1.weight: name the network"):
        load_network(NetworkShape("resnet", embedding=9, width=2, layers=(1, 1, 1, 1)), path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(Refusal, match="no Lightning checkpoint"):
        load_network(SMALL, path)
