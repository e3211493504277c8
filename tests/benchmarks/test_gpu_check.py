"""The check of a GPU, run on the CPU: what it counts, what it catches, what it says where it cannot run."""

import json
import math
import os
import subprocess
import sys

import pytest
import torch

from benchmarks.gpu_check import (
    canary,
    hardware_rule,
    parts,
    record,
    replicas,
    table,
)
from benchmarks.gpu_check.__main__ import main
from benchmarks.gpu_check.agreement import CPU
from benchmarks.gpu_check.arithmetic import MODES
from benchmarks.gpu_check.check import Check, Found
from benchmarks.gpu_check.systems import SYSTEMS
from encore.runtime.refusal import Refusal

GPU = torch.device("cuda", 0)
NOT_NEEDED = ("yaml", "h5py", "tqdm", "torchvision", "skimage", "sklearn", "scipy", "pandas", "tensorboard")
KEYS = {
    "format",
    "date",
    "device",
    "kind",
    "quick",
    "hardware",
    "environment",
    "canary",
    "checks",
    "throughput",
    "not_run",
    "passed",
    "seconds",
}


@pytest.fixture(scope="module")
def dry_run(tmp_path_factory):
    """(exit status, stdout, record) of a run on the CPU where libraries that nobody must have are missing."""
    path = tmp_path_factory.mktemp("gpu_check") / "new" / "cpu.json"
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys({!r}))\n"
        "from benchmarks.gpu_check.__main__ import main\n"
        "sys.exit(main(['--device', 'cpu', '--quick', '--output', {!r}]))"
    ).format(NOT_NEEDED, str(path))
    paths = os.pathsep.join((str(replicas.ROOT / "src"), str(replicas.ROOT)))
    environment = dict(os.environ, PYTHONPATH=paths, OMP_NUM_THREADS="1")
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
    return done.returncode, done.stdout.decode(), json.loads(path.read_text())


def test_a_run_on_the_cpu_passes_every_check(dry_run):
    status, output, found = dry_run
    failed = [check["name"] for check in found["checks"] if not check["passed"]]
    assert (status, failed, found["not_run"]) == (0, [], [])
    assert set(found) == KEYS and found["kind"] == "cpu" and found["quick"]
    names = " ".join(check["name"] for check in found["checks"])
    for part in ("canary", "isc_track2, float64", "isc_track2, float32", "2 processes against one"):
        assert part in names
    assert "all passed" in output and "images/s" in output
    assert {"torch", "numpy", "PIL"} <= set(found["environment"]["libraries"])


def test_every_mode_is_measured_and_one_is_for_claims(dry_run):
    figures = dry_run[2]["throughput"]
    assert {(figure["task"], figure["mode"]) for figure in figures} == {
        (task, mode.name) for task in ("training", "extraction") for mode in MODES
    }
    assert {figure["mode"] for figure in figures if figure["for_claims"]} == {"exact float32"}
    assert dry_run[1].count("not for claims") == 4
    for figure in figures:
        rate = figure["images_per_second"]
        assert figure["images_per_second_lowest"] <= rate <= figure["images_per_second_highest"]
        assert figure["tflop_per_second"] == pytest.approx(rate * figure["gflop_per_image"] / 1000)
        assert figure["share_of_peak"] == pytest.approx(
            figure["tflop_per_second"] / figure["peak_tflop_per_second"]
        )
        assert figure["peak_memory_bytes"] is None


# The canary and the hardware rule.


def test_a_drifted_canary_fails(monkeypatch):
    rows = [{"operation": name, "verdict": verdict} for name, verdict in (("a", "drifted"), ("b", "within"))]
    monkeypatch.setattr(canary.canary, "run", lambda device: {"verdict": "drifted", "rows": rows})
    found = canary.check_canary(CPU)
    assert not found.checks[0].passed and found.checks[0].note == "a"
    assert found.figures["canary"]["verdict"] == "drifted"


@pytest.fixture
def new_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.delenv("ENCORE_ACCEPT_HARDWARE", raising=False)


def test_a_torch_without_code_for_the_gpu_is_refused(new_gpu, monkeypatch):
    monkeypatch.setattr(hardware_rule.hardware, "compiled", lambda torch: ["sm_70", "sm_86"])
    with pytest.raises(Refusal, match="NVIDIA H200: .*sm_70 sm_86 .*no code for sm_90"):
        hardware_rule.rule(GPU)
    monkeypatch.setenv("ENCORE_ACCEPT_HARDWARE", "1")
    accepted = hardware_rule.rule(GPU)
    assert not accepted["covered"] and accepted["verdict"].startswith("accepted by the user against the rule")


def test_a_torch_with_code_for_the_gpu_runs(new_gpu, monkeypatch):
    monkeypatch.setattr(hardware_rule.hardware, "compiled", lambda torch: ["sm_80", "sm_90"])
    assert hardware_rule.rule(GPU) == {
        "architectures": ["sm_80", "sm_90"],
        "capability": "sm_90",
        "covered": True,
        "verdict": "torch, compiled for sm_80 sm_90, runs on sm_90",
    }


# What cannot be run, and the record.


def test_a_missing_library_leaves_its_part_not_run():
    wrong = parts.Part("training steps of x", ("numpy", "no_such_library"), lambda device, quick: 1 / 0)
    right = parts.Part("y", ("numpy",), lambda device, quick: Found((Check("y", 0.0, 0.0, ""),)))
    found = record.examine(CPU, True, lambda line: None, [wrong, right])
    assert found["not_run"] == [{"what": "training steps of x", "why": "lacks no_such_library"}]
    assert [check["name"] for check in found["checks"]] == ["y"] and found["passed"]
    assert "not run  training steps of x: lacks no_such_library" in "\n".join(table.lines(found))


def test_a_library_that_cannot_be_found_is_missing(monkeypatch):
    assert parts.missing(SYSTEMS[0].libraries) == ""
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert parts.missing(SYSTEMS[0].libraries) == "PIL"


def test_a_failed_check_is_status_1_and_in_the_table(monkeypatch, tmp_path, capsys):
    bad = parts.Part("x", (), lambda device, quick: Found((Check("x: losses", math.inf, 1e-10, ""),)))
    whole = record.examine
    monkeypatch.setattr(record, "examine", lambda device, quick, say: whole(device, quick, say, [bad]))
    path = tmp_path / "cpu.json"
    assert main(["--device", "cpu", "--quick", "--output", str(path)]) == 1
    assert "FAIL  x: losses  inf (at most 1e-10)" in capsys.readouterr().out
    assert not json.loads(path.read_text())["passed"]


def test_without_a_gpu_one_line_and_status_0(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "finds no GPU here, nothing was checked; with one this compares" in line


def test_without_torch_one_line_and_status_2(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "has no torch: choose a Python that has it with GPU_PYTHON=" in line


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--device", "cuda"], "finds no GPU"),
        (["--device", "cpu"], "add --quick"),
        (["--device", "cpu", "--quick", "--output", "."], "no record can be written there"),
        (["--device", "cpu", "--quick", "--output", "/dev/null/x.json"], "no record can be written there"),
    ],
)
def test_what_cannot_end_well_is_refused_before_it_starts(arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(record, "examine", None)
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("encore: ") and said in line


def test_the_record_is_named_after_the_device():
    assert record.record_path("NVIDIA H200").name == "gpu-nvidia-h200.json"
    assert record.record_path("Tesla V100-SXM2 (32GB)").name == "gpu-tesla-v100-sxm2-32gb.json"
    assert record.record_path("x").parent == replicas.ROOT / "benchmarks"


def test_a_record_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "gpu.json"
    record.write(path, {"passed": True})
    with pytest.raises(ValueError):
        record.write(path, {"passed": math.nan})
    assert json.loads(path.read_text()) == {"passed": True}
    assert [file.name for file in tmp_path.iterdir()] == ["gpu.json"]
