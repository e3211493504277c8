"""The stages that evaluate, export and compare runs: what their evidence gives again."""

import json
import sys

import pytest
import yaml

from stages.reid import compare, evaluate_run, export_run
from tests.encore.systems.reid.market_set import QUERY, write_set
from tests.encore.systems.reid.reid_pictures import write
from tests.measured_again import measured_again, write_numbers
from tests.stages.reid.reid_run_folder import write_run


@pytest.fixture()
def run(tmp_path, monkeypatch):
    """Run the main of a stage with arguments, in a size folder with the runs `plain` and `pcb`."""
    monkeypatch.chdir(tmp_path)
    root = write_set(tmp_path / "set")
    write(root, ["multi-query/" + name for name in QUERY])
    reranking = {"k1": 3, "k2": 2, "weight": 0.3}
    evaluation = {"root": "set", "workers": 0, "reranking": reranking, "spectral_transform": 0.5}
    section = {"evaluation": evaluation, "evaluated": ["plain", "pcb"]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"reid": section}))
    folder = tmp_path / "models/reid/plain"
    folder.mkdir(parents=True)
    write_run(folder)

    def command(module, *arguments):
        monkeypatch.setattr(sys, "argv", [module.__name__] + list(arguments))
        module.main()

    return command


def test_rankings_features_and_gains_are_measured_again(run, tmp_path):
    run(evaluate_run, "plain")
    assert {"rank1", "mAP", "spectral_rank1"} <= measured_again("reid/evaluate/plain")
    run(export_run, "plain")
    measured_again("reid/export/plain")
    path = tmp_path / "metrics/reid/evaluate/plain.json"
    numbers = {key: value + 0.25 for key, value in json.loads(path.read_text()).items()}
    path.with_name("pcb.json").write_text(json.dumps(numbers))
    write_numbers(tmp_path / "evidence/reid/evaluate/pcb.npz", numbers)
    run(compare)
    assert "pcb_mAP_gain" in measured_again("reid/compare")
