"""A small valid file of every form, as the project's own writers or the published format make it."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
import tarfile
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import torch
from PIL import Image

from checks.raw_data.digests import Digest, write_manifest
from encore.data import descriptors, faiss_transform, shards
from encore.data.picture_database import write_picture_database
from encore.detection.detections import write_detections
from encore.metrics import predictions
from encore.metrics.evidence.counts import Counts
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.runtime.atomic import write_json
from encore.systems.drip import centroids, descriptors_file, samples
from encore.systems.fkd import published_labels
from encore.systems.fkd.label_batch import LabelBatch, LabelDescription
from encore.systems.fkd.label_store import LabelStoreWriter
from encore.systems.fkd.mixing import NONE
from encore.systems.momentum2_teacher.published_files import write_backbone

ROOT = Path(__file__).resolve().parents[2]


def state():
    """A state dict of two tensors."""
    return OrderedDict(weight=torch.arange(6.0).view(2, 3), bias=torch.ones(2))


def torch_zip(folder):
    path = folder / "weights.pth"
    torch.save(state(), path)
    return path


def torch_legacy(folder):
    path = folder / "weights.pth.tar"
    torch.save(state(), path, _use_new_zipfile_serialization=False)
    return path


def checkpoint(folder):
    path = folder / "last.ckpt"
    content = {"epoch": 1, "global_step": 2, "pytorch-lightning_version": "1.4.9", "state_dict": state()}
    torch.save(content, path)
    return path


def backbone(folder):
    write_backbone(folder / "resnet50.pkl", state())
    return folder / "resnet50.pkl"


def w_pickle(folder):
    centroids.write_w(folder / "W.pickle", np.arange(6, dtype=np.float32).reshape(2, 3))
    return folder / "W.pickle"


def id_pickle(folder):
    path = folder / "ids.pickle"
    path.write_bytes(pickle.dumps(["I0000001", "I0000002"], protocol=4))
    return path


def id_lines(folder):
    samples.write_id_list(folder / "ids.txt", samples.SampleIds(["I0000001", "I0000002"]))
    return folder / "ids.txt"


def features(folder):
    from stages.reid.evaluate.market_evaluate import MarketFeatures, write_features

    rows = np.eye(3, dtype=np.float32)
    write_features(folder / "features.pkl", MarketFeatures(rows, rows))
    return folder / "features.pkl"


def label_batch():
    """Two labels of three classes."""
    return LabelBatch(
        torch.tensor([1, 0]), torch.rand(2, 4), torch.tensor([True, False]), NONE, torch.ones(2, 3).half()
    )


def labels(folder):
    published_labels.write_batch(folder, 0, 0, label_batch())
    return Path(published_labels.batch_path(folder, 0, 0))


def label_store(folder):
    description = LabelDescription(2, 2, 1, 3, "none", "float16", 0)
    writer = LabelStoreWriter(folder, description, ["a/1.jpg", "b/2.jpg"])
    writer.write(0, [label_batch()])
    writer.finish()
    return folder / "manifest.json"


def label_tensors(folder):
    label_store(folder)
    return folder / "epoch_000.safetensors"


def label_names(folder):
    label_store(folder)
    return folder / "pictures.txt"


def picture_bytes(form="JPEG", mode="RGB", size=(8, 6), **options):
    """The bytes of a small picture."""
    file = io.BytesIO()
    Image.new(mode, size, 1).save(file, form, **options)
    return file.getvalue()


def picture(folder):
    (folder / "picture.jpg").write_bytes(picture_bytes())
    return folder / "picture.jpg"


def png(folder):
    (folder / "picture.png").write_bytes(picture_bytes("PNG"))
    return folder / "picture.png"


def folder_of_pictures(folder, names=("one.jpg", "two.jpg")):
    """A folder with pictures of these names; returns its path."""
    place = folder / "pictures"
    for name in names:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture_bytes())
    return place


def class_folders(folder):
    return folder_of_pictures(folder, ("a/one.jpg", "b/two.jpg"))


def numbered_folder(folder):
    return folder_of_pictures(folder, ("0_0.jpg", "0_1.jpg"))


def tar(folder):
    path = folder / "pictures.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as file:
        for name in ("a/one.jpg", "b/two.jpg"):
            member = tarfile.TarInfo(name)
            member.size = len(picture_bytes())
            file.addfile(member, io.BytesIO(picture_bytes()))
    return path


def data_set(folder):
    writer = shards.ShardWriter(folder, 0)
    for number in range(2):
        writer.add(f"{number}_0.jpg", picture_bytes(), number)
    shards.write_manifest(folder, [writer.close()], "of nothing")
    return folder / "manifest.json"


def shard_index(folder):
    data_set(folder)
    return folder / "shard-00000.index.npy"


def picture_database(folder):
    pictures = SimpleNamespace(
        names=["a/1.jpg", "b/2.jpg"], labels=[0, 1], classes=["a", "b"], read=lambda _: picture_bytes()
    )
    write_picture_database(folder / "pictures.lmdb", pictures)
    return folder / "pictures.lmdb"


def detections(folder):
    rows = np.array([[1, 1, 5, 5, 0.9, 0]], dtype=np.float32)
    write_detections(folder, ["Q00000.jpg", "Q00001.jpg"], [rows, rows[:0]], 64)
    return folder / "detections.npz"


def published_detections(folder):
    np.save(folder / "Q00000.jpg.npy", np.array([[1, 1, 5, 5, 0.9, 0]], dtype=np.float32))
    return folder / "Q00000.jpg.npy"


def evidence(folder):
    EvidenceFile(Counts.of_labels([0, 1, 1])).write(folder / "evidence.npz")
    return folder / "evidence.npz"


def vectors():
    """Two descriptors of length 1."""
    return np.eye(2, 4, dtype=np.float32)


def descriptor_chunks(folder):
    path = folder / "query_0_256.hdf5"
    descriptors.write_descriptors(path, vectors(), ["Q00000.jpg", "Q00001.jpg"])
    return path


def submission(folder):
    sides = descriptors.Submission(vectors(), vectors(), ["Q00000", "Q00001"], ["R000000", "R000001"])
    descriptors.write_submission(folder / "submission.h5", sides)
    return folder / "submission.h5"


def drip_descriptors(folder):
    sides = descriptors.Submission(vectors(), vectors(), ["Q00000", "Q00001"], ["R000000", "R000001"])
    descriptors_file.write_descriptors(folder / "last_160x160_REF.h5", sides)
    return folder / "last_160x160_REF.h5"


def compressed_hdf5(folder):
    """A published file may be compressed, though none of ours is."""
    path = folder / "query_0_256.hdf5"
    with h5py.File(path, "w") as store:
        store.create_dataset("vectors", data=vectors(), chunks=(2, 4), compression="gzip", track_times=False)
        store.create_dataset("image_names", data=np.array([b"Q00000", b"Q00001"]), track_times=False)
    return path


def pca(folder):
    eye = np.eye(2, dtype=np.float32)
    matrix = faiss_transform.PcaMatrix(np.zeros(2), np.ones(2), eye, eye, np.zeros(2))
    faiss_transform.write_pca(folder / "pca.vt", matrix)
    return folder / "pca.vt"


def prediction_table(folder):
    predictions.write_predictions(folder / "predictions.csv", ["Q00000"], ["R000001"], [0.5])
    return folder / "predictions.csv"


def ground_truth(folder):
    predictions.write_ground_truth(folder / "truth.csv", ["Q00000", "Q00001"], ["R000001", ""])
    return folder / "truth.csv"


def matches(folder):
    path = folder / "matches.csv"
    path.write_text("query_id,reference_id,score\na.jpg,b.jpg,0.5\n")
    return path


def rejected(folder):
    write_json(folder / "rejected.json", [{"folder": "queries", "name": "a.jpg", "reason": "empty"}])
    return folder / "rejected.json"


def overlay_boxes(folder):
    data_set(folder)
    path = folder / "boxes.csv"
    lines = "image,part,class,x1,y1,x2,y2\n0_0.jpg,training,0,1,1,5,5\n1_0.jpg,validation,,,,,\n"
    path.write_text(lines)
    return path


def params_json(folder):
    (folder / "params.json").write_text(json.dumps({"epochs": 2, "lr": {"base": 0.1}}))
    return folder / "params.json"


def screenshot_boxes(folder):
    (folder / "mobile.png").write_bytes(picture_bytes("PNG", size=(60, 80)))
    write_json(folder / "bboxes.json", {"mobile.png": [1, 2, 30, 40]})
    return folder / "bboxes.json"


def screenshot(folder):
    screenshot_boxes(folder)
    return folder / "mobile.png"


def params_yaml(folder):
    path = folder / "params.yaml"
    path.write_text("queries:\n  base: &base {side: 8, names: [a, b]}\n  other: {<<: *base, side: 9}\n")
    return path


def inputs_yaml(folder):
    shutil.copy(ROOT / "mini" / "inputs.yaml", folder)
    return folder / "inputs.yaml"


def model_config_python(folder):
    path = folder / "model_config.py"
    path.write_text("class Args:\n    BATCH_SIZE = 2\n    arc_s = 30.0\n    backbone_name = 'resnet50'\n")
    return path


def model_config_yaml(folder):
    path = folder / "model_config.yaml"
    path.write_text("BATCH_SIZE: 2\narc_s: 30.0\nbackbone_name: resnet50\n")
    return path


def digests(folder):
    digest = hashlib.sha256(b"").hexdigest()
    write_manifest(folder / "raw.sha256", folder, {"a.jpg": Digest(digest, 0), "b\n.jpg": Digest(digest, 0)})
    return folder / "raw.sha256"


def person_name(folder):
    (folder / "name").write_text("0002_c1s1_000451_03.jpg")
    return folder / "name"


def onnx_network(folder):
    from onnx import TensorProto, helper

    sides = ("images", "features")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3, 4, 2]) for name in sides]
    graph = helper.make_graph([helper.make_node("Relu", ["images"], ["features"])], "net", *zip(values))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (folder / "network.onnx").write_bytes(model.SerializeToString())
    return folder / "network.onnx"
