"""Data, licence, hardware, or nobody tried: which of them keeps a number from being measured."""

from __future__ import annotations

import dataclasses
import subprocess

import pytest

from checks import blocked
from checks.blocked import gpu_memories, gpu_objection
from checks.claims import Gpu, read_all_claims
from checks.raw_data.inputs import Input
from checks.size import PROJECT, Size
from checks.verify import failures, verify
from tests.checks.conftest import claim_row

INPUT = {
    "path": "raw",
    "used_by": "toy",
    "count": 3,
    "first": None,
    "last": None,
    "licence": "own terms",
    "source": "somewhere",
    "place": "raw",
}
NEED = {"inputs": ["pictures"], "gpu": {"count": 2, "memory_gb": 16}}


@pytest.fixture
def without_metric(project, monkeypatch):
    """A claim that needs pictures and two devices of 16 GB; neither is there, nor is the metric."""
    (project.mini / "metrics/toy/test.json").unlink()
    project.set_claims(claim_row(**NEED))
    monkeypatch.setattr(blocked, "gpu_memories", lambda: (12 * 10**9,))
    return project


def only(project):
    (verdict,) = verify(project.size())
    return verdict.verdict, verdict.detail


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        ("open", ("blocked (data)", "missing pictures: see `encore data`")),
        (
            "registration",
            ("blocked (licence)", "missing pictures: see `encore data`; given after registration: pictures"),
        ),
        (
            "agreement",
            (
                "blocked (licence)",
                "missing pictures: see `encore data`; given after agreeing to terms: pictures",
            ),
        ),
    ],
)
def test_missing_data_block_by_what_getting_them_takes(without_metric, access, expected):
    without_metric.write_yaml("mini/inputs.yaml", {"pictures": {**INPUT, "access": access}})
    assert only(without_metric) == expected


def test_inputs_are_open_unless_they_say_otherwise(without_metric):
    assert {field.name: field.default for field in dataclasses.fields(Input)}["access"] == "open"
    without_metric.write_yaml("mini/inputs.yaml", {"pictures": INPUT})
    assert only(without_metric)[0] == "blocked (data)"


def test_with_the_data_there_hardware_blocks_and_then_nobody_has_tried(without_metric, monkeypatch):
    without_metric.write("mini/inputs/pictures.json", "{}")
    text = "needs 2 GPUs with 16 GB, found 12 GB on this machine"
    assert only(without_metric) == ("blocked (hardware)", text)
    monkeypatch.setattr(blocked, "gpu_memories", lambda: (17 * 10**9, 34 * 10**9))
    assert only(without_metric) == ("not attempted", "no metrics/toy/test.json: its stage has not run")
    assert failures(verify(without_metric.size()))


def test_a_number_that_is_there_is_judged_whatever_this_machine_has(project, monkeypatch):
    project.set_claims(claim_row(**NEED))
    monkeypatch.setattr(blocked, "gpu_memories", lambda: ())
    assert only(project)[0] == "reproduced"


@pytest.mark.parametrize(
    ("need", "memories", "text"),
    [
        (None, (), None),
        (Gpu(1), (), "needs 1 GPU, found none on this machine"),
        (Gpu(1), (8 * 10**9,), None),
        (Gpu(1, 24.0), (25_757_220_864,), None),  # 24,564 MiB, as a card sold with 24 GB lists itself
        (Gpu(2, 24.0), (25 * 10**9, 8 * 10**9), "needs 2 GPUs with 24 GB, found 25 GB, 8 GB on this machine"),
    ],
)
def test_the_least_that_a_claim_runs_on(need, memories, text):
    assert gpu_objection(need, memories) == text


def nvidia_smi(monkeypatch, **done):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess((), **done))
    gpu_memories.cache_clear()


@pytest.mark.parametrize(
    ("done", "memories"),
    [
        ({"returncode": 0, "stdout": "32510\n 16160\n"}, (32510 * 2**20, 16160 * 2**20)),
        ({"returncode": 9, "stdout": "NVIDIA-SMI has failed"}, ()),
        ({"returncode": 0, "stdout": "[N/A]\n"}, ()),
    ],
)
def test_devices_are_those_that_nvidia_smi_lists(monkeypatch, done, memories):
    nvidia_smi(monkeypatch, **done)
    assert gpu_memories() == memories
    gpu_memories.cache_clear()


def test_without_nvidia_smi_there_is_no_device(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    gpu_memories.cache_clear()
    assert gpu_memories() == ()
    gpu_memories.cache_clear()


def test_on_a_fresh_clone_the_published_claims_are_blocked_and_say_by_what(monkeypatch, tmp_path):
    monkeypatch.setattr(blocked, "gpu_memories", lambda: ())
    (tmp_path / "inputs.yaml").write_text((PROJECT / "inputs.yaml").read_text(encoding="utf-8"))
    claims = [claim for claim in read_all_claims(PROJECT / "claims") if claim.tier == "paper"]
    fresh = Size(tmp_path, "paper", PROJECT / "claims")
    verdicts = {blocked.why_missing(claim, fresh, claim.metric.file)[0] for claim in claims}
    assert verdicts == {"blocked (licence)"}
    for claim in claims:
        for name in claim.inputs:
            (tmp_path / "inputs").mkdir(exist_ok=True)
            (tmp_path / "inputs" / f"{name}.json").write_text("{}")
    found = {claim.id: blocked.why_missing(claim, fresh, claim.metric.file)[0] for claim in claims}
    assert found["paper_reid_plain_rank1"] == "blocked (hardware)"
    assert found["paper_image_count"] == "not attempted"
