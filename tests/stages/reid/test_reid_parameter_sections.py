"""Every run of both parameter files is one that the trainer accepts, and every list names runs."""

import os

import pytest
import yaml

from encore.runtime.parameters import read_parameters
from encore.runtime.refusal import Refusal
from encore.systems.reid.evaluation_input import evaluation_size
from encore.systems.reid.network import NetworkShape
from stages.reid.compare import gains, read_evaluated
from stages.reid.evaluate_run import EvaluationParameters
from stages.reid.train import read_run

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
SIZES = [os.path.join(ROOT, "params.yaml"), os.path.join(ROOT, "mini", "params.yaml")]


@pytest.mark.parametrize("path", SIZES)
def test_every_run_is_accepted(path, capsys):
    with open(path, encoding="utf-8") as file:
        section = yaml.safe_load(file)["reid"]
    runs = list(section["runs"]) + list(section["students"])
    for name in runs:
        params = read_run(path, name)
        NetworkShape.of(params).check_height(evaluation_size(params.as_mapping())[0])
        assert params.encore.state in "SH" and params.evaluation_params.type == "market_evaluate"
    assert capsys.readouterr().err == ""
    for student in section["students"].values():
        assert student["encore"]["teacher"]["model"] in {"models/reid/" + run for run in section["runs"]}
    assert read_evaluated(path) == section["evaluated"] == runs
    assert set(section["exported"]) <= set(runs)
    assert read_parameters(path, "reid.evaluation", EvaluationParameters).reranking.k1 == 20


def test_what_is_no_run_is_refused(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("reid: {runs: {a: {}}, students: {a: {}}, evaluated: a}")
    with pytest.raises(Refusal, match="a is in reid.runs and reid.students"):
        read_run(str(path), "a")
    with pytest.raises(Refusal, match="reid.evaluated: expected a list of runs, found 'a'"):
        read_evaluated(str(path))
    path.write_text("reid: {runs: {a: {}}}")
    with pytest.raises(Refusal, match="reid.runs.b: missing; there are a"):
        read_run(str(path), "b")


def test_gains_are_differences_to_the_first_run():
    plain = {"mAP": 0.25, "torchreid_mAP": 0.5, "multi_query_mAP": 0.375, "reranked_torchreid_mAP": 0.75}
    assert gains({"plain": plain, "pcb": {"mAP": 0.5, "torchreid_mAP": 0.625}}) == {
        "plain_torchreid_mAP_gap": 0.25,
        "plain_multi_query_mAP_gain": 0.125,
        "plain_reranked_mAP_gain": 0.25,
        "pcb_mAP_gain": 0.25,
        "pcb_torchreid_mAP_gap": 0.125,
    }
