"""The stage that extracts the descriptors of one group, from parameter file to published files."""

import json
import os
import sys

import pytest
import torch
import yaml

from encore.data.descriptors import chunk_files, read_descriptors
from encore.data.shards import ShardWriter, write_manifest
from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.groups import weights_path
from stages.isc_track1 import extract
from tests.encore.systems.isc.pictures import WIDE, png, wide_network
from tests.measured_again import measured_again

SHAPE = dict(
    layers=list(WIDE.layers), width=WIDE.width, hidden=WIDE.hidden, embedding=WIDE.embedding, matrix=None
)
SECTIONS = {
    "networks": {arch: SHAPE for arch in ("resnet50", "resnet152", "resnet_ibn50a")},
    "test": {
        "tags": ["baseline_CC", "blur_BW"],
        "pair_tags": [],
        "backbones": ["50"],
        "groups": ["baseline_CC-50", "blur_BW-50"],
        "scales": [32],
        "multi_part_scale": 32,
    },
    "extract": {
        "training": "training",
        "references": "references",
        "queries": "data/isc_track1/queries",
        "original_queries": "data/isc_queries",
        "pca": {"dimensions": 4, "images": 8},
        "batch_size": 8,
        "batches_per_chunk": 2,
        "gem_exponent": 3.0,
        "jpeg_roundtrip": True,
        "workers": 0,
        "keep_bytes": 1000000,
    },
}


def data_set(folder, names):
    os.makedirs(folder)
    writer = ShardWriter(folder, 0)
    for number, name in enumerate(names):
        writer.add(name, png(number), number)
    write_manifest(folder, [writer.close()], "recipe")


@pytest.fixture
def size(tmp_path, monkeypatch):
    """A size's folder with all that the stage reads, as the working directory."""
    monkeypatch.chdir(tmp_path)
    for folder, letter, count in (("training", "T", 10), ("references", "R", 2)):
        os.makedirs(folder)
        for number in range(count):
            (tmp_path / folder / "{}{:06d}.png".format(letter, number)).write_bytes(png(number))
    data_set("data/isc_queries", ["Q00000.jpg", "Q00001.jpg", "Q00002.jpg"])
    data_set("data/isc_track1/queries", ["Q00000_0.jpg", "Q00000_1.jpg", "Q00002_0.jpg", "Q00002_1000.jpg"])
    os.makedirs("inputs")
    for name in ("training_images", "reference_images"):
        (tmp_path / "inputs" / (name + ".json")).write_text("{}")
    for seed, tag in enumerate(SECTIONS["test"]["tags"]):
        state = wide_network(seed).state_dict()
        path = weights_path(tag, "50", SECTIONS["test"]["groups"])
        os.makedirs(os.path.dirname(path))
        torch.save(state, path)
    write_parameters()
    return tmp_path


def write_parameters(**changes):
    section = dict(SECTIONS, extract=dict(SECTIONS["extract"], **changes))
    with open("params.yaml", "w") as file:
        yaml.safe_dump({"isc_track1": section}, file)


def run(monkeypatch, group):
    monkeypatch.setattr(sys, "argv", ["extract", group])
    extract.main()


def test_a_group_is_extracted(size, monkeypatch):
    run(monkeypatch, "baseline_CC-50")
    place = size / "descriptors/isc_track1/baseline_CC-50/baseline_CC/50/32"
    ids, vectors = read_descriptors(chunk_files(place / "query_byol_VD_50k.hdf5"))
    assert ids == ["Q00000_0", "Q00000_1", "Q00002_0", "Q00002_1000"] and vectors.shape == (4, 4)
    place = size / "descriptors/isc_track1/baseline_CC-50/baseline_CC_ref/50/32"
    assert read_descriptors(chunk_files(place / "query_byol.hdf5"))[0] == ["Q00000", "Q00002"]
    assert len(read_descriptors(chunk_files(place / "references_byol_exp.hdf5"))[0]) == 38
    metrics = json.loads((size / "metrics/isc_track1/extract/baseline_CC-50.json").read_text())
    assert metrics == {
        "train": 10,
        "references": 2,
        "queries": 4,
        "original_queries": 2,
        "parts": 38,
        "models": 1,
        "dimension": 4,
    }
    assert measured_again("isc_track1/extract/baseline_CC-50") == {"parts", "original_queries"}
    run(monkeypatch, "blur_BW-50")
    assert os.listdir("descriptors/isc_track1/blur_BW-50") == ["blur_BW"]
    metrics = json.loads((size / "metrics/isc_track1/extract/blur_BW-50.json").read_text())
    assert (metrics["parts"], metrics["original_queries"], metrics["train"]) == (0, 0, 10)
    assert measured_again("isc_track1/extract/blur_BW-50") == {"parts", "original_queries"}


def test_what_cannot_end_well_is_refused_at_the_start(size, monkeypatch):
    with pytest.raises(Refusal, match=r"params\.yaml: isc_track1\.test\.groups: group all is none of"):
        run(monkeypatch, "all")
    write_parameters(pca={"dimensions": 4, "images": 11})
    with pytest.raises(Refusal, match=r"pca\.images: expected at most the 10 training pictures"):
        run(monkeypatch, "blur_BW-50")
    write_parameters(original_queries="data/isc_track1/queries")
    with pytest.raises(Refusal, match=r"found Q00000_0 \(2 in all\)"):
        run(monkeypatch, "blur_BW-50")
    write_parameters()
    monkeypatch.setattr(extract, "disk_bytes", lambda *arguments: 10**18)
    with pytest.raises(Refusal, match="needs 1000000000.0 GB of disk for descriptors"):
        run(monkeypatch, "blur_BW-50")
    monkeypatch.undo()
    monkeypatch.chdir(size)
    os.unlink(weights_path("blur_BW", "50", SECTIONS["test"]["groups"]))
    with pytest.raises(Refusal, match=r"blur_bw_50\.pth\.tar: missing"):
        run(monkeypatch, "blur_BW-50")
    assert not os.path.exists("descriptors")
