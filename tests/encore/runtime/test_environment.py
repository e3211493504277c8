import pytest
import torch
from gpu import pretend

from encore.runtime import definition, environment
from encore.runtime.environment import Found, Torch, compare, deviations, table
from encore.runtime.refusal import Refusal

COMPILED = ("sm_37", "sm_70", "sm_75")
V100 = ("Tesla V100-SXM2-32GB", (7, 0))
AS_DEFINED = Found(
    "3.7.10",
    {"torch": "1.7.1+cu101", "numpy": "1.16.0", "faiss": "1.7.1", "six": "1.15.0"},
    Torch("10.1", "7.6.3", COMPILED, (V100,)),
    driver="535.104.05",
    shared_memory=(10**9, 2 * 10**9),
)


@pytest.fixture(autouse=True)
def locks(tmp_path, monkeypatch):
    monkeypatch.setattr(definition, "LOCKS", str(tmp_path))
    (tmp_path / "environments.yaml").write_text(
        'old:\n  python: ["3.7.10"]\n  cuda: "10.1"\n  cudnn: "7.6"\n  gpu: [V100]\n  capability: [sm_70]\n'
        '  compiled: [sm_70, sm_75]\n  driver: "418.39"\n  lock: old.txt\n'
        'any:\n  python: ["3.7", "3.11"]\n  lock: any.txt\n'
    )
    (tmp_path / "old.txt").write_text(
        "torch==1.7.1\nnumpy==1.16.0\nfaiss-gpu==1.7.1\nnvidia-x==1\ntriton==2\nsix==1.15.0\n"
    )
    (tmp_path / "old.in").write_text("torch==1.7.1\nnumpy==1.16.0\nfaiss-gpu\n")
    (tmp_path / "any.txt").write_text(
        "numpy==1 ; python_version < '3'\nnumpy==2 ; python_version >= '3'\n"
        "win==1 ; sys_platform == 'win32'\n"
    )
    (tmp_path / "any.in").write_text("numpy\n")
    return tmp_path


def states(found, name="old"):
    return {row.what: row.state for row in compare(name, found)}


def other_states(found, name="old"):
    return {what: state for what, state in states(found, name).items() if state != "ok"}


def test_an_environment_as_defined():
    rows = compare("old", AS_DEFINED)
    assert [row.what for row in rows] == [
        "Python", "CUDA", "cuDNN", "compiled for", "GPU", "capability", "driver", "shared memory",
        "faiss-gpu", "numpy", "torch", "six",
    ]  # fmt: skip
    assert not other_states(AS_DEFINED) and not deviations(rows)
    lines = table("old", rows)
    assert not any(line.startswith("six") for line in lines)
    assert lines[-2:] == ["and 1 more libraries as locked", "as defined"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"python": "3.7.16"}, {"Python"}),
        ({"python": "3.10.2"}, {"Python"}),
        ({"python": "3.7.100"}, {"Python"}),
        ({"driver": "410.48"}, {"driver"}),
        ({"libraries": dict(AS_DEFINED.libraries, numpy="1.19.5")}, {"numpy"}),
        ({"libraries": dict(AS_DEFINED.libraries, six="1.16.0")}, {"six"}),
        ({"libraries": {"torch": "1.7.1"}}, {"numpy", "faiss-gpu", "six"}),
        ({"torch": Torch("10.2", "7.6.5", COMPILED, (V100,))}, {"CUDA"}),
        ({"torch": Torch("10.1", "8.0.5", COMPILED, (V100,))}, {"cuDNN"}),
        ({"torch": Torch("10.1", "7.6.5", ("sm_60",), (V100,))}, {"compiled for"}),
        ({"torch": Torch("10.1", "7.6.5", COMPILED, (("Tesla T4", (7, 5)),))}, {"GPU", "capability"}),
        ({"torch": None, "torch_error": "libcudart.so: no such file"}, {"import torch"}),
    ],
)
def test_what_deviates(changes, expected):
    rows = deviations(compare("old", AS_DEFINED._replace(**changes)))
    assert {row.what for row in rows} == expected
    assert {row.state for row in rows} == {"deviates"}


def test_a_missing_library_is_named_and_shown_though_it_was_not_asked_for():
    rows = compare("old", AS_DEFINED._replace(libraries={"torch": "1.7.1"}))
    lines = table("old", rows)
    assert [line.split() for line in lines if line.startswith("six")] == [
        ["six", "1.15.0", "missing", "deviates"]
    ]
    assert lines[-1] == "not as defined: faiss-gpu, numpy, six"


def test_a_declared_stand_in_may_have_another_build_and_another_patch_of_python():
    found = AS_DEFINED._replace(python="3.7.16", torch=Torch("none", "none", (), ()), stand_in=True)
    assert other_states(found) == {
        "Python": "stand-in",
        "CUDA": "stand-in",
        "cuDNN": "stand-in",
        "compiled for": "stand-in",
        "GPU": "absent",
    }
    assert not deviations(compare("old", found))
    assert len(deviations(compare("old", found._replace(stand_in=False)))) == 4


def test_nothing_stands_in_for_another_torch_or_python():
    found = AS_DEFINED._replace(
        python="3.8.1", torch=Torch("10.2", "7.6.5", COMPILED, (V100,)), stand_in=True
    )
    found = found._replace(libraries=dict(found.libraries, torch="1.8.0"))
    assert other_states(found) == {"Python": "deviates", "CUDA": "deviates", "torch": "deviates"}


def test_no_gpu_fails_nothing_and_an_unknown_driver_neither():
    found = AS_DEFINED._replace(torch=Torch("10.1", "7.6.3", COMPILED, (), "no driver here"))
    assert other_states(found) == {"GPU": "absent"}
    assert [row.found for row in compare("old", found) if row.what == "GPU"] == ["none (no driver here)"]
    assert other_states(AS_DEFINED._replace(driver=None)) == {"driver": "absent"}


def test_a_device_that_the_hardware_rule_refuses():
    found = AS_DEFINED._replace(
        torch=Torch("10.1", "7.6.3", COMPILED, (("NVIDIA A100", (8, 0)),), objection="no code for sm_80")
    )
    rows = compare("old", found)
    assert other_states(found) == {"GPU": "deviates", "capability": "deviates", "hardware": "refused"}
    assert "hardware" in [row.what for row in deviations(rows)]
    # also where the definition asks for no GPU
    assert other_states(found._replace(libraries={"numpy": "2"}), "any") == {"hardware": "refused"}


def test_conditions_of_a_lock_hold_for_this_interpreter():
    assert states(Found("3.11.4", {"numpy": "2"}), "any") == {"Python": "ok", "numpy": "ok"}
    assert other_states(Found("3.12.0", {"numpy": "1"}), "any") == {"Python": "deviates", "numpy": "deviates"}


def test_an_unknown_name_is_refused():
    with pytest.raises(Refusal, match="new: no such environment; there are old, any"):
        compare("new", AS_DEFINED)


@pytest.mark.parametrize(
    ("number", "version"), [(7605, "7.6.5"), (8700, "8.7.0"), (91002, "9.10.2"), (None, "none"), (0, "none")]
)
def test_versions_of_cudnn(number, version):
    assert environment.cudnn_version(number) == version


def test_findings_of_this_interpreter(monkeypatch):
    monkeypatch.setenv("ENCORE_STAND_IN", "yes")
    pretend(monkeypatch, "NVIDIA A100", (8, 0), ["sm_70"], "11.1")
    found = environment.findings()
    assert found.libraries["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found.libraries["pytest"] == pytest.__version__
    assert found.torch.devices == (("NVIDIA A100", (8, 0)),) and found.torch.compiled == ("sm_70",)
    assert "NVIDIA A100: torch is compiled for sm_70" in found.torch.objection
    assert found.stand_in is True


def test_a_torch_that_cannot_be_imported_has_a_row(monkeypatch):
    monkeypatch.setitem(environment.sys.modules, "torch", None)
    found = environment.findings(load_torch=True)
    assert found.torch is None and "torch" in found.torch_error
    assert other_states(AS_DEFINED._replace(torch=None, torch_error="no libcudart")) == {
        "import torch": "deviates"
    }


def test_long_lists_are_cut():
    assert environment.listing(["a", "b", "c"], 2) == "a, b and 1 more"
    assert environment.listing(["a", "b"], 2) == "a, b"
