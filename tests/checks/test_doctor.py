from __future__ import annotations

import json
import shutil
from collections import namedtuple

import pytest
import yaml

from checks import doctor, doctor_machine
from checks.cli import main
from checks.finding import OK, PROBLEM, WARNING, Finding, ask
from checks.size import PROJECT
from encore.runtime.definition import definitions
from encore.runtime.hardware import objection

GB = 10**9
Usage = namedtuple("Usage", "total used free")


def answer(monkeypatch, status, output="", error=""):
    """Every program that is asked answers so, but the hardware rule, which is really asked."""

    def asked(command, **options):
        return ask(command, **options) if "-c" in command else (status, output, error)

    monkeypatch.setattr(doctor_machine, "ask", asked)


@pytest.mark.parametrize(("free", "state"), [(1.9, PROBLEM), (2.0, OK), (900, OK)])
def test_a_disk_too_small_for_a_mini_run_is_a_problem(tmp_path, monkeypatch, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1000 * GB, 0, int(free * GB)))
    found = doctor_machine.disk(tmp_path)
    assert found.state == state and bool(found.next) == (state == PROBLEM)


def test_little_shared_memory_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(64 * 2**20, 0, 64 * 2**20))
    assert doctor_machine.shared_memory(tmp_path).state == WARNING
    assert "--shm-size" in doctor_machine.shared_memory(tmp_path).next
    assert doctor_machine.shared_memory(str(tmp_path / "none")).state == WARNING
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9 * GB, 0, 9 * GB))
    assert doctor_machine.shared_memory(tmp_path).state == OK


def test_the_limit_of_a_container_counts_as_memory(tmp_path):
    limit = tmp_path / "memory.max"
    limit.write_text("2000000000\n")
    assert doctor_machine.memory(limit) == Finding(
        "memory", WARNING, "2.0 GB", "a mini run is tested with 4.0 GB and more: close other programs"
    )
    limit.write_text("max\n")
    assert doctor_machine.memory(limit).found == doctor_machine.memory(tmp_path / "none").found != "2.0 GB"


@pytest.mark.parametrize(
    ("row", "state", "said"),
    [
        (
            "Tesla V100-SXM2-16GB, 7.0, 16384 MiB, 535.104.05",
            OK,
            "runs cuda101, cuda101-pandas, cuda101-ray, cuda118, cuda118-ray",
        ),
        (
            "NVIDIA H200, 9.0, 143771 MiB, 570.1",
            OK,
            "runs cuda118, cuda118-ray; not cuda101 (CUDA 10.1 has no libraries for sm_90)",
        ),
        ("Tesla V100-SXM2-16GB, 7.0, 16384 MiB, 450.51.06", WARNING, "runs cuda101"),
        ("NVIDIA B200, 10.0, 183359 MiB, 570.1", WARNING, "runs none"),
    ],
)
def test_a_gpu_is_judged_by_the_hardware_rule(monkeypatch, row, state, said):
    answer(monkeypatch, 0, row)
    (found,) = doctor_machine.gpus(PROJECT)
    assert found.state == state and said in found.found and bool(found.next) == (state != OK)


def test_the_rule_that_is_asked_is_that_of_the_worker_code():
    found = doctor_machine._rules(PROJECT, ["7.5", "8.9"])
    for text, capability in (("7.5", (7, 5)), ("8.9", (8, 9))):
        assert {name: rule["objection"] for name, rule in found[text].items()} == {
            name: objection(list(row.compiled), capability, row.cuda)
            for name, row in definitions().items()
            if row.cuda
        }


@pytest.mark.parametrize(
    ("status", "output", "said"),
    [
        (None, "", "none (nvidia-smi finds no device)"),
        (0, "", "none (nvidia-smi finds no device)"),
        (9, "", "nvidia-smi: cannot talk to the driver"),
        (0, "Tesla K80, [N/A]", "nvidia-smi: cannot talk to the driver"),
    ],
)
def test_no_gpu_and_a_broken_driver_are_told_apart(monkeypatch, status, output, said):
    answer(monkeypatch, status, output, "cannot talk to the driver")
    (found,) = doctor_machine.gpus(PROJECT)
    assert (found.state, found.found) == (WARNING, said) and found.next


def test_container_runtimes(monkeypatch, tmp_path):
    monkeypatch.delenv("ENCORE_RUNTIME", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert doctor_machine.container_runtime(tmp_path).found == "no container runtime"
    monkeypatch.setenv("ENCORE_RUNTIME", "nerdctl")
    assert doctor_machine.container_runtime(tmp_path).state == PROBLEM
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    answer(monkeypatch, 1, "", "is the daemon running?")
    assert "does not answer (is the daemon running?)" in doctor_machine.container_runtime(tmp_path).found
    answer(monkeypatch, 0)
    assert "no image" in doctor_machine.container_runtime(tmp_path).found
    (tmp_path / "Dockerfile.cuda118").touch()
    assert doctor_machine.container_runtime(tmp_path).found == "nerdctl, images encore-cuda118"
    monkeypatch.setenv("ENCORE_RUNTIME", "apptainer")
    assert doctor_machine.container_runtime(tmp_path).state == WARNING
    (tmp_path / "encore-cuda101.sif").touch()
    assert doctor_machine.container_runtime(tmp_path).found == "apptainer, images encore-cuda101.sif"


@pytest.mark.parametrize(
    ("version", "state"), [((3, 10, 1), PROBLEM), ((3, 13, 0), OK), ((3, 14, 0), PROBLEM)]
)
def test_pythons(version, state):
    assert doctor.python(version).state == state


def locked(root, *pins):
    (root / "locks").mkdir(exist_ok=True)
    digest = " \\\n    --hash=sha256:" + "0" * 64 + "\n"
    (root / "locks/cpu.txt").write_text("".join(pin + digest for pin in pins))
    (root / "locks/assets.txt").write_text("")
    return doctor.packages(root)


def test_libraries_are_compared_with_the_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_installed", {"torch": "2.13.0+cpu", "rich": "15.0.0"}.get)
    assert locked(tmp_path, "torch==2.13.0", "rich==15.0.0", "nvidia-cublas==1.0").found.startswith(
        "all 2 as in"
    )
    assert locked(tmp_path, "rich==15.0.0", "colorama==1 ; sys_platform == 'win32'").state == OK
    other = locked(tmp_path, "rich==14.0.0")
    assert (other.state, other.found) == (WARNING, "1 of another version: rich 15.0.0 instead of 14.0.0")
    missing = locked(tmp_path, "rich==14.0.0", "a==1", "b==1", "c==1", "d==1")
    assert missing.state == PROBLEM and missing.found.startswith("4 missing: a, b, c …; 1 of another")
    assert "make setup" in missing.next
    (tmp_path / "locks/cpu.txt").unlink()
    assert doctor.packages(tmp_path).state == PROBLEM


def test_a_tree_without_git_must_be_known_to_dvc(tmp_path):
    found = doctor.repository(tmp_path)
    assert found.state == PROBLEM and "core.no_scm true" in found.next
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    assert doctor.repository(tmp_path).state == OK


def test_a_pipeline_that_does_not_parse_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "ask", lambda *args, **options: (0, "a\nb", ""))
    assert doctor.pipeline(tmp_path, "mini") == Finding("pipeline mini", OK, "2 stages")
    monkeypatch.setattr(doctor, "ask", lambda *args, **options: (255, "", "ERROR: 'dvc.yaml' is invalid."))
    found = doctor.pipeline(tmp_path, "mini")
    assert (found.state, found.found) == (PROBLEM, "'dvc.yaml' is invalid.") and "mini/dvc.yaml" in found.next


def test_missing_data_are_a_problem_only_where_they_are_needed(tmp_path):
    row = {"path": "p", "used_by": "isc", "count": 1, "first": None, "last": None}
    row |= {"licence": "l", "source": "s", "place": "p"}
    (tmp_path / "inputs.yaml").write_text(yaml.safe_dump({"photos": row}))
    assert doctor.data(tmp_path, ".", needed=True).state == PROBLEM
    found = doctor.data(tmp_path, ".", needed=False)
    assert (found.state, found.found) == (
        WARNING,
        "0 there, 1 missing, 0 wrong",
    ) and "encore data --plan" in found.next
    (tmp_path / "p").mkdir()
    for name in "ab":
        (tmp_path / "p" / name).write_bytes(b"x")
    assert doctor.data(tmp_path, ".", needed=False).state == PROBLEM
    (tmp_path / "p/b").unlink()
    assert doctor.data(tmp_path, ".", needed=False).state == OK
    (tmp_path / "inputs.yaml").write_text("{}")
    assert "expected a mapping" in doctor.data(tmp_path, ".", needed=False).found


@pytest.mark.parametrize(("state", "code"), [(OK, 0), (WARNING, 0), (PROBLEM, 1)])
def test_a_problem_decides_the_exit_status(monkeypatch, capsys, state, code):
    findings = [Finding("python", OK, "3.11.7"), Finding("disk", state, "little [free]", "free some")]
    monkeypatch.setattr(doctor, "examine", lambda root: findings)
    with pytest.raises(SystemExit) as end:
        main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert end.value.code == code and len(lines) == 2
    assert lines[1].split() == [state, *"disk little [free]; next: free some".split()]
    with pytest.raises(SystemExit):
        main(["doctor", "--json"])
    assert json.loads(capsys.readouterr().out)[1]["next"] == "free some"


@pytest.mark.slow
def test_this_clone_is_examined_without_a_crash():
    found = {row.what: row for row in doctor.examine(PROJECT)}
    assert found["pipeline mini"].state == found["data mini"].state == OK
    assert {
        "python",
        "packages",
        "git",
        "disk",
        "shared memory",
        "cores",
        "memory",
        "gpu",
        "containers",
    } <= set(found)


def test_a_program_that_is_not_there_is_said_so():
    assert ask(["no-such-program-of-ours"]) == (None, "", "no program no-such-program-of-ours")
    assert ask(["sh", "-c", "echo out; echo one >&2; echo two >&2; exit 3"]) == (3, "out", "two")
