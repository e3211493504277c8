"""Loading refuses to run code and names what is broken."""

import argparse
import io
import os
import pickle
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch

from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load

ZIP, LEGACY = {}, {"_use_new_zipfile_serialization": False}


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, ("touch %s" % self.marker,)


@pytest.mark.parametrize("form", [ZIP, LEGACY])
def test_checkpoints_with_optimizer_and_numpy_numbers_load(tmp_path, form):
    weight = torch.nn.Parameter(torch.randn(3, 2))
    content = {
        "state_dict": OrderedDict(a=torch.arange(5), b=weight.detach().half()),
        "epoch": 3,
        "optimizer": {
            "state": {0: {"step": 4, "exp_avg": torch.ones(3, 2)}},
            "param_groups": [{"lr": np.float64(0.1), "betas": (0.9, 0.999), "params": [0]}],
        },
        "lr_scheduler": {"lr_lambdas": [None], "_last_lr": [np.float32(0.5)]},
        "parameter": weight,
    }
    torch.save(content, str(tmp_path / "file"), **form)
    found = safe_load(str(tmp_path / "file"))
    assert torch.equal(found["state_dict"]["a"], torch.arange(5)) and torch.equal(found["parameter"], weight)
    assert found["state_dict"]["b"].dtype == torch.float16
    assert found["optimizer"]["param_groups"][0]["lr"] == 0.1 and found["lr_scheduler"]["_last_lr"] == [0.5]


@pytest.mark.parametrize("form", [ZIP, LEGACY])
def test_a_command_line_beside_the_weights_loads_as_plain_values(tmp_path, form):
    content = {"model": {"a": torch.ones(2)}, "args": argparse.Namespace(lr=0.2, model="resnet18")}
    torch.save(content, str(tmp_path / "file"), **form)
    found = safe_load(str(tmp_path / "file"))
    assert vars(found["args"]) == {"lr": 0.2, "model": "resnet18"} and found["model"]["a"].sum() == 2


EMPTY = [b"", np.zeros(0), np.zeros((0, 4), np.float32)]
KINDS = [np.array(["abc", "d"]), np.array([b"a"]), np.array([1, "x", None], object), np.ones(2, np.complex64)]
NUMBERS = [np.str_("text"), np.bytes_(b"ab"), np.complex128(2j), np.bool_(True), np.array([1.5], ">f4")]
MANY = [np.arange(99999.0), np.zeros((300, 300), ">i8"), np.full(99999, "e"), b"\xff" * 99999]


def assert_same(found, expected):
    if isinstance(expected, np.ndarray):
        assert found.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
        assert found.shape == expected.shape
        assert found.tolist() == expected.tolist()
    else:
        assert type(found) is type(expected) and found == expected


@pytest.mark.parametrize("form", [ZIP, LEGACY])
@pytest.mark.parametrize("content", [EMPTY, KINDS, NUMBERS, MANY], ids=["empty", "kinds", "numbers", "many"])
def test_numpy_content_loads_as_it_was(tmp_path, content, form):
    torch.save(content, str(tmp_path / "file"), **form)
    for found, expected in zip(safe_load(str(tmp_path / "file")), content):
        assert_same(found, expected)


@pytest.mark.parametrize("form", [ZIP, LEGACY])
def test_a_thousand_tensors_may_share_a_storage_and_keys_may_be_tuples(tmp_path, form):
    numbers = torch.arange(1000)
    content = {(at, "part", np.int64(2)): numbers[at : at + 1] for at in range(1000)}
    torch.save(dict(content, counts=Counter("abca")), str(tmp_path / "file"), **form)
    found = safe_load(str(tmp_path / "file"))
    assert found.pop("counts") == {"a": 2, "b": 1, "c": 1}
    assert {key: value.item() for key, value in found.items()} == {key: key[0] for key in content}


@pytest.mark.parametrize("form", [ZIP, LEGACY])
def test_code_in_a_file_is_not_run_but_named(tmp_path, form):
    path, marker = str(tmp_path / "evil.pth"), tmp_path / "marker"
    torch.save({"weight": torch.ones(2), "x": Malicious(marker)}, path, **form)
    with pytest.raises(Refusal, match=r"evil\.pth asks to run (posix|os|nt)\.system when loaded"):
        safe_load(path)
    assert not marker.exists()


@pytest.mark.parametrize("form", [ZIP, LEGACY])
@pytest.mark.parametrize("kept", [0, 10, 200, 0.5, 0.999])
def test_a_truncated_file_is_named(tmp_path, form, kept):
    path = tmp_path / "checkpoint_3.pth.tar"
    torch.save({"weight": torch.randn(1000)}, str(path), **form)
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(len(data) * kept)])
    with pytest.raises(Refusal, match=r"^[^\n]*checkpoint_3\.pth\.tar is (damaged|not a file that)[^\n]*$"):
        safe_load(str(path))


def test_what_is_no_torch_file_is_named(tmp_path):
    with pytest.raises(Refusal, match="found none"):
        safe_load(str(tmp_path / "absent.pth"))
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    with pytest.raises(Refusal, match=r"page\.pth is not a file that torch\.save wrote \(22 bytes\)"):
        safe_load(str(tmp_path / "page.pth"))


def test_a_program_is_refused(tmp_path):
    path = str(tmp_path / "program.pt")
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), path)
    with pytest.raises(Refusal, match="TorchScript"):
        safe_load(path)


def dump(path, content, protocol=3):
    with open(str(path), "wb") as file:
        pickle.dump(content, file, protocol=protocol)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_plain_pickles_of_tensors_and_arrays_load(tmp_path, protocol):
    model = OrderedDict(
        weight=torch.arange(6.0).view(2, 3).t(),
        half=torch.ones(2).half(),
        count=torch.tensor(3),
        flags=torch.tensor([True, False]),
        parameter=torch.nn.Parameter(torch.ones(2)),
    )
    arrays = {"array": np.arange(4.0).reshape(2, 2), "number": np.float32(0.5)}
    dump(tmp_path / "x.pkl", dict(arrays, model=model, __author__="X", matching_heuristics=True), protocol)
    found = safe_load(str(tmp_path / "x.pkl"))
    assert list(found["model"]) == list(model)
    assert all(torch.equal(value, found["model"][name]) for name, value in model.items())
    assert found["model"]["half"].dtype == torch.float16
    assert np.array_equal(found["array"], arrays["array"]) and found["number"] == 0.5
    assert found["__author__"] == "X" and found["matching_heuristics"] is True


class Evil:
    """A torch file inside a pickle, as torch.storage pickles one, that asks for code when it is loaded."""

    def __init__(self, marker, form, depth=1):
        file = io.BytesIO()
        torch.save(Malicious(marker) if depth == 1 else Evil(marker, form, depth - 1), file, **form)
        self.data = file.getvalue()

    def __reduce__(self):
        return torch.storage._load_from_bytes, (self.data,)


@pytest.mark.parametrize("form", [ZIP, LEGACY])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_code_in_a_pickle_is_not_run_but_named(tmp_path, form, depth):
    marker = tmp_path / "marker"
    evil = Malicious(marker) if depth == 0 else Evil(marker, form, depth)
    dump(tmp_path / "evil.pkl", {"model": {"weight": torch.ones(2), "x": evil}})
    forbidden = r"(posix|os|nt)\.system" if depth < 2 else r"torch\.storage\._load_from_bytes"
    with pytest.raises(Refusal, match=r"^[^\n]*evil\.pkl asks to run %s when loaded[^\n]*$" % forbidden):
        safe_load(str(tmp_path / "evil.pkl"))
    assert not marker.exists()


def test_a_pickle_whose_inner_file_is_no_storage_is_refused(tmp_path):
    class Inner:
        def __reduce__(self):
            file = io.BytesIO()
            torch.save({"a": 1}, file)
            return torch.storage._load_from_bytes, (file.getvalue(),)

    dump(tmp_path / "odd.pkl", Inner())
    with pytest.raises(Refusal, match=r"odd\.pkl is damaged .*expected the numbers of a tensor, found dict"):
        safe_load(str(tmp_path / "odd.pkl"))


@pytest.mark.parametrize("kept", [3, 40, 0.5, 0.999])
def test_a_truncated_pickle_is_named(tmp_path, kept):
    path = tmp_path / "start.pkl"
    dump(path, {"model": {"weight": torch.randn(1000)}})
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(len(data) * kept)])
    with pytest.raises(Refusal, match=r"^[^\n]*start\.pkl is damaged[^\n]*$"):
        safe_load(str(path))
