"""The examples for Slurm: sound, accepted by a real Slurm of two nodes on loopback, and what they start."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from checks.size import PROJECT
from tests.cluster_examples.loopback_slurm import LoopbackSlurm, missing
from tests.outside_programs import lacking

FOLDER = PROJECT / "cluster" / "slurm"
SCRIPTS = sorted(FOLDER.glob("*.sbatch"))
# stands for Python: notes how it was started, one file a task
START = """#!/bin/bash
printf '%s\\n' "$SLURM_NODEID" "$ENCORE_NETWORK" "$OMP_NUM_THREADS" "$PWD" "$@" >"$NOTES/$SLURM_NODEID.$$"
case "$*" in
  *--head*) exec python3 -c "import socket, sys, time
kept = socket.create_server(('127.0.0.1', int(sys.argv[1])))
time.sleep(60)" "$(printf '%s\\n' "$@" | grep -A1 -x -- --port | tail -n 1)" ;;
  *--address*) exec sleep 60 ;;
  *--cluster*) for _ in {1..300}; do [ "$(ls "$NOTES" | wc -l)" -lt 3 ] || break; sleep 0.1; done ;;
  *fail*) exit "$SLURM_NODEID" ;;
esac
"""
SMALL = ("--nodes=2", "--gpus-per-node=0", "--cpus-per-task=1", "--time=5")


@pytest.fixture(scope="module")
def slurm():
    reason = missing()
    if reason:
        lacking(reason)
    folder = Path(tempfile.mkdtemp(prefix="encore-slurm-"))
    try:
        with LoopbackSlurm(folder / "slurm") as running:
            yield running
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def project(tmp_path):
    """A folder like the project's, in which a fake Python notes its starts."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "mini").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "bin" / "in-image").write_text(START)
    (tmp_path / "bin" / "in-image").chmod(0o755)
    return tmp_path


def submit(slurm, project, script, *words, **variables):
    """Run a script to its end -> (its state, its log, the notes of each start)."""
    known = {"NOTES": str(project / "notes"), "OMP_NUM_THREADS": "", **variables}
    path = [str(FOLDER / script), *words]
    done = slurm.run("sbatch", *SMALL, "--parsable", "--output=log", *path, cwd=project, **known)
    assert done.returncode == 0, done.stdout
    job, deadline = done.stdout.split()[-1], time.monotonic() + 60
    while True:
        text = slurm.run("scontrol", "--oneliner", "show", "job", job).stdout
        state = text.partition("JobState=")[2].partition(" ")[0]
        if state not in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING"):
            break
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
    log = (project / "log").read_text() if (project / "log").exists() else ""
    notes = sorted(path.read_text().splitlines() for path in (project / "notes").iterdir())
    return state, log, notes


def test_both_examples_are_there_and_sound():
    assert [path.name for path in SCRIPTS] == ["ray.sbatch", "train.sbatch"]
    for path in SCRIPTS:
        assert os.access(path, os.X_OK)
        subprocess.run(["bash", "-n", path], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", *SCRIPTS], check=True)


@pytest.mark.parametrize("script", [path.name for path in SCRIPTS])
def test_slurm_accepts_it(slurm, script):
    done = slurm.run("sbatch", "--test-only", *SMALL, FOLDER / script, "stage", cwd=PROJECT)
    assert done.returncode == 0 and "to start at" in done.stdout, done.stdout


def test_slurm_refuses_what_no_node_has(slurm):
    done = slurm.run("sbatch", "--test-only", "--nodes=3", FOLDER / "train.sbatch", "stage", cwd=PROJECT)
    assert done.returncode != 0


@pytest.mark.parametrize(
    ("stage", "environment", "launcher"),
    [
        ("stages.isc_track2.train", "cuda101", ["torch.distributed.launch", "--use_env"]),
        ("stages.drip.train", "cuda118", ["torch.distributed.run", "--max_restarts", "0"]),
    ],
)
def test_a_training_starts_once_on_each_machine(slurm, project, stage, environment, launcher):
    known = {"ENCORE_SIZE": "mini", "ENCORE_PROCESSES": "2", "CUDA_VISIBLE_DEVICES": ""}
    state, log, notes = submit(slurm, project, "train.sbatch", stage, "a b", **known)
    assert state == "COMPLETED", log
    assert [note[0] for note in notes] == ["0", "1"]
    for note in notes:
        assert note[1:4] == ["host", "1", str(project / "mini")]
        assert note[4:8] == [environment, "python", "-m", launcher[0]]
        words = note[8:]
        assert words[: len(launcher) - 1] == launcher[1:]
        options = dict(zip(words, words[1:], strict=False))
        assert (options["--nnodes"], options["--nproc_per_node"]) == ("2", "2")
        assert options["--node_rank"] == note[0] and options["--master_addr"] == "127.0.0.1"
        assert words[-3:] == ["-m", stage, "a b"]
    ports = {note[note.index("--master_port") + 1] for note in notes}
    assert len(ports) == 1 and 20000 <= int(ports.pop()) < 40000


def test_a_machine_that_fails_ends_the_job(slurm, project):
    state, log, _ = submit(slurm, project, "train.sbatch", "stages.fail")
    assert state == "FAILED", log


def test_ray_has_a_head_the_other_machine_and_the_stage(slurm, project):
    state, log, notes = submit(slurm, project, "ray.sbatch", "-m", "stages.isc_track2.generate")
    assert state == "COMPLETED", log
    head, stage, other = sorted(notes, key=lambda note: ("--address" in note, "--head" not in note))
    assert "--head" in head and head[head.index("--include-dashboard") + 1] == "false"
    address = f"127.0.0.1:{head[head.index('--port') + 1]}"
    assert other[other.index("--address") + 1] == address and other[0] == "0"
    assert stage[4:] == ["cuda101-ray", "python", "-m", "stages.isc_track2.generate", "--cluster", address]


@pytest.mark.parametrize(
    ("words", "said"), [(["train.sbatch"], "which stage?"), (["ray.sbatch", "-m"], "which stage?")]
)
def test_what_they_refuse(project, words, said):
    done = subprocess.run(
        [FOLDER / words[0], *words[1:]],
        env={**os.environ, "SLURM_SUBMIT_DIR": str(project)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stderr.startswith("encore: ") and said in done.stderr
    elsewhere = {**os.environ, "SLURM_SUBMIT_DIR": "/nonexistent"}
    done = subprocess.run([FOLDER / words[0]], env=elsewhere, capture_output=True, text=True)
    assert done.returncode == 2 and "is not the project's folder" in done.stderr
