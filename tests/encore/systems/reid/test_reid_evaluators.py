import math

import numpy as np
import pytest

from encore.runtime.refusal import Refusal
from encore.systems.reid.evaluators import EvaluatorError, evaluator_config, evaluator_names, find_evaluator
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
    text = "from encore.runtime.refusal import Refusal\n" + returning(1)
    with pytest.raises(Refusal, match="^no pictures$"):
        dropped(text + "def check(config):\n    raise Refusal('no pictures')\n").check({})


@pytest.mark.parametrize(
    "text, what, cause",
    [
        ("def run_eval(config)\n    pass\n", "loading it", SyntaxError),
        ("import no_such_module_of_mine\n", "loading it", ImportError),
        (returning("config['lost']"), r"run_eval\(config\)", KeyError),
        (measuring("1 / 0"), r"evaluate\(config\)", ZeroDivisionError),
        (returning(1) + "def check(config):\n    1 / 0\n", r"check\(config\)", ZeroDivisionError),
        (measuring("{}", "def BEST_BY(config):\n    1 / 0\n"), r"BEST_BY\(config\)", ZeroDivisionError),
    ],
)
def test_what_a_dropped_module_raises_names_its_file_and_keeps_the_traceback(dropped, text, what, cause):
    match = r"own_evaluate.py: {} failed \({}: .*\): look at the line of this file".format(what, "\\w+")
    with pytest.raises(EvaluatorError, match=match) as caught:
        evaluator = dropped(text)
        evaluator.check({})
        evaluator.measure({})
    assert isinstance(caught.value.__cause__, cause) and caught.value.__cause__.__traceback__ is not None
    assert "\n" not in str(caught.value)


def test_what_ours_raises_passes_through():
    with pytest.raises(KeyError):
        find_evaluator("classification_evaluate").measure({"evaluation_root": None})


def test_a_module_names_its_deciding_metric_by_the_config(dropped):
    text = "def BEST_BY(config):\n    return config['by']\n"
    evaluator = dropped(measuring("{'rank1': 0.25, 'mAP': 0.125}", text))
    assert evaluator.measure({"by": "mAP"}).value == 0.125
    assert evaluator.measure({"by": "rank1"}).value == 0.25
    with pytest.raises(Refusal, match=r"own_evaluate.py: BEST_BY, .* \(rank1, mAP\), found rank5"):
        evaluator.measure({"by": "rank5"})


@pytest.mark.parametrize(
    "text",
    [
        returning(1),
        measuring("1 / 0", "METRICS = ['rank1', 'mAP']\n"),
        measuring("1 / 0", "def METRICS(config):\n    return ['rank1']\n"),
    ],
)
def test_a_metric_that_will_be_missing_is_refused_before_a_long_run(dropped, text):
    dropped(text).check({})
    with pytest.raises(Refusal, match="^encore.best_by: expected a metric .*, found accuracy$"):
        dropped(text, best_by="accuracy").check({})


def test_only_a_module_without_metrics_may_be_wrong_later(dropped):
    with pytest.raises(Refusal, match="encore.best_by: .* found mAP"):
        dropped(returning(1), best_by="mAP").measure({})
    dropped(measuring("{'rank1': 1}"), best_by="mAP").check({})  # nothing says its metrics


def test_names_nearly_right(dropped, tmp_path):
    found = find_evaluator("classificaton_evaluate")
    assert found.name == "classification_evaluate" and found.module.BEST_BY == "accuracy"
    assert dropped(returning(0.5), "classificaton_evaluate").name == "classificaton_evaluate"
    for name, meant in (
        ("market_evalute", "market_evaluate"),
        ("Market_evaluate", "market_evaluate"),
        ("clasificaton_evaluate", "classification_evaluate"),
    ):
        with pytest.raises(Refusal, match="no evaluator {}; did you mean {}?".format(name, meant)):
            find_evaluator(name)


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
