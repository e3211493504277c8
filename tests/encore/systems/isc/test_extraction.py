import io

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from encore.data.descriptors import chunk_files, read_attributes, read_descriptors, write_descriptors
from encore.data.images import decode_image
from encore.runtime.refusal import Refusal
from encore.search.pca_whitening import apply_pca, train_pca
from encore.systems.isc import extraction
from encore.systems.isc.extraction import (
    PUBLISHED,
    ExtractionRecipe,
    Extractor,
    network_input,
)
from encore.systems.isc.prepared_pictures import PictureReader, Preparation
from tests.encore.systems.isc.pictures import Pictures, png, small_network, wide_network

SIZE = 32
AT = Preparation(SIZE)
RECIPE = ExtractionRecipe(scales=(SIZE,), batch_size=4, batches_per_chunk=2)
NAMES = ["T{:06d}.jpg".format(number) for number in range(11)]


def pictures(count=11, **others):
    files = {name: png(number) for number, name in enumerate(NAMES[:count])}
    files.update(others)
    return Pictures(files)


def by_the_definition(data, network):
    """One descriptor, step by step: Pillow's bicubic resize, ImageNet statistics, the network, its length
    made 1."""
    array = np.asarray(
        Image.open(io.BytesIO(data)).convert("RGB").resize((SIZE, SIZE), Image.BICUBIC), np.float64
    )
    normalised = (array / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    inputs = torch.from_numpy(normalised.transpose(2, 0, 1)[None].astype(np.float32))
    with torch.no_grad():
        maps = inputs
        for layer in list(network.base)[:10]:
            maps = layer(maps)
        pooled = maps.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3)
        feature = network.matrix_feat_bn(network.projector_feat_bn(pooled))[0].numpy()
    return feature / np.linalg.norm(feature)


def test_published_values():
    assert PUBLISHED == ExtractionRecipe((200, 256, 320, 400), 500, 100, 3.0)


def test_descriptors_follow_the_definition():
    images = pictures()
    rows, vectors, skipped = Extractor(small_network(), RECIPE).in_memory(images, AT)
    assert rows.tolist() == list(range(11)) and skipped == []
    network = small_network().eval()
    expected = [by_the_definition(images.files[row], network) for row in rows]
    assert vectors.dtype == np.float32
    assert np.abs(vectors - expected).max() < 1e-5
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-2  # pictures are told apart at all


def test_the_trained_pooling_exponent_is_thrown_away():
    fresh = Extractor(small_network(), RECIPE)
    assert fresh.network.base[10].p.tolist() == [3.0]
    kept = Extractor(small_network(), ExtractionRecipe((SIZE,), 4, 2, gem_exponent=None))
    assert kept.network.base[10].p.tolist() == [4.5]
    images = pictures(2)
    assert np.abs(fresh.in_memory(images, AT)[1] - kept.in_memory(images, AT)[1]).max() > 1e-3


def test_inputs_are_scaled_by_the_imagenet_statistics():
    # white, first channel: (255 / 255 - 0.485) / 0.229; black, last channel: (0 - 0.406) / 0.225
    values = network_input(torch.tensor([[[[255, 0]]] * 3], dtype=torch.uint8).view(1, 3, 1, 2))
    assert values[0, 0, 0, 0].item() == pytest.approx((1 - 0.485) / 0.229, rel=1e-6)
    assert values[0, 2, 0, 1].item() == pytest.approx(-0.406 / 0.225, rel=1e-6)


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_bits(workers):
    images = pictures(11, broken=b"no picture")
    alone = Extractor(small_network(), RECIPE).in_memory(images, AT)
    together = Extractor(small_network(), RECIPE, PictureReader(workers)).in_memory(images, AT)
    assert np.array_equal(alone[0], together[0]) and np.array_equal(alone[1], together[1])
    assert alone[2] == together[2] == [("broken", alone[2][0][1])]


def test_the_network_sees_whole_batches_whatever_the_portions(monkeypatch):
    # 4 pictures a batch, decoded in portions of 2: the portions must be joined again
    monkeypatch.setattr(extraction, "MOST_PER_WORKER_BATCH", 2)
    extractor = Extractor(small_network(), RECIPE)
    sizes, describe = [], extractor.network.descriptor
    extractor.network.descriptor = lambda inputs: sizes.append(len(inputs)) or describe(inputs)
    _, vectors, _ = extractor.in_memory(pictures(), AT)
    assert sizes == [4, 4, 3]
    monkeypatch.undo()
    assert np.array_equal(vectors, Extractor(small_network(), RECIPE).in_memory(pictures(), AT)[1])


def test_chunk_files_hold_all_pictures_in_order(tmp_path):
    images = pictures()
    paths = Extractor(small_network(), RECIPE).to_files(images, AT, tmp_path / "train_32.hdf5")
    # 4 pictures a batch, 2 batches a chunk: 8 + 3
    assert [path.rpartition("/")[2] for path in paths] == ["train_0_32.hdf5", "train_1_32.hdf5"]
    assert [len(read_descriptors([path])[0]) for path in paths] == [8, 3]
    ids, vectors = read_descriptors(paths)
    assert ids == [name[:-4] for name in NAMES]
    assert np.array_equal(vectors, Extractor(small_network(), RECIPE).in_memory(images, AT)[1])


def test_finished_chunks_are_kept_and_others_made_again(tmp_path):
    pattern = tmp_path / "train_32.hdf5"
    images = pictures()
    paths = Extractor(small_network(), RECIPE).to_files(images, AT, pattern)
    whole = [open(path, "rb").read() for path in paths]
    with open(paths[0], "r+b") as file:
        file.truncate(100)  # cut while it was written
    images.reads = 0
    assert Extractor(small_network(), RECIPE).to_files(images, AT, pattern) == paths
    assert images.reads == 8
    assert [open(path, "rb").read() for path in paths] == whole


def test_chunks_of_another_network_size_or_picture_are_not_kept(tmp_path):
    pattern = tmp_path / "train_32.hdf5"
    images = pictures(3)
    (path,) = Extractor(small_network(), RECIPE).to_files(images, AT, pattern)

    def reads(seed=0, recipe=RECIPE, names=None, size=SIZE):
        images.reads, images.names = 0, names or images.names
        Extractor(small_network(seed), recipe).to_files(images, Preparation(size), pattern)
        return images.reads

    assert reads() == 0
    assert reads(seed=1) == 3
    assert reads() == 3
    assert reads(size=40) == 3
    assert reads(size=40, recipe=ExtractionRecipe((SIZE,), 4, 2, gem_exponent=None)) == 3
    assert reads(names=["Q{}.jpg".format(number) for number in range(3)]) == 3
    ids, vectors = read_descriptors([path])
    write_descriptors(path, 2 * vectors, images.names, read_attributes(path))  # not unit length: damaged
    assert reads() == 3


def test_an_unreadable_picture_is_refused_by_name(tmp_path):
    images = pictures(3, **{"T000099.jpg": png(0)[:60]})
    with pytest.raises(Refusal, match=r"found T000099\.jpg: .* \(1 of 4 in this chunk\)"):
        Extractor(small_network(), RECIPE).to_files(images, AT, tmp_path / "train_32.hdf5")
    assert list(tmp_path.iterdir()) == []


def test_whitened_features_follow_the_definition(tmp_path):
    images, rows = pictures(), [7, 3, 1, 0, 9, 4, 10]
    extractor = Extractor(wide_network(), RECIPE, head="embedding")
    features = extractor.features(images, rows, AT)
    network = wide_network().eval()
    with torch.no_grad():
        network.fix_gem(3.0)
        inputs = torch.cat([torch.from_numpy(AT(decode_image(images.files[row]))[None]) for row in rows])
        expected = network.embedding(network_input(inputs)).numpy()
    assert features.shape == (7, 32) and np.abs(features - expected).max() < 1e-4
    pca = train_pca(features, 5)
    extractor.whiten_by(pca)
    vectors = extractor.in_memory(images, AT)[1][rows]
    # Independently: the centred features are U S V^T, and their whitening is U.
    left = np.linalg.svd(features - features.mean(axis=0, dtype=np.float64), full_matrices=False)[0][:, :5]
    left *= np.sign((left * apply_pca(pca, features)).sum(axis=0))
    assert np.abs(vectors - left / np.linalg.norm(left, axis=1, keepdims=True)).max() < 1e-3
    assert np.array_equal(extractor.features(images, rows, AT), features)  # still not whitened


def test_whitened_chunk_files_say_what_made_them(tmp_path):
    images, pattern = pictures(3), tmp_path / "train_byol.hdf5"
    extractor = Extractor(wide_network(), RECIPE, head="embedding")
    features = extractor.features(images, range(3), AT)
    extractor.whiten_by(train_pca(features, 2))

    def reads(preparation=AT):
        images.reads = 0
        extractor.to_files(images, preparation, pattern, "raw/training_images")
        return images.reads

    assert (reads(), reads()) == (3, 0)
    (path,) = chunk_files(pattern)
    with h5py.File(path, "r") as store:
        assert store["image_names"][1] == b"raw/training_images/T000001.jpg"
        assert store.attrs["rows"] == "3"
    assert read_descriptors([path], width=2)[0] == ["T000000", "T000001", "T000002"]
    assert (reads(Preparation(SIZE, grey=True)), reads(Preparation(SIZE, blurred=True)), reads()) == (3, 3, 3)
    extractor.whiten_by(train_pca(features, 1))
    assert reads() == 3


def test_pictures_for_the_whitening_must_be_readable():
    images = pictures(3, **{"T000099.jpg": b""})
    with pytest.raises(Refusal, match=r"found T000099\.jpg: the file is empty .*1 of 2 in this selection"):
        Extractor(small_network(), RECIPE).features(images, [3, 0], AT)


def test_the_order_in_memory_changes_results_by_rounding_only():
    plain, ordered = (
        Extractor(wide_network(), RECIPE, head="embedding", channels_last=flag) for flag in (0, 1)
    )
    images = pictures()
    assert plain._weights == ordered._weights
    difference = plain.in_memory(images, AT)[1] - ordered.in_memory(images, AT)[1]
    assert np.abs(difference).max() < 1e-6


def test_bad_recipes_are_refused_by_key():
    for changes, key in (
        ({"scales": ()}, "scales"),
        ({"scales": (0,)}, "scales"),
        ({"scales": (8, 8)}, "scales"),
        ({"batch_size": 0}, "batch_size"),
        ({"batches_per_chunk": 0}, "batches_per_chunk"),
    ):
        with pytest.raises(Refusal, match=key):
            ExtractionRecipe(**changes)
