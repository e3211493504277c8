"""Environments as stated and as found."""

from __future__ import annotations

import pytest
import yaml

from checks.report.environment_check import environments_checked
from checks.report.ingredients import Missing
from checks.report.page import write_report
from encore.runtime.refusal import Refusal

DEFINITIONS = {
    "cpu": {"python": ["3.11", "3.12"], "lock": "cpu.txt"},
    "cuda": {
        "python": ["3.7.10"],
        "cuda": "10.1",
        "cudnn": "7.6",
        "gpu": ["V100"],
        "driver": "418.39",
        "lock": "cuda.txt",
    },
}
GPU = {"environment": "cuda", "python": "3.7.10", "cuda": "10.1", "cudnn": "7605", "driver": "450.80.02"}


@pytest.fixture
def locks(tmp_path):
    folder = tmp_path / "locks"
    folder.mkdir()
    (folder / "environments.yaml").write_text(yaml.safe_dump(DEFINITIONS))
    pins = 'numpy==2.0.0 ; python_full_version < "3.12" \\\n    --hash=sha256:00\nnumpy==2.1.0\npyyaml==6.0\n'
    (folder / "cpu.txt").write_text(pins)
    (folder / "cuda.txt").write_text("torch==1.7.1\n")
    return folder


def rows_of(checked):
    return {row.what: (row.stated, row.found, row.state) for row in checked.rows}


def test_stages_outside_of_an_environment_are_held_against_the_one_without_an_image(project, locks):
    project.set_fingerprint("toy/test", libraries={"numpy": "2.1.0", "yaml": "6.0+local", "other": "1"})
    project.set_fingerprint("toy/train", libraries={"numpy": "1.9"}, python="3.10.1", cuda="none")
    (checked,) = environments_checked(project.mini, locks)
    assert (checked.name, checked.definition, checked.stages) == ("none", "cpu", 2)
    assert rows_of(checked) == {
        "Python": ("3.11 or 3.12", {"3.11.4": 1, "3.10.1": 1}, "deviates"),
        "numpy": ("2.0.0 or 2.1.0", {"2.1.0": 1, "1.9": 1}, "deviates"),
        "yaml": ("6.0", {"6.0+local": 1}, "as stated"),
        "other": ("any", {"1": 1}, "not stated"),
    }
    assert checked.deviating == 2


@pytest.mark.parametrize(
    ("changes", "deviating"),
    [
        ({"device": "Tesla V100-SXM2"}, set()),
        ({"device": "NVIDIA H200"}, {"GPU"}),
        ({"device": "V100", "driver": "418.3"}, {"driver"}),
        ({"device": "V100", "cudnn": "8700"}, {"cuDNN"}),
        ({"device": "V100", "cuda": "10.10", "python": "3.7.1"}, {"CUDA", "Python"}),
        ({"device": "V100", "libraries": {"torch": "1.7.1+cu101"}}, set()),
        ({"device": "V100", "libraries": {"torch": "1.7.10"}}, {"torch"}),
    ],
)
def test_what_is_not_as_stated_deviates(project, locks, changes, deviating):
    project.set_fingerprint("toy/test", **{**GPU, "libraries": {}, **changes})
    (checked,) = environments_checked(project.mini, locks)
    assert {row.what for row in checked.rows if row.state == "deviates"} == deviating


def test_versions_of_cudnn_are_read_off_their_numbers(project, locks):
    found = {"7605": "7.6.5", "8700": "8.7.0", "90100": "9.1.0"}
    for number, version in found.items():
        project.set_fingerprint("toy/test", **{**GPU, "cudnn": number})
        (checked,) = environments_checked(project.mini, locks)
        assert list(rows_of(checked)["cuDNN"][1]) == [version]


def test_what_the_stages_recorded_themselves_is_counted(project, locks):
    project.set_fingerprint("toy/test", **GPU, environment_deviations=["torch 2.0 instead of 1.7.1"])
    project.set_fingerprint("toy/train", **GPU, environment_deviations=["torch 2.0 instead of 1.7.1"])
    project.set_fingerprint("toy/other", **GPU, hardware_objection="no code for sm_90")
    (checked,) = environments_checked(project.mini, locks)
    assert checked.recorded == {"torch 2.0 instead of 1.7.1": 2, "hardware accepted: no code for sm_90": 1}


def test_each_environment_has_a_table_of_its_own(project):
    project.set_fingerprint("toy/train", environment="cuda101", libraries={"torch": "9.9"})
    text = write_report(project.size()).read_text(encoding="utf-8")
    assert "<strong>cuda101</strong>: 1 stage;" in text
    assert "<strong>Outside of any environment</strong>: 1 stage, held against <code>cpu</code>" in text
    assert '<td data-label="Found">9.9</td><td data-label="How they stand"><span class="mark bad">' in text


def test_an_unknown_environment_and_a_missing_lock_are_refused(project, locks):
    project.set_fingerprint("toy/test", environment="mars")
    with pytest.raises(Refusal, match="'mars' is not in .*environments.yaml"):
        environments_checked(project.mini, locks)
    project.set_fingerprint("toy/test")
    (locks / "cpu.txt").unlink()
    with pytest.raises(Refusal, match="cpu.txt: no such lock"):
        environments_checked(project.mini, locks)


def test_without_fingerprints_there_is_nothing_to_check(project, locks):
    (project.mini / "fingerprints/toy/test.json").unlink()
    with pytest.raises(Missing, match="fingerprints/ is empty"):
        environments_checked(project.mini, locks)
