import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from label_sets import described, drawn_batch, golden_images, same

from encore.data.class_folders import ClassFolders
from encore.data.safetensors_file import TensorFile
from encore.runtime.refusal import Refusal
from encore.systems.fkd import top_k_labels
from encore.systems.fkd.label_batch import LabelBatch
from encore.systems.fkd.label_store import LabelStore, LabelStoreWriter, epoch_name
from encore.systems.fkd.labels import open_labels
from encore.systems.fkd.top_k import keep_top_k


def batches(description, epoch, seed=0):
    return [drawn_batch(description, epoch, number, seed) for number in range(description.batches)]


def write_store(folder, description, names=None):
    writer = LabelStoreWriter(folder, description, names)
    for epoch in range(description.epochs):
        writer.write(epoch, batches(description, epoch))
    return writer.finish()


@pytest.mark.parametrize("mix", ["cutmix", "mixup", "none"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_batches_come_back_bit_for_bit(tmp_path, mix, dtype):
    description = described(mix=mix, dtype=dtype, size=64, min_scale=0.08, max_scale=1.0, teacher="ab")
    write_store(tmp_path, description)
    labels = open_labels(str(tmp_path) + "/")
    assert isinstance(labels, LabelStore) and labels.description == description
    assert (labels.batches, labels.size, labels.top_k) == (3, 64, None)
    for epoch in (1, 0):
        for number, expected in enumerate(batches(description, epoch)):
            assert same(labels.load(epoch, number), expected)


def test_many_pictures_and_classes_need_wider_numbers(tmp_path):
    description = described(count=40000, batch=40000, epochs=1, classes=2)
    (expected,) = batches(description, 0)
    labels = write_store(tmp_path, description)
    assert same(labels.load(0, 0), expected)
    arrays = TensorFile(labels.epoch_path(0)).arrays
    assert {arrays[name][0] for name in ("indices", "mix_order")} == {np.dtype(np.int32)}
    description = described(classes=32769, count=2, batch=2, epochs=1, top_k=3, temperature=1.0)
    labels = write_store(tmp_path / "wide", description)
    file = TensorFile(labels.epoch_path(0))
    assert file.arrays["top_class"][0] == np.int32
    description = described(classes=32768, count=2, batch=2, epochs=1, top_k=3, temperature=1.0)
    labels = write_store(tmp_path / "narrow", description)
    expected = drawn_batch(description, 0, 0).logits.argmax(1)
    assert TensorFile(labels.epoch_path(0)).arrays["top_class"][0] == np.int16
    assert torch.equal(labels.load(0, 0).logits.argmax(1), expected)


def test_the_safetensors_package_opens_an_epoch(tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy")
    description = described()
    labels = write_store(tmp_path, description)
    read = numpy_files.load_file(labels.epoch_path(1))
    expected = [batch.logits for batch in batches(description, 1)]
    assert np.array_equal(read["logits"], torch.cat(expected).numpy())
    assert read["mix_box"].tolist() == [list(batch.mix.box) for batch in batches(description, 1)]


def probabilities(logits, temperature):
    return torch.softmax(logits.double() / temperature, dim=1)


@pytest.mark.parametrize(
    "temperature, k, scale", [(1.0, 1, 20), (20.0, 40, 20), (20.0, 99, 20), (4.0, 10, 1)]
)
def test_top_classes_have_the_softmax_of_the_top_k_rule(temperature, k, scale):
    logits = torch.from_numpy(
        (np.random.RandomState(k).standard_normal((16, 100)) * scale).astype(np.float16)
    )
    full = top_k_labels.full(*top_k_labels.cut(logits, k, temperature), 100)
    assert full.dtype == torch.float32 and full.shape == (16, 100)
    expected = keep_top_k(probabilities(logits, temperature), k)
    found = probabilities(full, temperature)
    assert float((found - expected).abs().max()) < 1e-6
    large = expected > 1e-9  # the rule takes the rest from 1, and so loses a smaller one
    assert float((found / expected - 1)[large].abs().max()) < 1e-4


def test_top_classes_of_a_store(tmp_path):
    description = described(classes=100, top_k=10, temperature=20.0)
    labels = write_store(tmp_path, description)
    assert (labels.top_k, labels.temperature, labels.dtype) == (10, 20.0, "float16")
    for epoch in range(2):
        for number, given in enumerate(batches(description, epoch)):
            found = labels.load(epoch, number)
            expected = keep_top_k(probabilities(given.logits, 20.0), 10)
            assert float((probabilities(found.logits, 20.0) - expected).abs().max()) < 1e-7
            assert found.logits.dtype == torch.float32
            assert same(found._replace(logits=given.logits), given)
            best = given.logits.argmax(1, keepdim=True)
            assert torch.equal(found.logits.gather(1, best), given.logits.gather(1, best).float())


def test_top_classes_take_a_tenth(tmp_path):
    description = described(count=1024, batch=1024, epochs=1, classes=1000)
    published = 2076061  # bytes of one file of the published layout
    assert os.path.getsize(write_store(tmp_path / "full", description).epoch_path(0)) <= published
    description = described(count=1024, batch=1024, epochs=1, classes=1000, top_k=40, temperature=20.0)
    assert os.path.getsize(write_store(tmp_path / "top", description).epoch_path(0)) <= published / 10


def test_logits_lie_on_the_pages_of_the_file(tmp_path):
    labels = write_store(tmp_path, described())
    one, other = labels.load(0, 0).logits, labels.load(0, 0).logits
    assert one.data_ptr() == other.data_ptr()


def test_opening_reads_the_manifest_alone(tmp_path):
    write_store(tmp_path, described())
    for epoch in range(2):
        os.unlink(str(tmp_path / epoch_name(epoch)))
    assert open_labels(str(tmp_path)).epochs == 2


def test_a_handle_is_small_and_goes_to_a_fresh_process(tmp_path):
    labels = write_store(tmp_path, described())
    expected = labels.load(1, 2).logits.double().sum().item()
    (tmp_path / "handle").write_bytes(pickle.dumps(labels))
    assert os.path.getsize(str(tmp_path / "handle")) < 3000
    code = (
        "import pickle, sys; labels = pickle.load(open(sys.argv[1], 'rb')); "
        "print(labels.load(1, 2).logits.double().sum().item())"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    found = subprocess.check_output(
        [sys.executable, "-c", code, str(tmp_path / "handle")], env=dict(os.environ, PYTHONPATH=paths)
    )
    assert float(found) == expected


class Loads(torch.utils.data.Dataset):
    def __init__(self, labels):
        self.labels = labels

    def __getitem__(self, place):
        return tuple(self.labels.load(*place))


def test_loader_processes_hand_batches_over(tmp_path):
    description = described()
    labels = write_store(tmp_path, description)
    places = [(epoch, number) for epoch in (1, 0) for number in range(3)]
    loader = torch.utils.data.DataLoader(
        Loads(labels), batch_size=None, sampler=places, num_workers=2, collate_fn=tuple
    )
    for place, found in zip(places, loader):
        assert same(LabelBatch(*found), drawn_batch(description, *place))


def test_equal_labels_make_equal_files(tmp_path):
    for name in ("one", "other"):
        write_store(tmp_path / name, described())
    for name in ("manifest.json", epoch_name(0), epoch_name(1)):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_epochs_from_several_machines_make_one_set(tmp_path):
    description = described(epochs=3)
    for machine, epochs in (("one", [2, 0]), ("other", [1])):
        writer = LabelStoreWriter(tmp_path / machine, description)
        for epoch in epochs:
            writer.write(epoch, batches(description, epoch))
        with pytest.raises(Refusal, match=r"epoch_00\d\.safetensors: missing"):
            writer.finish()
    os.rename(str(tmp_path / "other" / epoch_name(1)), str(tmp_path / "one" / epoch_name(1)))
    labels = LabelStoreWriter(tmp_path / "one", description).finish()
    whole = write_store(tmp_path / "whole", description)
    assert (tmp_path / "one" / "manifest.json").read_bytes() == (
        tmp_path / "whole" / "manifest.json"
    ).read_bytes()
    assert same(labels.load(1, 1), whole.load(1, 1))
    labels.check_digests()


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    description = described()

    def killed():
        yield from batches(description, 1)[:2]
        raise KeyboardInterrupt

    writer = LabelStoreWriter(tmp_path, description)
    writer.write(0, batches(description, 0))
    with pytest.raises(KeyboardInterrupt):
        writer.write(1, killed())
    assert os.listdir(str(tmp_path)) == [epoch_name(0)]
    again = LabelStoreWriter(tmp_path, description)
    assert (again.finished(0), again.finished(1)) == (True, False)
    again.write(1, batches(description, 1))
    assert same(again.finish().load(1, 2), drawn_batch(description, 1, 2))


def test_a_longer_run_takes_over_and_another_does_not(tmp_path):
    write_store(tmp_path, described())
    longer = LabelStoreWriter(tmp_path, described(epochs=3))
    assert [longer.finished(epoch) for epoch in range(3)] == [True, True, False]
    with pytest.raises(Refusal, match="other labels are there"):
        LabelStoreWriter(tmp_path, described(teacher="another"))
    os.unlink(str(tmp_path / "manifest.json"))
    with pytest.raises(Refusal, match=r"epoch_000\.safetensors: an epoch of other labels"):
        LabelStoreWriter(tmp_path, described(teacher="another")).finished(0)


def test_an_epoch_of_another_recipe_is_refused_among_the_others(tmp_path):
    one, other = described(epochs=3, recipe="a" * 64), described(epochs=3, recipe="b" * 64)
    store, writer = write_store(tmp_path / "other", other), LabelStoreWriter(tmp_path / "one", one)
    for epoch in (0, 2):
        writer.write(epoch, batches(one, epoch))
    os.rename(store.epoch_path(1), str(tmp_path / "one" / epoch_name(1)))
    with pytest.raises(Refusal, match=r"one/epoch_001\.safetensors: an epoch of other labels"):
        writer.finish()
    with pytest.raises(Refusal, match="other: other labels are there"):
        LabelStoreWriter(tmp_path / "other", one)


def test_the_digest_tells_label_files_apart(tmp_path):
    found = [
        write_store(tmp_path / name, described(**changes)).digest
        for name, changes in (
            ("one", {}),
            ("same", {}),
            ("recipe", {"recipe": "a" * 64}),
            ("more", {"epochs": 3}),
        )
    ]
    assert found[0] == found[1] and len(set(found)) == 3 and len(found[0]) == 64
    writer = LabelStoreWriter(tmp_path / "drawn", described())
    for epoch in range(2):
        writer.write(epoch, batches(described(), epoch, seed=1))
    assert writer.finish().digest not in found
    assert open_labels(str(tmp_path / "one")).digest == found[0]


def test_truncated_and_exchanged_epochs_are_not_finished(tmp_path):
    writer = LabelStoreWriter(tmp_path, described())
    for epoch in range(2):
        writer.write(epoch, batches(described(), epoch))
    path = str(tmp_path / epoch_name(0))
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) - 1)
    os.replace(path, str(tmp_path / epoch_name(1)))
    assert not writer.finished(0) and not writer.finished(1)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda given: given[:2], "expected 3 batches"),
        (lambda given: given + given[:1], "expected 3 batches"),
        (lambda given: [given[0]._replace(indices=None)] + given[1:], "numbers of its pictures"),
    ],
)
def test_wrong_batches_leave_no_file(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        LabelStoreWriter(tmp_path, described()).write(0, change(batches(described(), 0)))
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"logits": torch.zeros(16, 5)},
        {"logits": torch.zeros(16, 6, dtype=torch.float16)},
        {"indices": torch.full((16,), 40)},
        {"indices": torch.full((16,), -1)},
        {"coords": torch.full((16, 4), -0.1)},
    ],
)
def test_batches_of_another_kind_are_not_written(tmp_path, change):
    first, second, third = batches(described(), 0)
    with pytest.raises(Refusal, match=r"epoch_000\.safetensors: batch 1: expected"):
        LabelStoreWriter(tmp_path, described()).write(0, [first, second._replace(**change), third])
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 0},
        {"batch": 0},
        {"epochs": 0},
        {"mix": "cutout"},
        {"dtype": "float64"},
        {"top_k": 3},
        {"temperature": 20.0},
        {"top_k": 5, "temperature": 20.0},
        {"top_k": 0, "temperature": 20.0},
        {"top_k": 3, "temperature": 0.0},
    ],
)
def test_descriptions_that_make_no_sense_are_refused(changes):
    with pytest.raises(Refusal, match="labels of"):
        described(**changes)


@pytest.fixture
def pictures(tmp_path):
    """ClassFolders of 8 files in each of 5 classes, and its folder."""
    folder = tmp_path / "pictures"
    for number in range(5):
        os.makedirs(str(folder / "new{:03d}".format(number)))
        for slot in range(8):
            path = folder / "new{:03d}".format(number) / "class{:03d}_id{:03d}.jpg".format(number, slot)
            path.write_bytes(b"x" * (1 + slot))
    return ClassFolders(str(folder)), folder


def checked(folder, images, **changes):
    run = dict(batch=16, epochs=2, seed=42, mix="cutmix", size=64, temperature=20.0)
    open_labels(str(folder)).check(images, **dict(run, **changes))


@pytest.fixture
def store(tmp_path, pictures):
    images, _ = pictures
    description = described(pictures=images.digest, size=64)
    write_store(tmp_path / "labels", description, images.names)
    return tmp_path / "labels"


def test_another_normalisation_is_refused(tmp_path, pictures):
    mean, deviation = (0.5, 0.25, 0.1), (0.2, 0.3, 0.4)
    write_store(tmp_path / "labels", described(mean=mean, deviation=deviation))
    assert open_labels(tmp_path / "labels").mean == mean
    checked(tmp_path / "labels", pictures[0], mean=list(mean), deviation=deviation)
    checked(tmp_path / "labels", pictures[0])
    with pytest.raises(Refusal, match=r"of mean \(0\.5, 0\.25, 0\.1\), the run asks for \(0\.5, 0\.25, 0\.2"):
        checked(tmp_path / "labels", pictures[0], mean=(0.5, 0.25, 0.2), deviation=deviation)
    with pytest.raises(Refusal, match=r"of deviation \(0\.2, 0\.3, 0\.4\), the run asks for"):
        checked(tmp_path / "labels", pictures[0], mean=mean, deviation=mean)


def test_other_pictures_without_the_list_of_names(store, pictures):
    (store / "pictures.txt").unlink()
    checked(store, pictures[0])
    (pictures[1] / "new004" / "class004_id000.jpg").rename(pictures[1] / "new004" / "other.jpg")
    with pytest.raises(Refusal, match="by names or sizes .its list of names is lost") as refused:
        checked(store, ClassFolders(str(pictures[1])))
    assert "same names" not in str(refused.value)


def test_one_short_batch_fits_any_larger_batch_size(tmp_path):
    images = ClassFolders(golden_images())
    write_store(tmp_path / "short", described(batch=64))
    checked(tmp_path / "short", images, batch=40)
    checked(tmp_path / "short", images, batch=100)
    with pytest.raises(Refusal, match="of batch 64, the run asks for 39"):
        checked(tmp_path / "short", images, batch=39)


def test_fitting_labels_pass_the_check(store, pictures):
    checked(store, pictures[0])
    checked(store, pictures[0], epochs=1, size=None, temperature=None)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"batch": 32}, "of batch 16, the run asks for 32"),
        ({"mix": "mixup"}, "of mix cutmix, the run asks for mixup"),
        ({"mix": None}, "of mix cutmix, the run asks for none"),
        ({"seed": 7}, "of seed 42, the run asks for 7"),
        ({"size": 32}, "of size 64, the run asks for 32"),
        ({"epochs": 3}, r"epoch_002\.safetensors: missing"),
    ],
)
def test_labels_of_another_run_are_refused(store, pictures, changes, message):
    with pytest.raises(Refusal, match=message):
        checked(store, pictures[0], **changes)


def test_top_classes_at_another_temperature_are_refused(tmp_path, pictures):
    write_store(tmp_path / "top", described(top_k=3, temperature=4.0))
    checked(tmp_path / "top", pictures[0], temperature=4.0)
    with pytest.raises(Refusal, match="top 3 classes at temperature 4.0, the run asks for 20.0"):
        checked(tmp_path / "top", pictures[0])


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda folder: (folder / "new003" / "more.jpg").write_bytes(b"x"), "new003/more.jpg is too many"),
        (
            lambda folder: (folder / "new001" / "class001_id004.jpg").unlink(),
            "new001/class001_id004.jpg is missing",
        ),
        (
            lambda folder: (folder / "new001" / "class001_id004.jpg").rename(folder / "new001" / "a.jpg"),
            "new001/class001_id004.jpg is missing",
        ),
        (lambda folder: (folder / "new002").rename(folder.parent / "away"), "class folder new002 is missing"),
        (
            lambda folder: (folder / "new004" / "class004_id000.jpg").write_bytes(b"xyz"),
            "not of the same sizes",
        ),
    ],
)
def test_other_pictures_are_refused_by_name(store, pictures, change, message):
    change(pictures[1])
    with pytest.raises(Refusal, match=message):
        checked(store, ClassFolders(str(pictures[1])))


@pytest.mark.parametrize("cut", [1, 100, 10**9])
def test_a_truncated_epoch_is_refused_by_name(store, pictures, cut):
    path = str(store / epoch_name(1))
    with open(path, "r+b") as file:
        file.truncate(max(0, os.path.getsize(path) - cut))
    checked(store, pictures[0], epochs=1)
    with pytest.raises(Refusal, match=r"epoch_001\.safetensors: .*truncated"):
        checked(store, pictures[0])


def test_an_epoch_of_other_labels_is_refused_by_name(store, pictures, tmp_path):
    other = write_store(tmp_path / "other", described(batch=8))
    os.replace(other.epoch_path(1), str(store / epoch_name(1)))
    with pytest.raises(Refusal, match=r"epoch_001\.safetensors: labels of another set"):
        checked(store, pictures[0])
    with pytest.raises(Refusal, match=r"epoch_001\.safetensors: labels of another set"):
        open_labels(str(store)).load(1, 0)


def test_a_changed_byte_is_found_by_the_digest(store):
    labels = open_labels(str(store))
    labels.check_digests()
    with open(labels.epoch_path(1), "r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"\x02")
    with pytest.raises(Refusal, match=r"epoch_001\.safetensors: not the content"):
        labels.check_digests()


@pytest.mark.parametrize(
    "name, value", [("indices", 40), ("mix_order", 16), ("coords", np.nan), ("mix_share", 2)]
)
def test_damaged_numbers_are_refused_by_name(store, name, value):
    content = np.memmap(open_labels(str(store)).epoch_path(0), np.uint8, "r+")
    length = int(content[:8].view(np.int64)[0])
    entry = json.loads(bytes(content[8 : 8 + length]).decode())[name]
    dtype = {"F32": np.float32, "F64": np.float64, "I16": np.int16}[entry["dtype"]]
    begin = 8 + length + entry["data_offsets"][0]
    content[begin : begin + np.dtype(dtype).itemsize] = np.array([value], dtype).view(np.uint8)
    content.flush()
    with pytest.raises(Refusal, match=r"epoch_000\.safetensors: batch 0: expected"):
        open_labels(str(store)).load(0, 0)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda manifest: manifest.update(format="encore-labels/9"), "expected format"),
        (lambda manifest: manifest.pop("labels"), "cannot be read"),
        (lambda manifest: manifest["files"].pop(), "expected 2 epoch files"),
        (lambda manifest: manifest["files"][0].update(sha256="ab"), "expected 2 epoch files"),
        (lambda manifest: manifest["labels"].update(top_l=1), "unknown key"),
        (lambda manifest: manifest["labels"].update(batch="16"), "expected a whole number"),
        (lambda manifest: manifest["labels"].update(batch=0), "expected 1 or more"),
    ],
)
def test_a_damaged_manifest_is_refused(store, damage, message):
    path = store / "manifest.json"
    manifest = json.loads(path.read_text())
    damage(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(Refusal, match=r"manifest\.json.*" + message):
        open_labels(str(store))


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_manifest_that_is_none_is_refused(store, text):
    (store / "manifest.json").write_text(text)
    with pytest.raises(Refusal, match=r"manifest\.json: cannot be read"):
        open_labels(str(store))


def test_addresses_outside_are_refused(store):
    labels = open_labels(str(store))
    with pytest.raises(Refusal, match=r"epoch_002\.safetensors: no such epoch"):
        labels.load(2, 0)
    with pytest.raises(ValueError, match="batch 3"):
        labels.load(0, 3)
