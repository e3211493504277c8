import pytest

from encore.runtime import hardware

GPUS = {
    "GTX 1080": (6, 1),
    "V100": (7, 0),
    "T4": (7, 5),
    "A100": (8, 0),
    "RTX 4090": (8, 9),
    "H100": (9, 0),
    "B200": (10, 0),
}
TORCH_1_7 = ("10.2", "sm_37 sm_50 sm_60 sm_70 sm_75")
TORCH_1_7_CONDA = ("10.1", "sm_37 sm_50 sm_60 sm_61 sm_70 sm_75 compute_37")
TORCH_2_0 = ("11.7", "sm_37 sm_50 sm_60 sm_70 sm_75 sm_80 sm_86")
TORCH_2_0_CUDA_11_8 = ("11.8", "sm_37 sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90")
TODAY = ("13.0", "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120 compute_120")
WITH_PTX = ("12.1", "sm_80 compute_80")


@pytest.mark.parametrize(
    ("build", "running"),
    [
        (TORCH_1_7, ["GTX 1080", "V100", "T4"]),
        (TORCH_1_7_CONDA, ["GTX 1080", "V100", "T4"]),
        (TORCH_2_0, ["GTX 1080", "V100", "T4", "A100", "RTX 4090"]),
        (TORCH_2_0_CUDA_11_8, ["GTX 1080", "V100", "T4", "A100", "RTX 4090", "H100"]),
        (TODAY, ["T4", "A100", "RTX 4090", "H100", "B200"]),
        (WITH_PTX, ["A100", "RTX 4090", "H100", "B200"]),
    ],
)
def test_where_each_build_of_torch_runs(build, running):
    cuda, compiled = build
    found = [
        name for name, number in GPUS.items() if hardware.objection(compiled.split(), number, cuda) is None
    ]
    assert found == running


@pytest.mark.parametrize(
    ("architecture", "capability", "expected"),
    [
        ("sm_70", (7, 0), True),
        ("sm_75", (7, 0), False),  # 5 is above the device's 0
        ("sm_70", (8, 0), False),  # another major number
        ("compute_70", (8, 0), True),
        ("compute_70", (7, 0), True),
        ("compute_75", (7, 0), False),
        ("sm_90a", (9, 0), True),
        ("sm_100a", (10, 3), False),
        ("sm_120", (12, 1), True),
        ("compute_90", (12, 0), True),
        ("gfx906", (9, 0), False),
    ],
)
def test_one_architecture_on_one_device(architecture, capability, expected):
    assert hardware.runs(architecture, capability) is expected


def test_cuda_11_0_is_refused_by_name_even_with_code_for_the_device():
    text = hardware.objection(["sm_70", "sm_80"], (7, 0), "11.0")
    assert text.startswith("CUDA 11.0 gives wrong results")
    assert text.endswith(
        "environments that run there: cuda101 (CUDA 10.1), cuda101-pandas (CUDA 10.1), "
        "cuda101-ray (CUDA 10.1), cuda118 (CUDA 11.8), cuda118-ray (CUDA 11.8)"
    )


def test_cuda_10_is_refused_by_name_on_what_came_after_it():
    text = hardware.objection(["sm_70", "compute_37"], (8, 0), "10.1")
    assert text == (
        "CUDA 10.1 has no libraries for sm_80; environments that run there: cuda118 (CUDA 11.8), "
        "cuda118-ray (CUDA 11.8)"
    )


@pytest.mark.parametrize(
    ("capability", "suggestion"),
    [
        ((8, 9), "environments that run there: cuda118 (CUDA 11.8), cuda118-ray (CUDA 11.8)"),
        ((10, 0), "no pinned environment runs there, today's torch (environment cpu) may"),
    ],
)
def test_the_objection_names_the_environment_that_would_run(capability, suggestion):
    text = hardware.objection(["sm_70"], capability, "11.1")
    assert text == "torch is compiled for sm_70 and has no code for {}; {}".format(
        hardware.architecture_name(capability), suggestion
    )


def test_torch_that_does_not_say_what_it_is_compiled_for():
    assert "does not say what it is compiled for" in hardware.objection([], (7, 0), "9.2")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  418.39  Sat Feb  9 19:19:37 CST 2019", "418.39"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build", "570.86.15"),
        ("535.104.05", "535.104.05"),
        ("unknown", None),
        (None, None),
    ],
)
def test_the_version_of_a_driver(text, version):
    assert hardware.driver_version(text) == version
