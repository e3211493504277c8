import json
import os
import shutil
import subprocess
import sys

import pytest
from gpu import pretend

from encore.runtime import shared_memory
from encore.runtime.numerics import exact
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, needed, run_stage, stage_parser, work_path


class Written:
    """What a stage may write as its evidence."""

    def write(self, path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").close()


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("encore.runtime.outside_fault.say_once", lambda: None)  # for a process of its own


def test_records_and_publishes():
    with Stage("demo", "make", item="a", seed=4) as stage:
        work = stage.work_folder("f" * 64)
        with open(os.path.join(work, "file"), "w") as file:
            file.write("x")
        stage.publish(work, "data/out")
        stage.metrics({"count": 1})
        stage.evidence(Written())
        stage.evidence(Written(), item="b")
    assert open("data/out/file").read() == "x"
    assert sorted(os.listdir("evidence/demo/make")) == ["a.npz", "b.npz"]
    assert json.load(open("metrics/demo/make/a.json")) == {"count": 1}
    fingerprint = json.load(open("fingerprints/demo/make/a.json"))
    assert fingerprint["seed"] == 4 and fingerprint["stage"] == "make" and fingerprint["wall_seconds"] >= 0
    assert os.listdir(".work/demo.make.a") == ["lock"]


def test_a_failed_run_keeps_its_work_and_the_old_output():
    with Stage("demo", "make") as stage:
        work = stage.work_folder("a" * 64)
        open(os.path.join(work, "old"), "w").close()
        stage.publish(work, "out")
    with pytest.raises(RuntimeError):
        with Stage("demo", "make") as stage:
            work = stage.work_folder("b" * 64)
            open(os.path.join(work, "half"), "w").close()
            open(os.path.join(work, "shard.tmp-99"), "w").close()
            raise RuntimeError("killed")
    assert os.listdir("out") == ["old"]
    with Stage("demo", "make") as stage:
        assert os.listdir(stage.work_folder("b" * 64)) == ["half"]
    with pytest.raises(RuntimeError):
        with Stage("demo", "make") as stage:
            assert os.listdir(stage.work_folder("c" * 64)) == []
            raise RuntimeError


def test_publish_replaces_folders_and_files_when_all_else_is_written():
    for text in ("one", "two"):
        os.makedirs("made")
        open("made/" + text, "w").close()
        open("plain", "w").write(text)
        os.makedirs("out.replaced-77", exist_ok=True)
        with Stage("demo", "make") as stage:
            stage.publish("made", "out")
            stage.publish("plain", "file")
            assert os.path.exists("made") and os.path.exists("plain")
    assert os.listdir("out") == ["two"] and open("file").read() == "two"
    assert sorted(os.listdir(".")) == [".work", "file", "fingerprints", "out"]


def test_an_error_after_publishing_loses_no_work():
    with pytest.raises(TypeError):
        with Stage("demo", "make") as stage:
            work = stage.work_folder("a" * 64)
            open(os.path.join(work, "days of work"), "w").close()
            stage.publish(work, "out")
            stage.metrics({"name": "no number"})
    assert not os.path.exists("out")
    with Stage("demo", "make") as stage:
        assert os.listdir(stage.work_folder("a" * 64)) == ["days of work"]


def test_work_of_other_code_is_not_taken_over(monkeypatch):
    before = work_path("demo", "make", "a" * 64)
    assert before == work_path("demo", "make", "a" * 64)
    monkeypatch.setattr("encore.runtime.stage.file_digest", lambda path: "changed")
    assert work_path("demo", "make", "a" * 64) != before


def test_disk_already_filled_counts():
    os.makedirs("work")
    with open("work/half", "wb") as file:
        file.truncate(10**12)
    with Stage("demo", "make") as stage:
        with pytest.raises(Refusal, match="needs 999000.0 GB"):
            stage.need_disk(10**15, "copies", "work")


def test_an_output_that_is_missing_is_named():
    with pytest.raises(Refusal, match="models/x.pth: missing: run the stage that makes it first"):
        needed("models/x.pth")


def test_a_second_run_is_refused_with_the_process_of_the_first():
    with Stage("demo", "make"):
        with pytest.raises(Refusal, match="process {} is running this stage".format(os.getpid())):
            with Stage("demo", "make"):
                pass


def test_metrics_must_be_numbers():
    with Stage("demo", "make") as stage:
        with pytest.raises(TypeError):
            stage.metrics({"name": "text"})
        with pytest.raises(ValueError):
            stage.metrics({"loss": float("nan")})


def test_missing_inputs_and_disk():
    with Stage("demo", "make") as stage:
        with pytest.raises(Refusal, match="inputs/photos.json: missing: run `encore data`"):
            stage.inputs("photos")
        with pytest.raises(Refusal, match="needs 1000000000.0 GB of disk for copies"):
            stage.need_disk(10**18, "copies")


def test_refusals_are_one_line(capsys):
    def refuse():
        raise Refusal("params.yaml: a.b: expected 1")

    with pytest.raises(SystemExit) as ended:
        run_stage(refuse)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "encore: params.yaml: a.b: expected 1\n"


def test_the_fingerprint_command_prints_json():
    output = subprocess.check_output(
        [sys.executable, "-m", "encore.runtime.fingerprint"],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    values = json.loads(output.decode())
    assert values["python"] == ".".join(str(part) for part in sys.version_info[:3])


def test_full_shared_memory_is_refused_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(shared_memory, "PLACE", str(tmp_path))
    usage = type(shutil.disk_usage("."))(total=64 * 10**6, used=63 * 10**6, free=10**6)
    monkeypatch.setattr(shared_memory.shutil, "disk_usage", lambda place: usage)
    with Stage("demo", "make") as stage:
        stage.need_shared_memory(10**6, "batches")
        with pytest.raises(Refusal) as refused:
            stage.need_shared_memory(16 * 10**8, "batches")
    text = str(refused.value)
    assert "needs 1.600 GB of shared memory for batches, 0.001 of 0.064 GB of /dev/shm are free" in text
    assert "--shm-size (ENCORE_SHM_SIZE)" in text and "\n" not in text


def test_without_shared_memory_nothing_is_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(shared_memory, "PLACE", str(tmp_path / "none"))
    with Stage("demo", "make") as stage:
        stage.need_shared_memory(10**18, "batches")


def record():
    return json.load(open("fingerprints/demo/make.json"))


def test_a_device_without_code_is_refused_before_anything_is_made(monkeypatch):
    pretend(monkeypatch, "NVIDIA A100", (8, 0), ["sm_70"], "11.1")
    with pytest.raises(Refusal) as refused:
        with Stage("demo", "make"):
            pytest.fail("the stage has started")
    text = str(refused.value)
    assert text.startswith("make: NVIDIA A100: torch is compiled for sm_70 and has no code for sm_80; ")
    assert "environments that run there: cuda118 (CUDA 11.8)" in text and "--accept-hardware" in text
    assert "\n" not in text and os.listdir(".") == []


def test_a_device_that_suits_is_not_mentioned(monkeypatch, capsys):
    pretend(monkeypatch, "Tesla V100", (7, 0), ["sm_70"], "10.1")
    with Stage("demo", "make"):
        pass
    assert "hardware_objection" not in record() and capsys.readouterr().err == ""


def test_accepted_hardware_is_recorded(monkeypatch, capsys):
    monkeypatch.setenv("ENCORE_ACCEPT_HARDWARE", "0")
    pretend(monkeypatch, "NVIDIA A100", (8, 0), ["sm_70"], "11.1")
    assert stage_parser("").parse_args(["--accept-hardware"]).params == "params.yaml"
    assert os.environ["ENCORE_ACCEPT_HARDWARE"] == "1"
    with Stage("demo", "make"):
        pass
    assert record()["hardware_accepted"] is True and "sm_80" in record()["hardware_objection"]
    assert capsys.readouterr().err.startswith("encore: warning: hardware accepted: NVIDIA A100: ")


def test_the_flags_of_the_work_are_recorded_though_they_are_given_back():
    with Stage("demo", "make"):
        with exact():
            pass
    assert record()["numerics"]["cudnn_deterministic"] is True
    assert record()["numerics"]["tf32_matmul"] is False


def test_what_deviates_from_the_image_s_environment_is_recorded_and_said_once(monkeypatch, capsys):
    monkeypatch.setenv("ENCORE_ENVIRONMENT", "cuda101")
    monkeypatch.setattr("encore.runtime.environment._libraries", lambda: {"numpy": "1.19.5"})
    with Stage("demo", "make"):
        pass
    assert "numpy 1.19.5 instead of 1.16.0" in record()["environment_deviations"]
    error = capsys.readouterr().err
    assert error.startswith("encore: warning: environment cuda101 deviates: ") and error.count("\n") == 1


def test_an_environment_that_is_not_known_is_refused(monkeypatch):
    monkeypatch.setenv("ENCORE_ENVIRONMENT", "cuda999")
    with pytest.raises(Refusal, match="cuda999: no such environment"):
        with Stage("demo", "make"):
            pass


def test_a_full_disk_is_one_line(capsys):
    def stage():
        raise OSError(28, "No space left on device", "data/x")

    with pytest.raises(SystemExit) as ended:
        run_stage(stage)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("encore: data/x: the disk is full: make room; then run ")


def test_work_that_is_half_removed_is_not_gone_on_from(monkeypatch):
    with Stage("demo", "make") as stage:
        work = stage.work_folder("a" * 64)
        open(os.path.join(work, "whole"), "w").close()

        def killed(folder, **options):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("encore.runtime.stage.shutil.rmtree", killed)
            stage._forget_work()
        assert not os.path.exists(work)
    assert os.listdir(".work/demo.make") == ["lock"]
