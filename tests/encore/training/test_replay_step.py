"""A run that comes to a step it cannot make: what is saved, said and shown again."""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from encore.runtime.refusal import Refusal
from encore.training import replay_step
from encore.training.checkpoint_files import Position
from encore.training.loop import FROM_THE_START, Run, StepResult, train
from encore.training.numerical_fault import check_step
from encore.training.refused_step import FAULT_FILE
from tests.encore.training.test_distributed import started

ROOT = Path(__file__).resolve().parents[3]
SLOW_FIRST = """
import sys, time
from encore.runtime.refusal import Refusal
from encore.training.distributed import join_processes
from encore.training.loop import Run, train
from encore.training.numerical_fault import check_step

processes, _ = join_processes("cpu")

def step(epoch, number, batch):
    check_step(float("nan"), {}, processes=processes)

try:
    train(Run(1, 1, lambda epoch, first: [None], step, lambda position: None))
except Refusal as refusal:
    time.sleep(1.5)  # a record is closed
    sys.exit("said by %d: %s" % (processes.rank, refusal))
"""


class Regression:
    """Two epochs of four steps of a network with BatchNorm; batch `broken` (epoch, step) holds a NaN."""

    def __init__(self, folder, broken=None):
        self.folder, self.broken = folder, broken
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.1)

    def batches(self, epoch, first):
        for step in range(first, 4):
            batch = torch.randn(5, 2, generator=torch.Generator().manual_seed(10 * epoch + step))
            if (epoch, step) == self.broken:
                batch[3, 1] = float("nan")
            yield batch

    def step(self, epoch, step, batch):
        self.optimizer.zero_grad()
        loss = self.network(batch).square().mean()
        loss.backward()
        check_step(loss.item(), {"square": loss.item()}, self.network.named_parameters(), batch)
        self.optimizer.step()
        return StepResult(loss.item(), {}, 0.1)

    def save(self, position):
        path = self.folder / ("%d_%d" % position)
        torch.save(self.network.state_dict(), str(path))
        return str(path)

    def run(self):
        return Run(
            2,
            4,
            self.batches,
            self.step,
            self.save,
            save_every=1,
            networks=(self.network,),
            addresses=lambda epoch, step: ["picture %d.%d.%d" % (epoch, step, row) for row in range(5)],
            folder=str(self.folder),
        )


def assert_same_state(found, expected):
    found, expected = torch.load(str(found)), torch.load(str(expected))
    assert list(found) == list(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.fixture
def refused(tmp_path):
    """The folder of a run refused at step 2 of epoch 1, and what was said."""
    folder = tmp_path / "refused"
    folder.mkdir()
    with pytest.raises(Refusal) as refusal:
        train(Regression(folder, (1, 2)).run(), what="regression")
    return folder, str(refusal.value)


def test_the_message_names_step_pictures_state_and_what_to_do(refused):
    folder, text = refused
    assert text.startswith(
        "regression: epoch 1, step 2: the loss is nan, expected a finite number (square nan)"
    )
    assert "\n" not in text and "no update was made" in text
    assert "its batch of 5: picture 1.2.0, picture 1.2.1" in text and "--replay-step 1:2" in text
    assert "the state before it is saved in %s" % (folder / "1_2") in text
    found = json.loads((folder / FAULT_FILE).read_text(encoding="utf-8"))
    assert found["batch"] == ["picture 1.2.%d" % row for row in range(5)]
    assert (found["epoch"], found["step"], found["state"]) == (1, 2, str(folder / "1_2"))


def test_at_the_start_of_an_epoch_the_state_is_that_of_the_end_of_the_one_before(tmp_path):
    with pytest.raises(Refusal) as refusal:
        train(Regression(tmp_path, (1, 0)).run())
    assert "; the state before it is saved in %s; its batch" % (tmp_path / "1_0") in str(refusal.value)
    state = json.loads((tmp_path / FAULT_FILE).read_text(encoding="utf-8"))["state"]
    assert state == str(tmp_path / "1_0") and Path(state).exists()
    for start in (FROM_THE_START, Position(1, 0)):  # this run has saved none, and knows of none
        with pytest.raises(Refusal) as refusal:
            train(Regression(tmp_path, tuple(start)).run(), start)
        assert "is saved in" not in str(refusal.value)
        assert json.loads((tmp_path / FAULT_FILE).read_text(encoding="utf-8"))["state"] is None


def test_the_saved_state_is_the_one_before_the_step_running_statistics_included(refused, tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    train(Regression(whole).run())
    assert_same_state(refused[0] / "1_2", whole / "1_2")  # though the forward pass had changed BatchNorm's
    assert not (whole / FAULT_FILE).exists()


def test_a_run_without_the_fault_removes_what_was_said_of_it(refused):
    train(Regression(refused[0]).run())
    assert not (refused[0] / FAULT_FILE).exists()


def replay(monkeypatch, run, text, start=FROM_THE_START):
    monkeypatch.setenv(replay_step.VARIABLE, text)
    with pytest.raises(SystemExit) as ended:
        train(run, start)
    return ended.value.code


def test_a_replayed_fault_shows_the_layer_and_the_pictures(monkeypatch, capsys, refused):
    training = Regression(refused[0], (1, 2))
    training.network.load_state_dict(torch.load(str(refused[0] / "1_2")))
    assert replay(monkeypatch, training.run(), "1:2", Position(1, 2)) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("epoch 1, step 2: the loss is nan")
    place = lines.index("first outputs that are not finite:")
    assert lines[place + 1].split() == ["0", "nan"]  # the first layer, which was shown the NaN
    assert lines[-6:] == ["batch of 5:"] + ["  picture 1.2.%d" % row for row in range(5)]
    assert (refused[0] / FAULT_FILE).exists()


def test_a_replayed_step_without_a_fault_makes_no_update(monkeypatch, capsys, tmp_path):
    training = Regression(tmp_path)
    assert replay(monkeypatch, training.run(), "1:1") == 0
    before = torch.load(str(tmp_path / "1_1"))
    assert all(torch.equal(found, before[name]) for name, found in training.network.named_parameters())
    printed = capsys.readouterr().out
    assert printed.startswith("epoch 1, step 1: finite") and "largest gradients:" in printed
    assert not any(module._forward_hooks for module in training.network)


def test_a_step_that_the_run_is_past_or_never_reaches_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv(replay_step.VARIABLE, "0:3")
    with pytest.raises(Refusal, match="newest state is of epoch 1, step 0, past that step"):
        train(Regression(tmp_path).run(), Position(1, 0))
    monkeypatch.setenv(replay_step.VARIABLE, "1:3")
    stopped = Regression(tmp_path).run()._replace(ended=lambda: True)  # after its first epoch
    with pytest.raises(Refusal, match="--replay-step 1:3: the run ends before that step"):
        train(stopped)


@pytest.mark.parametrize("text, total, count", [("2:0", None, 8), ("0:4", None, 8), ("1:2", 6, 6)])
def test_a_step_that_the_run_does_not_have_is_refused_before_any_is_made(
    monkeypatch, tmp_path, text, total, count
):
    training = Regression(tmp_path)
    monkeypatch.setattr(training, "step", lambda *batch: pytest.fail("a step is made"))
    monkeypatch.setenv(replay_step.VARIABLE, text)
    expected = r"%s: no such step: the run has %d steps, in epochs of 4 \(epochs: 2\)" % (text, count)
    with pytest.raises(Refusal, match="--replay-step " + expected):
        train(training.run()._replace(total=total))
    assert list(tmp_path.iterdir()) == []


def test_the_flag_names_a_step_for_this_process_and_its_children(monkeypatch, capsys):
    monkeypatch.setenv(replay_step.VARIABLE, "")
    parser = argparse.ArgumentParser()
    replay_step.add_replay_step(parser)
    parser.parse_args([])
    assert replay_step.wanted(Position(0, 0)) is None
    parser.parse_args(["--replay-step", "3:12"])
    assert replay_step.wanted(Position(0, 0)) == Position(3, 12)
    for wrong in ("3", "3:x", "-1:2"):
        with pytest.raises(SystemExit):
            parser.parse_args(["--replay-step", wrong])
    assert "expected EPOCH:STEP" in capsys.readouterr().err


def test_a_fault_before_the_replayed_step_is_told_and_written_nowhere(monkeypatch, tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / FAULT_FILE).write_text("of the run", encoding="utf-8")
    run = Regression(whole, (0, 1)).run()._replace(save=lambda position: None)
    monkeypatch.setenv(replay_step.VARIABLE, "1:2")
    with pytest.raises(Refusal, match=r"epoch 0, step 1: the loss is nan.*--replay-step 0:1"):
        train(run)
    assert {path.name: path.read_text(encoding="utf-8") for path in whole.iterdir()} == {
        FAULT_FILE: "of the run"
    }


def test_a_run_that_has_ended_is_replayed_all_the_same(monkeypatch, capsys, tmp_path):
    run = Regression(tmp_path).run()._replace(ended=lambda: True)
    assert train(run, Position(1, 0)) == 0
    assert replay(monkeypatch, run, "1:2", Position(1, 0)) == 0
    assert capsys.readouterr().out.startswith("epoch 1, step 2: finite")


def test_the_first_of_several_processes_is_let_say_why_the_run_ends(tmp_path):
    script = tmp_path / "slow_first.py"
    script.write_text(SLOW_FIRST, encoding="utf-8")
    has_torchrun = hasattr(torch.distributed, "elastic")
    launcher = ["torch.distributed.run"] if has_torchrun else ["torch.distributed.launch", "--use_env"]
    words = ["--nproc_per_node=2", "--master_port=%d" % free_port(), str(script)]
    run = subprocess.Popen(
        [sys.executable, "-m"] + launcher + words,
        env=dict(os.environ, PYTHONPATH=str(ROOT / "src"), OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES=""),
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    said = run.communicate(timeout=replay_step.SECONDS_TO_END)[1]  # until both have ended
    lines = [line for line in said.splitlines() if "said by" in line]
    assert len(lines) == 1 and "said by 0: training: epoch 0, step 0: the loss is nan" in lines[0], said
    assert run.returncode


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_beside_a_first_that_ends(processes):
    replay_step.wait_for_the_first()
    time.sleep(1)
    os._exit(3)


def wait_beside_a_first_that_hangs(processes):
    replay_step.SECONDS_TO_END = 0.5
    began = time.monotonic()
    try:
        replay_step.wait_for_the_first()
    except SystemExit as ended:
        os._exit(ended.code + 2 if 0.4 < time.monotonic() - began < 2.5 else 9)
    time.sleep(3)
    os._exit(3)


def test_the_others_end_with_the_first_and_do_not_wait_for_ever(tmp_path):
    began = time.monotonic()
    assert started(2, wait_beside_a_first_that_ends, tmp_path) == [3, 2]
    assert time.monotonic() - began < replay_step.SECONDS_TO_END / 2
    assert started(2, wait_beside_a_first_that_hangs, tmp_path) == [3, 4]
