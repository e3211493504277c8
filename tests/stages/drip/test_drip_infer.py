import dataclasses
import hashlib
import json
import os
import shutil
import signal

import h5py
import numpy as np
import pytest
import torch

from encore.runtime.refusal import Refusal
from encore.systems.drip import extraction
from encore.systems.drip.descriptors_file import REFERENCES, TRAINING, open_descriptors
from encore.systems.drip.evaluation import evaluate_descriptors
from encore.systems.drip.inference import pictures_identity
from encore.systems.drip.network import NetworkShape, build
from encore.systems.drip.published_checkpoints import write_checkpoint
from encore.systems.drip.sample_pictures import SamplePictures
from encore.systems.drip.training_neighbours import TrainingNormalisation
from tests.encore.killed_run import die, finish, start
from tests.measured_again import measured_again
from tests.stages.drip.drip_size import recorded, run, write_parameters, write_size

SHAPE = NetworkShape("resnet", embedding=8, width=2, layers=(1, 1, 1, 1))
STAGE = "c40"
CHECKPOINTS = "models/drip/c40/lightning_logs/version_0/checkpoints"
OUTPUT = "descriptors/drip/c40"
TRUTH = "data/drip/pictures/public_ground_truth.csv"
NEIGHBOURS = {"neighbours": 10, "factor": 1.8, "similar": 3, "norms_over": "neighbours"}
INFERENCE = {"batch_size": 20, "batches_per_chunk": 3, "workers": 0, "normalisation": NEIGHBOURS}
TRAIN = {"size": 24}


def sections(**changes):
    return {"inference": dict(INFERENCE, **changes), "train": TRAIN}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A size whose pictures are made, and a stage's checkpoint."""
    folder = tmp_path_factory.mktemp("size")
    write_size(folder, **sections())
    with pytest.MonkeyPatch.context() as patch:
        run(folder, patch, "queries")
        run(folder, patch, "pictures")
    os.makedirs(str(folder / CHECKPOINTS))
    network = build(SHAPE, 3, classes=40)
    write_checkpoint(str(folder / CHECKPOINTS / "last.ckpt"), network, 0, 10)
    return folder


@pytest.fixture
def size(prepared, tmp_path):
    """A copy of it for one test."""
    folder = tmp_path / "size"
    shutil.copytree(str(prepared), str(folder))
    return folder


def same_files(found, expected):
    with h5py.File(str(found), "r") as one, h5py.File(str(expected), "r") as other:
        assert sorted(one) == sorted(other) == ["query", "query_ids", "reference", "reference_ids"]
        return all(np.array_equal(one[name][()], other[name][()]) for name in one)


def test_both_files_and_their_values(size, monkeypatch, capsys):
    run(size, monkeypatch, "infer", STAGE)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert sorted(os.listdir(str(size / OUTPUT))) == ["last_24x24_REF.h5", "last_24x24_TRN.h5"]
    references = open_descriptors(size / OUTPUT / "last_24x24_REF.h5", REFERENCES)
    training = open_descriptors(size / OUTPUT / "last_24x24_TRN.h5", TRAINING)
    assert references.query_ids == training.query_ids == ["Q{:05d}".format(n) for n in range(56)]
    assert references.reference_ids == ["R{:06d}".format(n) for n in range(32)]
    assert training.reference_ids == ["T{:06d}".format(n) for n in range(192)]
    assert np.array_equal(references.query, training.query) and references.query.dtype == np.float32
    lengths = np.linalg.norm(references.query, axis=1)
    assert 0.999 < lengths.min() and lengths.max() < 1  # published quirk: epsilon is added to the norm

    metrics = recorded(size, "metrics", "infer/" + STAGE)
    assert metrics["queries"] == 56 and metrics["references"] == 32 and metrics["training"] == 192
    value = evaluate_descriptors(references, str(size / TRUTH))
    assert metrics["average_precision"] == value.average_precision
    assert metrics["recall_p90"] == value.recall_p90
    keys = {"average_precision", "recall_p90"}
    assert measured_again("drip/infer/" + STAGE, size) == keys | {"normalised_" + key for key in keys}
    assert lines[0] == {"average_precision": value.average_precision, "recall_p90": value.recall_p90}
    moved = TrainingNormalisation(**NEIGHBOURS).normalised(references.query, training.reference)
    value = evaluate_descriptors(dataclasses.replace(references, query=moved), str(size / TRUTH))
    assert metrics["normalised_average_precision"] == value.average_precision
    assert metrics["normalised_recall_p90"] == value.recall_p90
    assert lines[1]["average_precision"] == value.average_precision and len(lines) == 2
    record = recorded(size, "fingerprints", "infer/" + STAGE)
    assert record["other_parameters"]["inference"]["batch_size"] == 20
    assert len(record["checkpoint_sha256"]) == 64


def test_by_hand_the_file_lies_beside_the_checkpoint(size, monkeypatch, capsys):
    run(size, monkeypatch, "infer", STAGE)
    first = capsys.readouterr().out.splitlines()[0]
    other = size / "TEST26_0k_nobias_l1" / "model-v1.ckpt"
    os.makedirs(str(other.parent))
    write_checkpoint(str(other), build(SHAPE, 3, classes=7), 5, 10)  # other classes, the same backbone
    run(size, monkeypatch, "infer", "--checkpoint-path", str(other), "--batch-size", "20")
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert printed == [first]
    assert sorted(os.listdir(str(other.parent))) == ["model-v1.ckpt", "model-v1_24x24_REF.h5"]
    assert same_files(other.parent / "model-v1_24x24_REF.h5", size / OUTPUT / "last_24x24_REF.h5")
    assert os.listdir(str(size / "metrics/drip/infer")) == ["c40.json"]


def test_by_hand_with_the_flipped_view(size, monkeypatch):
    checkpoint = CHECKPOINTS + "/last.ckpt"
    run(size, monkeypatch, "infer", "--checkpoint-path", checkpoint)
    run(size, monkeypatch, "infer", "--checkpoint-path", checkpoint, "--simple-augmentation")
    names = ["last_24x24_{}REF.h5".format(kind) for kind in ("", "AUG_")]
    found = []
    for name in names:
        with h5py.File(str(size / CHECKPOINTS / name), "r") as file:
            found.append(file["query"][()])
    assert np.abs(found[0] - found[1]).max() > 1e-4
    assert np.allclose(np.linalg.norm(found[1], axis=1), 1, atol=1e-5)


def test_by_hand_training_pictures_and_the_default_batch(size, monkeypatch, capsys):
    run(size, monkeypatch, "infer", STAGE)
    lines = capsys.readouterr().out.splitlines()
    checkpoint = CHECKPOINTS + "/last.ckpt"
    run(size, monkeypatch, "infer", "--checkpoint-path", checkpoint, "--training", "--batch-size", "20")
    assert capsys.readouterr().out.splitlines() == lines
    for kind in ("REF", "TRN"):
        name = "last_24x24_{}.h5".format(kind)
        assert same_files(size / CHECKPOINTS / name, size / OUTPUT / name)
    run(size, monkeypatch, "infer", "--checkpoint-path", checkpoint)
    with h5py.File(str(size / CHECKPOINTS / "last_24x24_REF.h5"), "r") as found:
        with h5py.File(str(size / OUTPUT / "last_24x24_REF.h5"), "r") as expected:
            # 400 pictures at a time: other sums, the same descriptors.
            assert np.abs(found["query"][()] - expected["query"][()]).max() < 1e-5
    record = recorded(
        size,
        "fingerprints",
        "infer_by_hand/" + os.listdir(str(size / "fingerprints/drip/infer_by_hand"))[0][: -len(".json")],
    )
    assert record["other_parameters"]["inference"]["batch_size"] == 400


def test_the_published_default_path(size, monkeypatch):
    published = size / "TEST26_100k_nobias_l1/lightning_logs/version_0/checkpoints"
    with pytest.raises(Refusal, match="TEST26_100k_nobias_l1/.*/last.ckpt: missing"):
        run(size, monkeypatch, "infer")
    shutil.copytree(str(size / CHECKPOINTS), str(published))
    run(size, monkeypatch, "infer")
    assert (published / "last_24x24_REF.h5").is_file()


def test_new_queries_with_the_references_that_are_there(size, monkeypatch):
    checkpoint = CHECKPOINTS + "/last.ckpt"
    run(size, monkeypatch, "infer", "--checkpoint-path", checkpoint, "--batch-size", "20")
    path = size / CHECKPOINTS / "last_24x24_REF.h5"
    shutil.copy(str(path), str(size / "whole.h5"))
    with h5py.File(str(path), "r+") as file:
        file["query"][3] = 0.5
        file["reference"][7] = file["reference"][8]
        kept = file["reference"][()]
    flags = ("--checkpoint-path", checkpoint, "--batch-size", "20", "--keep-references")
    run(size, monkeypatch, "infer", *flags)
    with h5py.File(str(path), "r") as found, h5py.File(str(size / "whole.h5"), "r") as whole:
        assert np.array_equal(found["query"][()], whole["query"][()])
        assert np.array_equal(found["reference"][()], kept)


def test_references_of_another_checkpoint_are_not_kept(size, monkeypatch, capsys):
    checkpoint, path = CHECKPOINTS + "/last.ckpt", size / CHECKPOINTS / "last_24x24_REF.h5"
    flags = ("--checkpoint-path", checkpoint, "--batch-size", "20", "--keep-references")
    run(size, monkeypatch, "infer", *flags[:-1])
    with h5py.File(str(path), "r") as file:
        digest = file.attrs["checkpoint_sha256"]
    assert digest == hashlib.sha256((size / checkpoint).read_bytes()).hexdigest()
    content = path.read_bytes()
    write_checkpoint(str(size / checkpoint), build(SHAPE, 4, classes=40), 0, 10)
    other = hashlib.sha256((size / checkpoint).read_bytes()).hexdigest()
    message = "last_24x24_REF.h5: made by the checkpoint of SHA-256 {}, this one has {}: leave"
    with pytest.raises(Refusal, match=message.format(digest, other)):
        run(size, monkeypatch, "infer", *flags)
    assert path.read_bytes() == content
    with h5py.File(str(path), "r+") as file:
        del file.attrs["checkpoint_sha256"]  # as published
    capsys.readouterr()
    run(size, monkeypatch, "infer", *flags)
    warning = "encore: {}: names no checkpoint: ".format(path.relative_to(size))
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith(warning)]
    with h5py.File(str(path), "r") as file:
        assert dict(file.attrs) == {}  # whose its references are is still not known


def test_a_line_tells_of_a_kernel_that_is_left_out(size, monkeypatch, capsys):
    def lines():
        return [line for line in capsys.readouterr().err.splitlines() if "kernel" in line]

    checkpoint = size / CHECKPOINTS / "last.ckpt"
    run(size, monkeypatch, "infer", STAGE)
    assert lines() == [
        "encore: {}: its kernel of 40 classes is left out: descriptors do without it".format(
            checkpoint.relative_to(size)
        )
    ]
    write_checkpoint(str(checkpoint), build(SHAPE, 3), 0, 10)
    run(size, monkeypatch, "infer", STAGE)
    assert lines() == []


def test_replaced_pictures_of_a_plain_folder_are_described_anew(tmp_path):
    folder = tmp_path / "reference_images"
    folder.mkdir()
    (folder / "R000000.jpg").write_bytes(b"one")
    found = pictures_identity(SamplePictures(tmp_path))
    (folder / "R000000.jpg").write_bytes(b"other")
    assert len(found) == 1 and pictures_identity(SamplePictures(tmp_path)) != found


def test_without_normalisation_it_is_not_measured(size, monkeypatch):
    write_parameters(size, **sections(normalisation=None))
    run(size, monkeypatch, "infer", STAGE)
    expected = {"average_precision", "recall_p90", "queries", "references", "training"}
    assert set(recorded(size, "metrics", "infer/" + STAGE)) == expected


def counted(folder, killed_at=None):
    """In a process of its own, a run that records every batch; number `killed_at` kills it."""
    calls, whole = open(str(folder / "batches"), "w"), extraction.normalised_pixels

    def normalised(pixels, mode):
        calls.write("*")
        calls.flush()
        if calls.tell() == killed_at:
            die()
        return whole(pixels, mode)

    extraction.normalised_pixels = normalised
    with pytest.MonkeyPatch.context() as patch:
        run(folder, patch, "infer", STAGE)


def test_a_killed_run_goes_on_with_its_chunk(size, monkeypatch):
    # 56 queries in 3 batches, 32 references in 2, 192 training pictures in 10; chunks of 3 batches.
    assert finish(start(counted, size, 10)) == -signal.SIGKILL
    assert not (size / "descriptors").exists()
    assert finish(start(counted, size)) == 0
    assert len((size / "batches").read_text()) == 15 - (3 + 2 + 3)
    shutil.copytree(str(size / OUTPUT), str(size / "resumed"))
    run(size, monkeypatch, "infer", STAGE)
    for name in ("last_24x24_REF.h5", "last_24x24_TRN.h5"):
        assert (size / OUTPUT / name).read_bytes() == (size / "resumed" / name).read_bytes()


def test_a_new_checkpoint_takes_nothing_of_the_old_ones_chunks(size, monkeypatch):
    assert finish(start(counted, size, 10)) == -signal.SIGKILL
    write_checkpoint(str(size / CHECKPOINTS / "last.ckpt"), build(SHAPE, 4, classes=40), 0, 10)
    assert finish(start(counted, size)) == 0
    assert len((size / "batches").read_text()) == 15


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((STAGE, "--batch-size", "5"), "--batch-size: describes a run beside the pipeline"),
        ((STAGE, "--keep-references"), "--keep-references: describes"),
        (("c80",), "models/drip/c80: missing"),
        (("--checkpoint-path", "none.ckpt"), "none.ckpt: missing"),
        (("--checkpoint-path", "params.yaml"), "expected a checkpoint named <name>.ckpt"),
        (("--checkpoint-path", CHECKPOINTS + "/last.ckpt", "--batch-size", "0"), "--batch-size: expected 1"),
    ],
)
def test_refusals(size, monkeypatch, arguments, message):
    with pytest.raises(Refusal, match=message):
        run(size, monkeypatch, "infer", *arguments)
    assert not (size / "descriptors").exists()


def test_another_network_and_a_missing_truth_are_refused(size, monkeypatch):
    state = torch.load(str(size / CHECKPOINTS / "last.ckpt"), weights_only=False)
    state["state_dict"].pop("backbone.1.weight")
    torch.save(state, str(size / CHECKPOINTS / "last.ckpt"))
    with pytest.raises(Refusal, match="last.ckpt: 1 of .* tensors are missing"):
        run(size, monkeypatch, "infer", STAGE)
    (size / TRUTH).unlink()
    with pytest.raises(Refusal, match="public_ground_truth.csv: missing"):
        run(size, monkeypatch, "infer", STAGE)
