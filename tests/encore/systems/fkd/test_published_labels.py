import os
import pickle

import numpy as np
import pytest
import torch
from label_sets import (
    GOLDEN_SETS,
    described,
    drawn_batch,
    golden_images,
    golden_labels,
    golden_rows,
    same,
    write_as_published,
    write_set,
)

from encore.data.class_folders import ClassFolders
from encore.runtime.refusal import Refusal
from encore.systems.fkd.labels import open_labels
from encore.systems.fkd.published_labels import PublishedLabels, _steps, batch_path, outline, write_batch


class Runs:
    """Makes a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("name", GOLDEN_SETS)
def test_golden_files_are_read_as_the_generator_wrote_them(name):
    labels = open_labels(golden_labels(name))
    mix, dtype = name.split("_")[0], "float16" if "fp16" in name else "float32"
    rows = golden_rows(name)
    assert (labels.count, labels.batch, labels.batches, labels.classes) == (40, 16, 3, 5)
    assert (labels.mix, labels.dtype, labels.epochs * 3) == (mix, dtype, len(rows))
    assert (labels.seed, labels.size, labels.pictures, labels.teacher) == (None,) * 4
    for row in rows:
        batch = labels.load(row["epoch"], row["batch"])
        assert batch.indices is None
        assert torch.equal(batch.coords, torch.tensor(row["coords"], dtype=torch.float32))
        assert batch.flips.tolist() == row["flip"]
        assert batch.mix.kind == mix and batch.mix.share == row["mix_lam"]
        assert (None if batch.mix.order is None else batch.mix.order.tolist()) == row["mix_index"]
        assert (None if batch.mix.box is None else list(batch.mix.box)) == row["mix_bbox"]
        assert batch.mix.box is None or {type(edge) for edge in batch.mix.box} == {int}
        expected = torch.tensor(row["logits_float32"], dtype=torch.float32)
        assert batch.logits.dtype == getattr(torch, dtype)
        assert torch.equal(batch.logits, expected.to(batch.logits.dtype))


@pytest.mark.parametrize("name", GOLDEN_SETS)
def test_written_files_have_the_golden_layout(tmp_path, name):
    labels = open_labels(golden_labels(name))
    types = {
        (row["epoch"], row["batch"]): (row["label_types"], row["label_dtypes"]) for row in golden_rows(name)
    }
    for epoch, number in types:
        write_batch(tmp_path, epoch, number, labels.load(epoch, number))
        path = batch_path(tmp_path, epoch, number)
        content = torch.load(path)  # the strict reader of today's torch takes it, too
        assert isinstance(content, list)
        assert [type(entry).__name__ for entry in content] == types[epoch, number][0]
        dtypes = [str(entry.dtype) if torch.is_tensor(entry) else None for entry in content]
        assert dtypes == types[epoch, number][1]
        assert content[4] is None or [type(edge) for edge in content[4]] == [int] * 4
        assert outline(path).sizes == outline(batch_path(golden_labels(name), epoch, number)).sizes
    again = open_labels(str(tmp_path))
    assert again.description == labels.description
    assert all(same(again.load(*place), labels.load(*place), indices=False) for place in types)


@pytest.mark.parametrize("numpy_share", [False, True])
@pytest.mark.parametrize("mix", ["cutmix", "mixup", "none"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_files_by_the_description_of_the_layout_are_read(tmp_path, mix, dtype, numpy_share):
    description = described(mix=mix, dtype=dtype, count=1040, batch=1024, classes=11, epochs=1)
    labels = open_labels(write_set(tmp_path, description, numpy_share))
    assert (labels.count, labels.batch, labels.mix, labels.dtype) == (1040, 1024, mix, dtype)
    for number in range(2):
        assert same(labels.load(0, number), drawn_batch(description, 0, number), indices=False)


def test_a_view_is_written_without_what_it_is_a_view_of(tmp_path):
    description = described()
    batch = drawn_batch(description, 0, 0)
    large = torch.zeros(1000, description.classes, dtype=torch.float16)
    write_batch(tmp_path, 0, 0, batch._replace(logits=large[:16]))
    assert outline(batch_path(tmp_path, 0, 0)).sizes == [256, 16, 128, 160]


def test_an_outline_keeps_globals_in_the_oldest_form_too():
    for one, other in (
        (b"(icollections\nOrderedDict\n.", b"(ios\nabort\n."),
        (b"ccollections\nOrderedDict\n.", b"cos\nabort\n."),
    ):
        assert _steps(one) != _steps(other) and _steps(one) == _steps(one)


def test_slashes_glob_characters_and_stray_entries_do_not_matter(tmp_path):
    folder = tmp_path / "rn18_[4K]_x*?.crop"
    write_set(folder, described(epochs=2))
    (folder / "epoch_7").mkdir()
    (folder / "epoch_02").mkdir()
    (folder / "notes.txt").write_text("x")
    (folder / "epoch_0" / "batch_9.tar.tmp-1").write_text("x")
    for path in (str(folder), str(folder) + "/", folder):
        labels = open_labels(path)
        assert (labels.epochs, labels.batches, labels.folder) == (2, 3, str(folder))


def test_a_handle_is_small_and_can_be_pickled(tmp_path):
    labels = open_labels(write_set(tmp_path, described()))
    assert len(pickle.dumps(labels)) < 2000
    assert same(pickle.loads(pickle.dumps(labels)).load(1, 2), labels.load(1, 2), indices=False)


def test_opening_reads_two_files(tmp_path, monkeypatch):
    write_set(tmp_path, described(epochs=3))
    from encore.systems.fkd import published_labels

    read = []
    real = published_labels.safe_load
    monkeypatch.setattr(published_labels, "safe_load", lambda path: read.append(path) or real(path))
    labels = open_labels(str(tmp_path))
    assert [os.path.basename(path) for path in read] == ["batch_0.tar", "batch_2.tar"]
    labels.check_files(3)
    assert len(read) == 2


def checked(folder, **changes):
    """Open and check labels as a run that fits the golden sets does, with `changes`."""
    run = dict(images=ClassFolders(golden_images()), batch=16, epochs=2, seed=42, mix="cutmix")
    open_labels(str(folder)).check(**dict(run, **changes))


def test_fitting_labels_pass_the_check():
    checked(golden_labels("cutmix_fp16"))
    checked(golden_labels("cutmix_fp16"), epochs=3, size=64, temperature=20, mean=(0.1, 0.2, 0.3))
    checked(golden_labels("cutmix_fp16"), seed=None)
    checked(golden_labels("none_fp32"), mix="none")
    checked(golden_labels("none_fp32"), mix=None)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"batch": 32}, r"epoch_0/batch_0\.tar: these labels are of batch 16, the run asks for 32"),
        ({"mix": "mixup"}, r"epoch_0/batch_0\.tar: these labels are of mix cutmix, the run asks for mixup"),
        ({"mix": None}, "these labels are of mix cutmix, the run asks for none"),
        ({"epochs": 4}, "cutmix_fp16/epoch_3: missing: 4 epochs asked for, labels of 3"),
        (
            {"seed": 7},
            "sampler's seed, published is 42, the run asks for 7: convert them with --seed 7 first",
        ),
    ],
)
def test_labels_of_another_run_are_refused(changes, message):
    with pytest.raises(Refusal, match=message):
        checked(golden_labels("cutmix_fp16"), **changes)


def test_mixup_labels_are_no_cutmix_labels():
    with pytest.raises(Refusal, match=r"mixup_fp16/epoch_0/batch_0\.tar: these labels are of mix mixup"):
        checked(golden_labels("mixup_fp16"))


@pytest.mark.parametrize(
    "change, message", [("add", "new003 holds 9 files, the others 8"), ("remove", "4 class")]
)
def test_another_number_of_pictures_is_refused(tmp_path, change, message):
    images = tmp_path / "images"
    for number in range(5):
        os.makedirs(str(images / "new{:03d}".format(number)))
        for slot in range(8):
            (images / "new{:03d}".format(number) / "id{:03d}.jpg".format(slot)).write_bytes(b"x")
    checked(golden_labels("cutmix_fp16"), images=ClassFolders(str(images)))
    if change == "add":
        (images / "new003" / "more.jpg").write_bytes(b"x")
    else:
        for slot in range(8):
            (images / "new002" / "id{:03d}.jpg".format(slot)).unlink()
        (images / "new002").rmdir()
    with pytest.raises(Refusal, match="labels of 40 pictures, found .*" + message):
        checked(golden_labels("cutmix_fp16"), images=ClassFolders(str(images)))


def damaged_set(tmp_path, damage):
    """A set of two epochs, of which `damage` changed the file of batch 1 of epoch 1."""
    description = described(classes=7)
    write_set(tmp_path, description)
    damage(batch_path(tmp_path, 1, 1), drawn_batch(description, 1, 1))
    return str(tmp_path)


def truncate(path, batch):
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) - 200)


def truncate_within(path, batch):
    with open(path, "r+b") as file:
        file.truncate(700)


def empty(path, batch):
    with open(path, "wb"):
        pass


def shorten(path, batch):
    folder = os.path.dirname(os.path.dirname(path))
    order = torch.arange(15)
    batch = batch._replace(
        coords=batch.coords[:15].clone(), flips=batch.flips[:15].clone(), logits=batch.logits[:15].clone()
    )
    write_as_published(folder, 1, 1, batch._replace(mix=batch.mix._replace(order=order)))


def widen(path, batch):
    folder = os.path.dirname(os.path.dirname(path))
    write_as_published(folder, 1, 1, batch._replace(logits=batch.logits.float()))


def unmix(path, batch):
    folder = os.path.dirname(os.path.dirname(path))
    write_as_published(folder, 1, 1, batch._replace(mix=batch.mix._replace(order=None, share=None, box=None)))


def unbox(path, batch):
    torch.save(parts(batch)[:4] + [None] + parts(batch)[5:], path)  # the same sizes


class Prints:
    def __reduce__(self):
        return print, ()


def unname(path, batch):
    torch.save(parts(batch)[:3] + [Prints()] + parts(batch)[4:], path)  # the same sizes


@pytest.mark.parametrize(
    "damage, message",
    [
        (truncate, "damaged or incomplete"),
        (truncate_within, "damaged or incomplete"),
        (empty, "not a file that torch.save wrote"),
        (lambda path, batch: os.unlink(path), "found none"),
        (shorten, r"expected coords \(16, 4\)"),
        (widen, r"expected logits \(16, 7\) float16, found \(16, 7\) float32"),
        (unmix, "expected labels of cutmix as the others of this set, found none"),
        (unbox, "expected labels of cutmix as the others of this set, found mixup"),
        (unname, r"asks to run \S*print when loaded"),
    ],
)
def test_a_damaged_file_is_refused_by_name_before_the_first_step(tmp_path, damage, message):
    labels = open_labels(damaged_set(tmp_path, damage))
    assert labels.epochs == 2
    labels.check_files(1)
    with pytest.raises(Refusal, match=r"epoch_1/batch_1\.tar.*" + message):
        labels.check_files(2)


def parts(batch):
    return [batch.coords, batch.flips, batch.mix.order, batch.mix.share, list(batch.mix.box), batch.logits]


@pytest.mark.parametrize(
    "entry, value, message",
    [
        (0, torch.full((16, 4), float("nan")), "expected crops within 0 to 1"),
        (0, torch.full((16, 4), 1.5), "expected crops within 0 to 1"),
        (0, [[0.0] * 4] * 16, "expected coords .* found list"),
        (1, torch.ones(16, dtype=torch.uint8), "expected flips"),
        (2, torch.zeros(16, dtype=torch.int64), "rows twice"),
        (2, torch.arange(16) + 1, "rows twice"),
        (2, torch.arange(16, dtype=torch.int32), "expected a permutation"),
        (3, 1.5, "share of 0 to 1"),
        (3, float("nan"), "share of 0 to 1"),
        (3, None, "expected a share"),
        (4, [1, 2, 3], "box of four numbers"),
        (4, [9, 2, 3, 4], "expected a box"),
        (4, [-1, 2, 3, 4], "expected a box"),
        (4, 5, "box of four numbers"),
        (5, torch.zeros(16, 8, dtype=torch.float16), "expected logits"),
        (5, None, "expected logits"),
    ],
)
def test_wrong_content_is_refused_by_name(tmp_path, entry, value, message):
    def damage(path, batch):
        content = parts(batch)
        content[entry] = value
        torch.save(content, path)

    with pytest.raises(Refusal, match=r"epoch_1/batch_1\.tar.*" + message):
        open_labels(damaged_set(tmp_path, damage)).load(1, 1)


@pytest.mark.parametrize(
    "content", [{"a": 1}, [1, 2, 3], torch.zeros(3), [None] * 6, [None] * 5 + [torch.zeros(0, 5)]]
)
def test_another_torch_file_is_no_label_file(tmp_path, content):
    path = batch_path(tmp_path, 0, 0)
    os.makedirs(os.path.dirname(path))
    torch.save(content, path)
    with pytest.raises(Refusal, match=r"batch_0\.tar: .*not labels"):
        open_labels(str(tmp_path))


@pytest.mark.parametrize("form", ["pickle", "torch"])
@pytest.mark.parametrize("place", [(0, 0), (1, 1)])
def test_a_malicious_pickle_is_not_executed(tmp_path, form, place):
    folder, mark = tmp_path / "labels", tmp_path / "ran"
    description = described()
    write_set(folder, description)
    bomb = parts(drawn_batch(description, *place))
    bomb[3] = Runs(str(mark))
    with open(batch_path(folder, *place), "wb") as file:
        if form == "pickle":
            pickle.dump(bomb, file, 2)
        else:
            torch.save(bomb, file)
    with pytest.raises(Refusal, match=r"epoch_{}/batch_{}\.tar".format(*place)):
        open_labels(str(folder)).check_files(2)
    assert not mark.exists()


@pytest.mark.parametrize("numpy_share", [False, True])
@pytest.mark.parametrize("mix", ["cutmix", "mixup", "none"])
def test_whole_files_are_checked_by_their_outline_alone(tmp_path, monkeypatch, mix, numpy_share):
    labels = open_labels(write_set(tmp_path, described(mix=mix, epochs=3), numpy_share))
    monkeypatch.setattr(PublishedLabels, "load", None)
    labels.check_files(3)


@pytest.mark.parametrize("epoch, number", [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 2), (1, 4)])
def test_a_gap_is_refused_by_name(tmp_path, epoch, number):
    write_set(tmp_path, described(count=70))
    os.unlink(batch_path(tmp_path, epoch, number))
    with pytest.raises(Refusal, match=r"epoch_{}/batch_{}\.tar\b".format(epoch, number)):
        open_labels(str(tmp_path)).check_files(2)


def test_the_digest_tells_label_files_apart(tmp_path):
    labels = open_labels(write_set(tmp_path / "one", described()))
    same_sizes = open_labels(write_set(tmp_path / "other", described()))
    assert labels.digest == same_sizes.digest and len(labels.digest) == 64
    assert labels.digest != open_labels(write_set(tmp_path / "less", described(epochs=1))).digest
    assert labels.digest != open_labels(write_set(tmp_path / "wide", described(dtype="float32"))).digest
    os.unlink(batch_path(tmp_path / "one", 1, 1))
    damaged = open_labels(tmp_path / "one")
    with pytest.raises(Refusal, match=r"epoch_1/batch_1\.tar: missing"):
        assert damaged.digest


def test_a_last_batch_larger_than_the_others_is_refused(tmp_path):
    description = described(count=32, batch=16)
    write_set(tmp_path, description)
    large = drawn_batch(described(count=20, batch=20), 0, 0)
    write_as_published(tmp_path, 0, 1, large)
    with pytest.raises(Refusal, match=r"epoch_0/batch_1\.tar"):
        open_labels(str(tmp_path))


@pytest.mark.parametrize("make", [False, True])
def test_a_folder_without_labels_is_refused(tmp_path, make):
    folder = tmp_path / "none"
    if make:
        folder.mkdir()
    with pytest.raises(Refusal, match="none: "):
        open_labels(str(folder))


def test_one_batch_makes_a_set(tmp_path):
    description = described(count=7, batch=7, epochs=1)
    labels = PublishedLabels(write_set(tmp_path, description))
    assert (labels.count, labels.batch, labels.batches) == (7, 7, 1)
    assert np.array_equal(labels.load(0, 0).flips, drawn_batch(description, 0, 0).flips)
