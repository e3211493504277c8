"""What is told of pre-training on several processes whose results differ, or which leave processes behind.

The launcher is a stand-in here; pre-training itself on several processes is tested with the systems.
"""

import pytest
import torch

from faults.processes import shared_run
from faults.processes.launched_run import Ended
from faults.processes.pretraining import (
    MOMENTUM2_STAGE,
    WITHIN,
    nearly,
    prepare_track1,
    prepare_track2,
    start_of_track2,
)

KINDS = ["2 processes, a worker killed, restarted by torchrun", "2 processes", "4 processes"]
KINDS += ["a worker killed, no restart", "NaN in one of 2 processes"]
LOST = "encore: another process of this run has ended or cannot be reached"
NAN = "encore: momentum2_teacher pre-training: epoch 1, step 1: the loss is nan"


class Launcher:
    """Stands for `run_stage_on`: writes what it is told to where the stage would leave its results."""

    def __init__(self, value=lambda count: "made", ended=lambda kind: (1, LOST, ())):
        self.value, self.ended = value, ended

    def __call__(self, count, folder, module, arguments, restarts=0, injected=None):
        kind = injected and injected[0]
        if kind is None or restarts:
            (folder / "made").write_text(self.value(count))
            return Ended(0, "", ())
        return Ended(*self.ended(kind))


def as_promised(kind):
    return (1, LOST, ()) if kind == "kill" else (1, NAN, ())


def rows(monkeypatch, launcher):
    monkeypatch.setattr(shared_run, "run_stage_on", launcher)
    left = lambda folder: {"made": (folder / "made").read_text()}  # noqa: E731
    stage = MOMENTUM2_STAGE._replace(prepare=lambda folder: None, left=left)
    found = list(shared_run.shared_rows(stage, full=True))
    assert [row.kind for row in found] == KINDS
    return {row.kind: row.losses for row in found}


def test_what_is_as_promised_is_survived(monkeypatch):
    assert not any(rows(monkeypatch, Launcher(ended=as_promised)).values())


def test_other_results_on_other_numbers_of_processes_are_told_of(monkeypatch):
    losses = rows(monkeypatch, Launcher(value=str, ended=as_promised))
    assert losses["4 processes"] == ("4 processes do not end where one does",)
    assert "does not end in the bits" in losses[KINDS[0]][0]


@pytest.mark.parametrize("ended", [(0, LOST, ()), (1, "", ()), (1, LOST, (17,))])
def test_a_lost_worker_that_is_not_told_of_or_leaves_processes_is_told_of(monkeypatch, ended):
    losses = rows(monkeypatch, Launcher(ended=lambda kind: ended))
    assert losses["a worker killed, no restart"] and losses["NaN in one of 2 processes"]


def moved(way, only=""):
    """What Barlow Twins starts with; floats whose name has `only` in it moved by `way`, counts to 6."""
    return {
        name: tensor.double() + way * (only in name) if tensor.is_floating_point() else torch.tensor(6)
        for name, tensor in start_of_track2().items()
    }


def test_the_bound_of_barlow_twins():
    whole = moved(1.0)
    assert nearly(moved(1 + 0.9 * WITHIN), whole) and not nearly(moved(1 + 1.1 * WITHIN), whole)
    for part in ("running_var", "conv1"):  # statistics and weights count apart
        assert not nearly(dict(whole, **{k: v + 0.1 for k, v in whole.items() if part in k}), whole)
    assert not nearly(dict(whole, **{"bn1.num_batches_tracked": torch.tensor(5)}), whole)
    assert not nearly({name + "_": tensor for name, tensor in whole.items()}, whole)
    assert not nearly(moved(1e-3), moved(0.0)), "what has not moved agrees with nothing"


@pytest.mark.parametrize("prepare", [prepare_track1, prepare_track2])
def test_a_size_is_prepared_whole(tmp_path, prepare):
    prepare(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"pictures", "inputs", "params.yaml"}
