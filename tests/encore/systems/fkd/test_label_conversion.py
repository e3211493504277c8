import os
import tempfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from label_sets import (
    GOLDEN_SETS,
    described,
    drawn_batch,
    golden_images,
    golden_labels,
    golden_rows,
    same,
    write_set,
)

from encore.data.class_folders import ClassFolders
from encore.runtime.refusal import Refusal
from encore.systems.fkd.label_conversion import convert
from encore.systems.fkd.label_store import LabelStoreWriter, epoch_name
from encore.systems.fkd.labels import open_labels
from encore.systems.fkd.published_labels import batch_path


def places(labels):
    return [(epoch, number) for epoch in range(labels.epochs) for number in range(labels.batches)]


@pytest.mark.parametrize("name", GOLDEN_SETS)
def test_golden_labels_are_kept_there_and_back(tmp_path, name):
    golden = open_labels(golden_labels(name))
    images = ClassFolders(golden_images())
    side = 224 if name.endswith("224") else 64
    known = dict(size=side, mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225))
    store = convert(golden_labels(name), str(tmp_path / "store"), images=images, **known)
    assert (store.seed, store.size, store.mix, store.pictures) == (42, side, golden.mix, images.digest)
    store.check(images, 16, golden.epochs, 42, golden.mix, side, None, known["mean"], known["deviation"])
    for row in golden_rows(name):
        place = row["epoch"], row["batch"]
        assert store.load(*place).indices.tolist() == row["indices"]
        assert same(store.load(*place), golden.load(*place), indices=False)
    back = convert(str(tmp_path / "store"), str(tmp_path / "back"))
    assert back.description == golden.description
    assert all(same(back.load(*place), golden.load(*place), indices=False) for place in places(golden))
    convert(str(tmp_path / "back"), str(tmp_path / "again"), images=images, **known)
    for file in ["manifest.json", "pictures.txt"] + [epoch_name(epoch) for epoch in range(store.epochs)]:
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "store" / file).read_bytes()


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 40),
    batch=st.integers(1, 20),
    classes=st.integers(1, 9),
    mix=st.sampled_from(["cutmix", "mixup", "none"]),
    dtype=st.sampled_from(["float16", "float32"]),
    seed=st.integers(0, 2**31),
    bits=st.binary(min_size=4, max_size=4),
)
def test_any_labels_are_kept_there_and_back(count, batch, classes, mix, dtype, seed, bits):
    description = described(
        count=count, batch=min(batch, count), classes=classes, mix=mix, dtype=dtype, seed=seed, epochs=1
    )
    given_batches = [drawn_batch(description, 0, number) for number in range(description.batches)]
    # any bits in the logits, NaN and infinity too: what is stored is not judged
    odd = torch.tensor(list(bits), dtype=torch.uint8).numpy().view(dtype)[0]
    given_batches[0].logits.numpy()[0, 0] = odd
    with tempfile.TemporaryDirectory() as folder:
        writer = LabelStoreWriter(os.path.join(folder, "store"), description)
        writer.write(0, given_batches)
        writer.finish()
        convert(os.path.join(folder, "store"), os.path.join(folder, "published"))
        again = convert(
            os.path.join(folder, "published"), os.path.join(folder, "again"), images=None, seed=seed
        )
        assert again.description == description
        for number, expected in enumerate(given_batches):
            assert same(again.load(0, number), expected)


def test_labels_of_another_order_say_so_once_converted(tmp_path):
    source, images = write_set(tmp_path / "published", described(seed=7)), ClassFolders(golden_images())
    with pytest.raises(Refusal, match="convert them with --seed 7 first"):
        open_labels(source).check(images, 16, 2, 7, "cutmix")
    store = convert(source, str(tmp_path / "store"), images=images, seed=7)
    store.check(images, 16, 2, 7, "cutmix")
    assert same(store.load(1, 2), drawn_batch(described(seed=7), 1, 2))


def test_a_killed_conversion_goes_on(tmp_path, monkeypatch):
    source, target = write_set(tmp_path / "published", described(epochs=3)), tmp_path / "store"
    real = LabelStoreWriter.write

    def write(writer, epoch, batches):
        if epoch == 2:
            raise KeyboardInterrupt
        real(writer, epoch, batches)

    monkeypatch.setattr(LabelStoreWriter, "write", write)
    with pytest.raises(KeyboardInterrupt):
        convert(source, str(target))
    written = []
    monkeypatch.setattr(LabelStoreWriter, "write", lambda *given: written.append(given[1]) or real(*given))
    assert convert(source, str(target)).epochs == 3
    assert written == [2]


def test_the_top_classes_can_be_kept_alone_and_do_not_go_back(tmp_path):
    source = write_set(tmp_path / "published", described(classes=50))
    store = convert(source, str(tmp_path / "store"), top_k=5, temperature=20.0)
    assert (store.top_k, store.temperature) == (5, 20.0)
    with pytest.raises(Refusal, match="published layout holds all classes"):
        convert(str(tmp_path / "store"), str(tmp_path / "back"))


def test_pictures_in_another_number_are_refused_before_anything_is_written(tmp_path):
    source = write_set(tmp_path / "published", described(count=41))
    with pytest.raises(Refusal, match="labels of 41 pictures, found 40"):
        convert(source, str(tmp_path / "store"), images=ClassFolders(golden_images()))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("images", [False, True])
def test_truncated_labels_are_refused_before_anything_is_written(tmp_path, images):
    source = write_set(tmp_path / "published", described())
    with open(batch_path(source, 1, 2), "r+b") as file:
        file.truncate(500)
    with pytest.raises(Refusal, match=r"epoch_1/batch_2\.tar"):
        convert(source, str(tmp_path / "store"), images=ClassFolders(golden_images()) if images else None)
    assert not (tmp_path / "store").exists()


def test_what_a_store_says_itself_is_not_taken_again(tmp_path):
    convert(write_set(tmp_path / "published", described()), str(tmp_path / "store"))
    with pytest.raises(Refusal, match="seed, size given"):
        convert(str(tmp_path / "store"), str(tmp_path / "back"), seed=1, size=64, images=None)


def test_a_changed_store_is_not_converted(tmp_path):
    store = convert(write_set(tmp_path / "published", described()), str(tmp_path / "store"))
    with open(store.epoch_path(0), "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x07")
    with pytest.raises(Refusal, match="not the content"):
        convert(str(tmp_path / "store"), str(tmp_path / "back"))


def test_another_order_than_the_samplers_does_not_go_back(tmp_path):
    description = described(epochs=1)
    writer = LabelStoreWriter(tmp_path / "store", description)
    batches = [drawn_batch(description, 0, number) for number in range(3)]
    batches[1] = batches[1]._replace(indices=batches[1].indices.flip(0))
    writer.write(0, batches)
    writer.finish()
    with pytest.raises(Refusal, match="batch 1: not in the sampler's order"):
        convert(str(tmp_path / "store"), str(tmp_path / "back"))


def test_published_labels_are_not_mixed_with_longer_ones(tmp_path):
    write_set(tmp_path / "back", described(epochs=3))
    convert(write_set(tmp_path / "published", described()), str(tmp_path / "store"))
    with pytest.raises(Refusal, match="labels of more epochs"):
        convert(str(tmp_path / "store"), str(tmp_path / "back"))
