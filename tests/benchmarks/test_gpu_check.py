"""The check of a GPU, run on the CPU: what it counts, what it catches, what it says where it cannot run."""

import dataclasses
import json
import math
import os
import subprocess
import sys

import pytest
import torch
import torch.nn as nn

from benchmarks.gpu_check import (
    agreement,
    canary,
    hardware_rule,
    isc_track2,
    parts,
    record,
    replicas,
    table,
    throughput,
)
from benchmarks.gpu_check.__main__ import main
from benchmarks.gpu_check.agreement import CPU, Steps, compare, errors
from benchmarks.gpu_check.arithmetic import EXACT, MODES, arithmetic, missing_unit
from benchmarks.gpu_check.check import Check, Found
from benchmarks.gpu_check.multiply_adds import multiply_adds
from benchmarks.gpu_check.systems import SYSTEMS
from encore.models.resnet import ResNet
from encore.runtime.refusal import Refusal
from encore.training import class_parallel

SHORT = dataclasses.replace(isc_track2.RECIPE, iterations=2)
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


# Multiply-adds by formula.


def test_multiply_adds_by_hand():
    def network():
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),  # 4 x 4 x 8 outputs of 3 x 3 x 3
            nn.BatchNorm2d(8),
            nn.Conv2d(8, 8, (1, 3), padding=(0, 1), groups=4),  # 4 x 4 x 8 outputs of 1 x 3 x 2
            nn.Flatten(),
            nn.Linear(128, 10),
        )

    assert multiply_adds(network, 8, 8) == 128 * 27 + 128 * 6 + 1280


def test_multiply_adds_of_resnet50():
    # 4.09 billion, as reported for 224 x 224: the first layer alone is 112 x 112 x 64 x 147
    assert multiply_adds(ResNet, 224, 224) == 4089184256


def test_multiply_adds_of_one_stage_by_hand():
    # sides: 8, 4 after the first layer, 2 after pooling and layer1, 1 from layer2 on
    def conv(inputs, outputs, kernel, side):
        return inputs * outputs * kernel**2 * side**2

    stages = ((4, 4, 16, 2, 2), (16, 8, 32, 2, 1), (32, 16, 64, 1, 1), (64, 32, 128, 1, 1))
    total = conv(3, 4, 7, 4)
    for inputs, width, outputs, before, after in stages:
        total += conv(inputs, width, 1, before) + conv(width, width, 3, after)
        total += conv(width, outputs, 1, after) + conv(inputs, outputs, 1, after)
    assert multiply_adds(lambda: ResNet((1, 1, 1, 1), 4, 1, None), 8, 8) == total


def test_operations_of_the_published_training_step():
    found = throughput.flops(throughput.PUBLISHED)
    backbone = multiply_adds(lambda: ResNet(last_stride=1, classes=None), 256, 256)
    heads = 2048 * 4096 + 4096 * 8192 + 8192 * 256
    assert found["extraction"] == 2 * (backbone + heads)
    assert found["training"] == 6 * (backbone + heads + (8192 + 256) * 100000)


# Agreement of training steps.


def tf32(tensor):
    """float32 rounded to TF32's 10 bits of mantissa, with the gradient of the identity."""
    bits = tensor.detach().contiguous().view(torch.int32)
    return tensor + (((bits + 0x1000) & ~0x1FFF).view(torch.float32) - tensor).detach()


def with_tf32(steps, monkeypatch):
    def rounded(function):
        def call(images, weight, *arguments):
            short = images.dtype == torch.float32
            return function(*((tf32(images), tf32(weight)) if short else (images, weight)), *arguments)

        return call

    with monkeypatch.context() as patched:
        for name in ("conv2d", "linear"):
            patched.setattr(nn.functional, name, rounded(getattr(nn.functional, name)))
        return steps()


def on_device(perturbed):
    """Track 2's steps of which those on the "device" (after the two on the CPU) are `perturbed`."""
    calls = []

    def training_steps(device, dtype):
        calls.append(dtype)
        return (perturbed if len(calls) > 2 else isc_track2.training_steps)(device, dtype, SHORT)

    return training_steps


def failed(found):
    return {check.name.split("isc_track2, ")[1] for check in found.checks if not check.passed}


def test_the_same_steps_agree():
    found = compare("isc_track2", on_device(isc_track2.training_steps), CPU)
    assert len(found.checks) == 6 and failed(found) == set()


def test_rounding_to_tf32_fails_in_float32(monkeypatch):
    def perturbed(*arguments):
        return with_tf32(lambda: isc_track2.training_steps(*arguments), monkeypatch)

    found = failed(compare("isc_track2", on_device(perturbed), CPU))
    assert found >= {"float32: losses", "float32: gradients"} and "float64" not in " ".join(found)


def test_another_learning_rate_fails():
    def perturbed(device, dtype, recipe):
        rate = recipe.learning_rate * (1 + 1e-6)
        return isc_track2.training_steps(device, dtype, dataclasses.replace(recipe, learning_rate=rate))

    assert "float64: weights" in failed(compare("isc_track2", on_device(perturbed), CPU))


def test_a_loss_that_is_not_finite_fails_and_says_so():
    def perturbed(device, dtype, recipe):
        raise Refusal("the loss of epoch 5, step 0 is nan")

    found = compare("isc_track2", on_device(perturbed), CPU)
    assert len(failed(found)) == 6 and found.checks[0].note == "the loss of epoch 5, step 0 is nan"
    assert found.checks[0].entry()["found"] == "nan"


def test_errors_by_hand_and_of_nan():
    def steps(losses, weights):
        weights = {"w": torch.tensor(weights).double()}
        return Steps(torch.tensor(losses).double(), weights, {"w": torch.zeros(2).double()}, weights)

    truth = steps([2.0, 4.0], [3.0, 4.0])
    found = errors(steps([2.0, 5.0], [3.0, 5.0]), truth)
    assert found == pytest.approx((0.25, 0.2, 0.2))
    assert all(math.isnan(error) for error in errors(steps([2.0, math.nan], [3.0, math.nan]), truth))
    with pytest.raises(ValueError, match="same tensors.*'v'"):
        agreement.distance({"v": truth.losses}, {"w": truth.losses})


def test_a_number_that_is_none_never_passes():
    assert Check("", 1.0, 1.0, "").passed
    assert not Check("", math.nan, math.inf, "").passed and not Check("", 1.1, 1.0, "").passed


# Replicas.


def names_of_failed(found):
    return [check.name for check in found.checks if not check.passed]


@pytest.fixture
def no_processes(monkeypatch):
    passing = Check(replicas.TWO_PROCESSES, 0.0, replicas.BOUND, "")
    monkeypatch.setattr(replicas, "compare_processes", lambda kind, alone: passing)


def test_replicas_agree(no_processes):
    found = replicas.compare_replicas(CPU)
    assert len(found.checks) == 4 and names_of_failed(found) == []


def test_gradients_of_the_wrong_rows_fail(monkeypatch, no_processes):
    right = class_parallel.rows_of
    monkeypatch.setattr(class_parallel, "rows_of", lambda tensor, parts, i: right(tensor, parts, i ^ 1))
    assert names_of_failed(replicas.compare_replicas(CPU)) == [
        "replicas: class-parallel step against plain backpropagation"
    ]


def test_running_statistics_of_all_replicas_fail(monkeypatch, no_processes):
    right, calls = class_parallel.run_replicas, []

    def every_first(module, inputs, own, rngs=None):
        calls.append(module)
        device_turn = len(calls) > 3  # three parts of the network on the CPU come first
        return right(module, inputs, [0] * len(own) if device_turn else own, rngs)

    monkeypatch.setattr(class_parallel, "run_replicas", every_first)
    assert names_of_failed(replicas.compare_replicas(CPU)) == [
        "replicas: device against CPU: running statistics"
    ]


def test_one_gpu_leaves_two_processes_not_run(monkeypatch):
    one = replicas.Gradients({"w": torch.ones(1)}, {"m": torch.ones(1)})
    for name in ("class_parallel", "plain"):
        monkeypatch.setattr(replicas, name, lambda device: one)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    ((what, why),) = replicas.compare_replicas(GPU).not_run
    assert "2 processes" in what and why == "needs 2 GPUs, found 1"


@pytest.mark.parametrize(
    "code, patience, failure",
    [
        ("pass", 60, None),
        ("import os, sys; os.environ['RANK'] == '1' and sys.exit('no port')", 60, "process 1: no port"),
        ("import time; time.sleep(60)", 1, "no result within 1 s"),
    ],
)
def test_processes_that_fail_or_hang_are_reported(code, patience, failure, tmp_path):
    assert replicas.run_processes([sys.executable, "-c", code], str(tmp_path), patience) == failure


def test_failed_processes_fail_the_check(monkeypatch):
    monkeypatch.setattr(replicas, "run_processes", lambda command, folder: "process 0: broken")
    found = replicas.compare_processes("cpu", None)
    assert not found.passed and found.note == "process 0: broken"


# Throughput.


def test_too_little_memory_is_not_run(monkeypatch):
    def too_large(size, device):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(throughput, "training_call", too_large)
    found = throughput.measure(CPU, throughput.TINY)
    assert {figure["task"] for figure in found.figures["throughput"]} == {"extraction"}
    assert [tuple(reason) for reason in found.not_run] == [
        ("throughput of training", "the GPU's memory cannot hold a batch of 16")
    ]


def test_short_formats_need_a_unit_for_them(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    assert [missing_unit(mode, GPU) for mode in MODES] == [None] + ["needs sm_80, found sm_70"] * 2
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert [missing_unit(mode, GPU) for mode in MODES] == [None] * 3


def test_modes_set_and_give_back_the_flags():
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [flag.allow_tf32 for flag in flags]
    for mode in MODES:
        with arithmetic(mode, CPU):
            assert [flag.allow_tf32 for flag in flags] == [mode.tf32] * 2
            bf16 = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
            assert bf16 == mode.autocast
        assert [flag.allow_tf32 for flag in flags] == before
    assert [mode.for_claims for mode in MODES] == [mode is EXACT for mode in MODES]


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
