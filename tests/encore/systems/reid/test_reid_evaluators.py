import math

import numpy as np
import pytest

from encore.runtime.refusal import Refusal
from encore.systems.reid.evaluators import evaluator_config, evaluator_names, find_evaluator
from tests.encore.systems.reid.reid_pictures import params

SHIPPED = ["classification_evaluate", "lfw_evaluate", "market_evaluate", "msmt_evaluate"]


@pytest.fixture()
def dropped(tmp_path, monkeypatch):
    """Write a module into a folder and find it as an evaluator."""
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))

    def drop(text, name="own_evaluate", **options):
        (tmp_path / (name + ".py")).write_text(text)
        return find_evaluator(name, str(tmp_path), **options)

    return drop


def returning(value):
    return "def run_eval(config):\n    return %s\n" % value


def measuring(metrics, more=""):
    return returning(0.5) + "def evaluate(config):\n    return %s\n%s" % (metrics, more)


def test_a_dropped_module_gets_the_config_and_its_number_decides(dropped):
    measured = dropped(returning("config['online_net'] + 0.25")).measure({"online_net": 0.5})
    assert measured == (0.75, {"own_evaluate": 0.75})


def test_a_dropped_module_goes_before_ours_and_finds_its_neighbours(dropped, tmp_path):
    (tmp_path / "neighbour_of_test_evaluator.py").write_text("VALUE = 0.125\n")
    text = "from neighbour_of_test_evaluator import VALUE\n" + returning("VALUE + later()")
    text += (
        "def later():\n    import neighbour_of_test_evaluator\n    return neighbour_of_test_evaluator.VALUE\n"
    )
    assert dropped(text, "market_evaluate").measure({}).value == 0.25


def test_ours_are_found_without_a_folder():
    assert evaluator_names() == SHIPPED
    for name in SHIPPED:
        module = find_evaluator(name).module
        assert callable(module.run_eval) and callable(module.evaluate) and callable(module.check)


def test_the_named_metric_decides(dropped):
    metrics = "{'rank1': 0.25, 'mAP': 0.125}"
    assert dropped(measuring(metrics)).measure({}) == (0.25, {"rank1": 0.25, "mAP": 0.125})
    assert dropped(measuring(metrics), best_by="mAP").measure({}).value == 0.125
    other = measuring("{'accuracy': 0.75}", "BEST_BY = 'accuracy'\n")
    assert dropped(other).measure({}).value == 0.75
    with pytest.raises(Refusal, match=r"encore.best_by: expected a metric .* \(rank1, mAP\), found mAp"):
        dropped(measuring(metrics), best_by="mAp").measure({})
    with pytest.raises(Refusal, match=r"\(accuracy\), found rank1"):
        dropped(measuring("{'accuracy': 0.75}")).measure({})


def test_numbers_of_numpy_and_torch_are_numbers(dropped):
    assert dropped("import numpy\n" + returning("numpy.float32(0.5)")).measure({}).value == 0.5
    assert dropped("import torch\n" + returning("torch.tensor(0.5)")).measure({}).value == 0.5
    assert dropped(returning(1)).measure({}).metrics == {"own_evaluate": 1.0}


@pytest.mark.parametrize("value", ["None", "float('nan')", "float('inf')", "True", "'0.5'", "[0.5]"])
def test_a_result_that_is_no_finite_number_is_refused(dropped, value):
    with pytest.raises(Refusal, match="own_evaluate.py: run_eval.config.: expected a finite number, found"):
        dropped(returning(value)).measure({})
    with pytest.raises(Refusal, match="own_evaluate.py: metric mAP: expected a finite number, found"):
        dropped(measuring("{'rank1': 1, 'mAP': %s}" % value)).measure({})


def test_metrics_that_are_no_dict_are_refused(dropped):
    with pytest.raises(Refusal, match="expected a dict of named numbers, found 0.5"):
        dropped(measuring("0.5")).measure({})


def test_what_is_missing_is_refused_with_what_is_there(dropped, tmp_path):
    with pytest.raises(Refusal, match=r"run_eval\(config\) -> float, found math, run_evaluation"):
        dropped("import math\ndef run_evaluation(config): pass\n")
    with pytest.raises(Refusal, match="no evaluator lost: .* one of .*market_evaluate, .*own_evaluate"):
        find_evaluator("lost", str(tmp_path))
    with pytest.raises(Refusal, match="no such folder of evaluator modules"):
        find_evaluator("lost", str(tmp_path / "nowhere"))
    for name in ("../market_evaluate", "a.b", "", None):
        with pytest.raises(Refusal, match="expected the name of a module"):
            find_evaluator(name)


def test_a_check_runs_where_a_module_has_one(dropped):
    dropped(returning(1)).check({})
    with pytest.raises(ZeroDivisionError):
        dropped(returning(1) + "def check(config):\n    1 / 0\n").check({})


def test_config_holds_parameters_unknown_keys_and_the_run():
    changes = {"parallels": [0, 1], "lfw_root": "faces", "batch_sampling_params": {"batch_size": 3}}
    own = {"evaluation_root": "people", "naming": "duke"}
    values = params("H", encore=own, tri_loss_params={"margin": 0.3}, **changes)
    config = evaluator_config(values, "net", 16, 7, "run", "cpu")
    run = {"online_net": "net", "num_labels": 16, "global_step": 7, "sub_working_dir": "run", "device": "cpu"}
    run.update(batch_size=6, evaluation_root="people", lfw_root="faces", img_h=32)
    assert {name: config[name] for name in run} == run
    assert config["encore"]["state"] == "H" and config["encore"]["naming"] == "duke"
    assert config["tri_loss_params"]["margin"] == 0.3 and math.isclose(config["lr"]["fc_lr"], 0.1)
    assert np.isscalar(config["img_w"])
