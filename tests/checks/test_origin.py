from __future__ import annotations

import pytest

from checks.fingerprint_file import read_fingerprint
from checks.lineage import lineage
from checks.origin import origin, this_machine
from encore.runtime import fingerprint
from encore.runtime.refusal import Refusal


@pytest.mark.parametrize("name", [None, "", "host 17"])
def test_orchestrator_and_stages_call_the_machine_by_the_same_name(monkeypatch, name):
    monkeypatch.delenv("ENCORE_MACHINE", raising=False)
    if name is not None:
        monkeypatch.setenv("ENCORE_MACHINE", name)
    assert this_machine() == fingerprint.machine()
    assert len(this_machine()) == 12


def test_a_container_counts_as_its_host(monkeypatch):
    own = this_machine()
    monkeypatch.setenv("ENCORE_MACHINE", "another host")
    assert this_machine() != own


def test_one_stage_behind_a_number_from_elsewhere_makes_it_cached(project):
    behind = lineage(project.mini, "metrics/toy/test.json")
    project.set_fingerprint("other/train", machine="0" * 12)
    assert origin(project.mini, "metrics/toy/test.json", behind) == "run here"
    project.set_fingerprint("toy/train/deep", machine="0" * 12)
    assert origin(project.mini, "metrics/toy/test.json", behind) == "cached from 000000000000, 2026-01-02"


def test_a_fingerprint_that_the_lock_lists_and_is_not_there_makes_it_cached(project):
    behind = lineage(project.mini, "metrics/toy/test.json")
    stages = {
        "toy_train": {"cmd": "x", "outs": [{"path": "models/toy"}, {"path": "fingerprints/toy/train.json"}]},
        "toy_test": {
            "cmd": "x",
            "deps": [{"path": "models/toy"}],
            "outs": [{"path": "metrics/toy/test.json"}, {"path": "fingerprints/toy/test.json"}],
        },
        "other": {"cmd": "x", "outs": [{"path": "fingerprints/other.json"}]},
    }
    project.write_yaml("mini/dvc.lock", {"stages": stages})
    assert origin(project.mini, "metrics/toy/test.json", behind) == "cached from an unknown machine"
    project.set_fingerprint("toy/train")
    assert origin(project.mini, "metrics/toy/test.json", behind) == "run here"


def test_a_fingerprint_that_is_a_folder_is_refused(tmp_path):
    with pytest.raises(Refusal, match="cannot be read"):
        read_fingerprint(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"machine": "a"}', '{"machine": 3, "finished": "x"}'])
def test_a_fingerprint_that_says_too_little_is_refused(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(Refusal, match="a.json"):
        read_fingerprint(path)
