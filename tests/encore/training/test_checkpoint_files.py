"""Files of a run's progress: names within an epoch, and what a kill leaves."""

import struct
import subprocess
import sys
import zipfile

import pytest
import torch

from encore.training import checkpoint_files
from encore.training.checkpoint_files import Position


def test_saving_keeps_the_old_file_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = str(tmp_path / "file")
    checkpoint_files.save(path, {"a": 1})

    def broken(content, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(OSError):
        checkpoint_files.save(path, {"a": 2})
    assert torch.load(path) == {"a": 1} and [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_checkpoints_within_epochs_are_named_by_the_next_step_and_dropped_but_for_one(tmp_path):
    folder = str(tmp_path)
    paths = [checkpoint_files.work_path(folder, Position(*place)) for place in ((0, 7), (3, 5), (12, 40))]
    others = [str(tmp_path / name) for name in ("checkpoint_3.pth.tar", "work_3_5.pth.tar.tmp-5")]
    for path in paths + others:
        checkpoint_files.save(path, {})
    found = checkpoint_files.WORK_NAME.fullmatch("work_12_40.pth.tar").groups()
    assert Position(*map(int, found)) == (12, 40)
    checkpoint_files.drop_work(folder, but=paths[1])
    assert {str(path) for path in tmp_path.iterdir()} == {paths[1], *others}
    checkpoint_files.drop_work(folder)
    assert {str(path) for path in tmp_path.iterdir()} == set(others)


def test_the_scheduler_state_is_what_torch_writes():
    def factor(epoch):
        return 1 - epoch / 10

    optimizer = torch.optim.SGD([{"params": [torch.ones(1)]}, {"params": [torch.ones(1)]}], 0.5)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for _ in range(3):
        optimizer.step()
        scheduler.step()
    expected = dict({"verbose": False}, **scheduler.state_dict())
    expected.pop("_is_initial", None)  # versions after 1.7.1
    assert checkpoint_files.lambda_lr_state(0.5, 3, 2, factor) == expected


@pytest.mark.parametrize("name", ["encore.training.loop", "encore.systems.fkd.training"])
def test_a_run_of_another_network_loads_none_of_the_isc_network(name):
    command = "import sys, %s; sys.exit('encore.models.isc_network' in sys.modules)" % name
    assert subprocess.run([sys.executable, "-c", command]).returncode == 0


def test_a_loaded_text_and_one_of_the_program_give_the_same_bytes(tmp_path):
    def content(text):
        state = torch.nn.Linear(2, 3).eval().state_dict()
        for tensor in state.values():
            tensor.zero_()
        shared = [1, text]
        inner = {"step": text, "pair": (text, 2)}
        return {"state": state, text: 1, "inner": inner, "one": shared, "two": shared}

    again = "".join(["st", "ep"])
    assert again == "step" and again is not "".join(["s", "tep"])
    checkpoint_files.save(str(tmp_path / "a"), content("step"))
    checkpoint_files.save(str(tmp_path / "b"), content(again))
    assert entries(tmp_path / "a") == entries(tmp_path / "b")
    loaded = torch.load(str(tmp_path / "b"))
    assert loaded["one"] is loaded["two"] and loaded["state"]._metadata == content(again)["state"]._metadata


def entries(path):
    """(the pickle, [bytes of each storage]); storages by their numbers: torch 1.7.1 names them by their
    addresses."""
    with zipfile.ZipFile(str(path)) as archive:
        names = archive.namelist()
        pickled = archive.read(next(name for name in names if name.endswith("/data.pkl")))
        storages = {name.rpartition("/")[2]: archive.read(name) for name in names if "/data/" in name}
    keys = {b"X" + struct.pack("<I", len(key)) + key.encode(): key for key in storages}
    ordered = sorted(keys, key=pickled.index)
    for number, key in enumerate(ordered):
        pickled = pickled.replace(key, b"storage %d" % number)
    assert len(ordered) == 2
    return pickled, [storages[keys[key]] for key in ordered]
