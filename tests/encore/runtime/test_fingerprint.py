import glob
import json
import os
import platform
import shutil
import subprocess
import sys

import numpy
import pytest
from gpu import pretend

from encore.runtime import definition, numerics
from encore.runtime.fingerprint import fingerprint, machine, main, revision


def git(folder, *arguments):
    subprocess.run(
        ("git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c") + arguments,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def write(path, text):
    os.makedirs(os.path.dirname(str(path)), exist_ok=True)
    path.write_text(text)


def test_files_that_a_run_writes_do_not_make_it_dirty_but_code_does(tmp_path):
    code = ("src/encore/metrics/micro_ap.py", "checks/report/page.py")
    tracked = ("mini/dvc.lock", "mini/metrics/a.json") + code
    for name in tracked:
        write(tmp_path / name, "one")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "first")
    assert revision(str(tmp_path))["dirty"] is False and len(revision(str(tmp_path))["revision"]) == 40
    for name in tracked[:2]:
        write(tmp_path / name, "two")
    assert revision(str(tmp_path))["dirty"] is False
    for name in tracked[2:]:
        write(tmp_path / name, "two")
        assert revision(str(tmp_path))["dirty"] is True
        write(tmp_path / name, "one")


def test_without_git(tmp_path):
    assert revision(str(tmp_path)) == {"revision": "no git", "dirty": False}


def test_names_what_a_result_may_depend_on(monkeypatch):
    values = fingerprint()
    assert values["libraries"]["numpy"] == numpy.__version__
    assert {"python", "processor", "cores", "revision", "dirty", "image_digest"} <= set(values)
    monkeypatch.setenv("ENCORE_MACHINE", "a host")
    other = machine()
    assert other != values["machine"] and len(other) == 12


def test_names_how_torch_computes(monkeypatch):
    import torch

    monkeypatch.setattr(numerics, "_worked_with", {})  # as in a process that has not worked yet
    monkeypatch.setenv("ENCORE_ENVIRONMENT", "cuda101")
    values = fingerprint()
    assert values["environment"] == "cuda101" and values["stand_in"] is False
    assert values["cpu_capability"].strip() and values["compiled_for"]
    assert values["numerics"]["tf32_cudnn"] is torch.backends.cudnn.allow_tf32
    assert "hardware_objection" not in values


def test_names_the_gpu_and_what_speaks_against_it(monkeypatch):
    pretend(monkeypatch, "NVIDIA A100", (8, 0), ["sm_70"], "11.1")
    monkeypatch.setenv("ENCORE_ACCEPT_HARDWARE", "1")
    values = fingerprint()
    assert (values["device"], values["capability"]) == ("NVIDIA A100", "sm_80")
    assert values["compiled_for"] == "sm_70" and values["driver"]
    assert values["hardware_objection"].startswith("NVIDIA A100: torch is compiled for sm_70")
    assert values["hardware_accepted"] is True


@pytest.fixture
def own_environment(tmp_path, monkeypatch):
    """An environment `here` that this interpreter is."""
    monkeypatch.setattr(definition, "LOCKS", str(tmp_path))
    python = ".".join(map(str, sys.version_info[:2]))
    write(tmp_path / "environments.yaml", 'here:\n  python: ["{}"]\n  lock: here.txt\n'.format(python))
    write(tmp_path / "here.txt", "pytest=={}\n".format(pytest.__version__))
    write(tmp_path / "here.in", "pytest\n")
    return tmp_path


def test_the_command_compares_with_an_environment(own_environment, capsys):
    assert main(["here"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("environment here\nwhat ") and printed.endswith("as defined\n")
    write(own_environment / "here.txt", "pytest==0.1\n")
    assert main(["here", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [row["what"] for row in rows if row["state"] == "deviates"] == ["pytest"]
    assert set(rows[0]) == {"what", "wanted", "found", "state", "stated"}


def test_the_command_refuses_in_one_line(own_environment, capsys):
    assert main(["there"]) == 2
    assert capsys.readouterr().err == "encore: there: no such environment; there are here\n"


def test_the_check_needs_the_runtime_and_the_locks_alone(tmp_path):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    shutil.copytree(os.path.join(root, "locks"), str(tmp_path / "locks"))
    shutil.copytree(os.path.join(root, "src/encore/runtime"), str(tmp_path / "src/encore/runtime"))
    shutil.copy(os.path.join(root, "src/encore/__init__.py"), str(tmp_path / "src/encore"))
    done = subprocess.run(
        [sys.executable, "-m", "encore.runtime.fingerprint", "cuda101"],
        stdout=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=str(tmp_path / "src")),
        cwd=str(tmp_path),
    )
    assert done.returncode in (0, 1) and b"CUDA " in done.stdout  # 0 in that environment itself


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not glob.glob(numpy.__path__[0] + ".libs/*openblas*"),
    reason="names kernels of OpenBLAS for x86-64",
)
def test_the_kernels_that_numpy_chose_for_the_processor_are_named():
    program = (
        "import numpy; from encore.runtime.fingerprint import fingerprint; "
        "values = fingerprint(); print(values['blas'], values['blas_threads'])"
    )

    def named(core):
        values = dict(os.environ, OPENBLAS_CORETYPE=core, OMP_NUM_THREADS="1")
        command = [sys.executable, "-c", program]
        return subprocess.check_output(command, env=values, universal_newlines=True).split()

    assert named("Haswell") == ["Haswell", "1"]
    assert named("Prescott")[0] != "Haswell"


def test_without_numpy_there_are_no_kernels_to_name(monkeypatch):
    monkeypatch.delitem(sys.modules, "numpy")
    assert not {"blas", "blas_threads"} & set(fingerprint())
