import hashlib
import json
import struct

import pytest
import torch

from encore.runtime.refusal import Refusal
from encore.systems.drip.network import NetworkShape, build, load_backbone
from tests.stages.drip.drip_size import recorded, run, write_size

SHAPE = NetworkShape("resnet", embedding=8, width=2, layers=(1, 1, 1, 1))
OUTPUT = "models/drip/start/backbone.pth"


def backbone(seed):
    """timm's file of the stand-in: its backbone without the pooling, and a classifier."""
    state = dict(build(SHAPE, seed).backbone[0].state_dict())
    del state["avgpool.p"]
    return dict(state, **{"fc.weight": torch.ones(3, 16), "fc.bias": torch.ones(3)})


def same(found, expected):
    assert list(found) == [key for key in expected if not key.startswith("fc.")]
    return all(torch.equal(found[key], expected[key]) for key in found)


def test_values_by_seed(tmp_path, monkeypatch):
    for seed in (4, 5):
        write_size(tmp_path, start={"published": None, "sha256": None, "seed": seed})
        run(tmp_path, monkeypatch, "start")
        state = torch.load(str(tmp_path / OUTPUT))
        assert same(state, backbone(seed))
    assert not same(state, backbone(4))
    metrics = recorded(tmp_path, "metrics", "start")
    numbers = sum(value.numel() for value in state.values())
    assert metrics == {"tensors": len(state), "parameters": numbers, "published": 0}
    record = recorded(tmp_path, "fingerprints", "start")
    assert record["seed"] == 5 and record["other_parameters"]["network"]["width"] == 2
    network = load_backbone(build(SHAPE, 0), str(tmp_path / OUTPUT))
    assert torch.equal(network.backbone[0].conv1.weight, state["conv1.weight"])


def write_safetensors(path, state):
    """The format by hand: its length, a header, the bytes."""
    header, content = {"__metadata__": {"format": "pt"}}, b""
    for key, value in state.items():
        code = {torch.float32: "F32", torch.int64: "I64"}[value.dtype]
        data = value.numpy().tobytes()
        places = [len(content), len(content) + len(data)]
        header[key] = {"dtype": code, "shape": list(value.shape), "data_offsets": places}
        content += data
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + content)


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_published_file_is_checked_and_taken(tmp_path, monkeypatch, ending):
    published, path = backbone(9), str(tmp_path / ("weights." + ending))
    if ending == "pth":
        torch.save(published, path)
    else:
        write_safetensors(path, published)
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    write_size(tmp_path, start={"published": path, "sha256": digest})
    run(tmp_path, monkeypatch, "start")
    assert same(torch.load(str(tmp_path / OUTPUT)), published)
    assert recorded(tmp_path, "metrics", "start")["published"] == 1
    assert recorded(tmp_path, "fingerprints", "start")["start_weights_sha256"] == digest


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda state: state.pop("conv1.weight"), "weights.pth lacks conv1.weight"),
        (lambda state: state.update(stem=torch.ones(1)), "weights.pth has the unknown stem"),
        (lambda state: state.update({"conv1.weight": torch.ones(1)}), "misshapes conv1.weight"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, monkeypatch, change, message):
    state = backbone(9)
    change(state)
    torch.save(state, str(tmp_path / "weights.pth"))
    write_size(tmp_path, start={"published": "weights.pth"})
    with pytest.raises(Refusal, match=message):
        run(tmp_path, monkeypatch, "start")
    assert not (tmp_path / OUTPUT).exists()


def test_another_digest_and_a_digest_of_nothing_are_refused(tmp_path, monkeypatch):
    torch.save(backbone(9), str(tmp_path / "weights.pth"))
    write_size(tmp_path, start={"published": "weights.pth", "sha256": "0" * 64})
    with pytest.raises(Refusal, match="weights.pth: its SHA-256 is .*, expected 000"):
        run(tmp_path, monkeypatch, "start")
    write_size(tmp_path, start={"published": "none.pth"})
    with pytest.raises(Refusal, match="none.pth: missing"):
        run(tmp_path, monkeypatch, "start")
    write_size(tmp_path, start={"sha256": "0" * 64})
    with pytest.raises(Refusal, match="drip.start: sha256 is of a published file"):
        run(tmp_path, monkeypatch, "start")


def test_the_digits_of_a_published_name_are_checked_where_no_digest_is_given(tmp_path, monkeypatch):
    torch.save(backbone(9), str(tmp_path / "weights.pth"))
    content = (tmp_path / "weights.pth").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    right, wrong = "weights-{}.pth".format(digest[:8]), "ecanfnet_l1_ra2-7dce93cd.pth"
    for name in (right, wrong):
        (tmp_path / name).write_bytes(content)
    write_size(tmp_path, start={"published": wrong})
    with pytest.raises(Refusal, match=wrong + ": its SHA-256 begins with .*, its name says 7dce93cd"):
        run(tmp_path, monkeypatch, "start")
    assert not (tmp_path / OUTPUT).exists()
    for values in ({"published": right}, {"published": wrong, "sha256": digest}):
        write_size(tmp_path, start=values)
        run(tmp_path, monkeypatch, "start")
        assert recorded(tmp_path, "metrics", "start")["published"] == 1
