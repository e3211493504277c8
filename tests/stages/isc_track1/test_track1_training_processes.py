"""The training stage on two real processes: undisturbed, killed as a whole and started again, refused."""

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml

from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.systems.isc_track1.backbones import weights_name
from encore.training import checkpoint, checkpoint_files
from stages.isc_track1 import generate, train
from tests.encore.killed_run import assert_same_bits

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
RUN = ("baseline_CC", "50")
LENGTH = dict(epochs=2, iterations=16, save_every=4)
STEPS = [(epoch, step) for epoch in range(2) for step in range(16)]
LOGS = "models/isc_track1/logs/baseline_CC/50"
STRIPPED = "models/isc_track1/stripped/all/baseline_CC-50/" + weights_name(*RUN)


@pytest.fixture
def folder_of(size, stage, tmp_path):
    """A copy of the size's folder, with its training set, whose trainings start so many processes."""
    if not os.path.isdir(str(size / "data")):
        stage(generate, RUN[0])

    def copy(processes, **values):
        folder = tmp_path / str(len(os.listdir(str(tmp_path))))
        shutil.copytree(str(size), str(folder))
        parameters = yaml.safe_load((folder / "params.yaml").read_text())
        parameters["isc_track1"]["train"].update(LENGTH, processes=processes, **values)
        (folder / "params.yaml").write_text(yaml.safe_dump(parameters))
        return folder

    return copy


def start(folder, **variables):
    """Start the stage as the leader of a process group of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in ("WORLD_SIZE", "RANK")}
    environment.update(variables, OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
    environment["PYTHONPATH"] = os.pathsep.join([os.path.join(ROOT, "src"), ROOT])
    return subprocess.Popen(
        [sys.executable, "-m", "stages.isc_track1.train"] + list(RUN),
        cwd=str(folder),
        env=environment,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        start_new_session=True,
    )


def finish(run):
    """(Status, what it said) once it has ended; a run that hangs is ended."""
    try:
        said = run.communicate(timeout=120)[1]
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        raise
    return run.returncode, said


def work_checkpoints(folder):
    return glob.glob(str(folder / ".work" / "isc_track1.train.baseline_CC-50" / "*" / "work_*.pth.tar"))


def kill_within_the_first_epoch(run, folder):
    """Kill all processes of a run as soon as it has written a checkpoint within an epoch."""
    while run.poll() is None and not work_checkpoints(folder):
        time.sleep(0.005)
    assert run.poll() is None, run.communicate()[1]
    os.killpg(run.pid, signal.SIGKILL)
    assert finish(run)[0] == -signal.SIGKILL
    assert work_checkpoints(folder) and not (folder / LOGS).exists()
    found = checkpoint.find_newest(os.path.dirname(work_checkpoints(folder)[0]))
    return checkpoint_files.position_of(checkpoint.load(found))


def history(folder):
    return [json.loads(line) for line in (folder / LOGS / "history.jsonl").read_text().splitlines()]


def assert_same_results(found, expected):
    for epoch in range(2):
        name = "{}/checkpoint_{}.pth.tar".format(LOGS, epoch)
        assert_same_bits(*(checkpoint.load(str(folder / name)) for folder in (found, expected)))
    assert_same_bits(*(safe_load(str(folder / STRIPPED)) for folder in (found, expected)))
    assert history(found) == history(expected)


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_two_processes_killed_and_started_again_end_in_the_bits_of_undisturbed_ones(
    folder_of, stage, monkeypatch, one_thread
):
    alone, undisturbed, killed = folder_of(1), folder_of(2), folder_of(2)
    monkeypatch.chdir(alone)
    stage(train, " ".join(RUN))
    status, said = finish(start(undisturbed))
    assert status == 0, said
    position = kill_within_the_first_epoch(start(killed), killed)
    assert position.epoch == 0 and position.step in (4, 8, 12)
    status, said = finish(start(killed))
    assert status == 0, said
    assert [(line["epoch"], line["step"]) for line in history(undisturbed)] == STEPS
    assert_same_results(killed, undisturbed)
    assert_same_results(undisturbed, alone)


@pytest.mark.parametrize(
    "processes, values, named",
    [
        (3, {}, "isc_track1.train.processes: expected one of 1, 2, 4, found 3"),
        (2, dict(replicas=1), "1 replicas or blocks cannot be shared by 2 processes"),
        (2, dict(replicas=6, batch=24), "sums keep their order: set isc_track1.train.processes,"),
    ],
)
def test_shares_that_do_not_fit_are_refused_before_a_process_is_started(
    folder_of, stage, monkeypatch, processes, values, named
):
    folder = folder_of(processes, **values)
    monkeypatch.chdir(folder)
    with pytest.raises(Refusal) as refused:
        stage(train, " ".join(RUN))
    assert named in str(refused.value) and "\n" not in str(refused.value)
    assert not (folder / ".work" / "isc_track1.train.baseline_CC-50").exists()
