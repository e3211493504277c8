"""bin/pipeline, which runs stages several at a time, and bin/on-free-gpu, which shares out the GPUs."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from tests.bin.pipeline_project import NEEDED, Pipelines, most_at_once, stages_of
from tests.bin.scripts import copy_of, refusal, run, small_environment

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make, as `make mini` does")


@pytest.fixture
def project(tmp_path):
    return Pipelines(tmp_path)


@pytest.fixture
def gpus(tmp_path):
    """on-free-gpu and the folder of its locks."""
    (tmp_path / "locks").mkdir()
    return copy_of("bin/on-free-gpu", tmp_path), tmp_path / "locks"


@pytest.mark.parametrize("jobs", [1, 3])
def test_as_many_stages_at_a_time_as_asked_for(project, jobs):
    result, log = project.run("pipeline", "--jobs", jobs, prefix="")
    assert result.returncode == 0, result.stderr
    made = stages_of(log, "dvc.yaml")
    assert sorted(name for act, name, _ in made if act == "start") == sorted(NEEDED)
    assert most_at_once(made) == min(jobs, 2)  # no more than two stages of this graph can run at once


def test_two_gpus_run_two_stages_each_on_its_own(project):
    result, log = project.run("pipeline", "--gpus", "0,3", "mini/dvc.yaml", ENCORE_GPUS="all")
    assert result.returncode == 0, result.stderr
    made = stages_of(log)
    assert most_at_once(made) == 2
    held = set()
    for act, _, gpu in made:
        assert gpu in ("0", "3") and (gpu in held) == (act == "end")
        held ^= {gpu}
    trained = {gpu for act, name, gpu in made if act == "start" and name.startswith("train")}
    assert trained == {"0", "3"}


@pytest.mark.parametrize(("shared", "words"), [("group", ["repro", "--no-run-cache"]), ("", ["repro"])])
def test_in_a_shared_cache_no_stage_asks_for_the_runs_of_others(project, shared, words):
    result, log = project.run("pipeline", "--jobs", "2", prefix="", SHARED=shared)
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in log if "--single-item" in line]
    assert len(lines) == 2 * len(NEEDED)
    assert all(line[2 : line.index("--single-item")] == words for line in lines)


def test_one_gpu_runs_one_stage_at_a_time(project):
    made = stages_of(project.run("pipeline", "--gpus", "1", "mini/dvc.yaml")[1])
    assert most_at_once(made) == 1 and {gpu for _, _, gpu in made} == {"1"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "usage"),
        (["--jobs", "0"], "--jobs 0"),
        (["--jobs", "two"], "--jobs two"),
        (["--gpus", "0,"], "--gpus 0,"),
        (["--gpus", "0;reboot"], "--gpus 0;reboot"),
        (["--gpus", "1,0,1"], "names a GPU twice"),
        (["--jobs", "2", "other/dvc.yaml"], "other/dvc.yaml: no such pipeline"),
        (["2", "mini/dvc.yaml"], "usage"),
    ],
)
def test_what_it_refuses(project, words, said):
    result, log = project.run("pipeline", *words)
    assert said in refusal(result) and log == []


def test_a_gpu_is_free_again_when_its_command_was_killed(gpus):
    script, locks = gpus
    command = [str(script), str(locks), "7"]
    first = subprocess.Popen(command + ["sleep", "300"], env=small_environment())
    try:
        deadline = time.time() + 10
        while subprocess.call(["flock", "--nonblock", str(locks / "7.lock"), "true"]) == 0:
            assert time.time() < deadline, "the first command never took the GPU"
            time.sleep(0.02)
        second = subprocess.Popen(
            command + ["sh", "-c", "echo on $CUDA_VISIBLE_DEVICES"],
            env=small_environment(),
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )
        time.sleep(0.3)
        assert second.poll() is None  # it waits
    finally:
        first.kill()
        first.wait()
    assert second.communicate(timeout=10)[0] == "on 7\n"


def test_a_gpu_is_held_as_long_as_anything_that_its_command_started_runs(gpus):
    """dvc closes what it has open in the stages that it starts, and a stage may outlive a killed dvc."""
    script, locks = gpus
    is_free = ["flock", "--nonblock", str(locks / "7.lock"), "true"]
    inner = "setsid sh -c 'echo $$; exec sleep 300' 9>&- & wait"
    first = subprocess.Popen(
        [str(script), str(locks), "7", "sh", "-c", inner],
        env=small_environment(),
        stdout=subprocess.PIPE,
        universal_newlines=True,
        start_new_session=True,
    )
    left = int(first.stdout.readline())
    try:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        time.sleep(1)
        assert subprocess.call(is_free) == 1
    finally:
        os.kill(left, signal.SIGKILL)
        first.stdout.close()
    deadline = time.time() + 10
    while subprocess.call(is_free):
        assert time.time() < deadline, "the GPU never became free"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("words", "said"), [(["0"], "usage"), (["/nonexistent", "0", "true"], "no such folder")]
)
def test_what_the_share_out_refuses(gpus, words, said):
    assert said in refusal(run(gpus[0], *words))
