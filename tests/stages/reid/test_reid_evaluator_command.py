import json
import os
import sys

import numpy as np
import pytest
import torch

from encore.runtime.refusal import Refusal
from encore.systems.reid import market_evaluation
from encore.systems.reid.evaluation_pictures import open_evaluation_pictures
from encore.systems.reid.features import Extraction
from encore.systems.reid.onnx_export import export_onnx
from stages.reid import evaluator
from tests.encore.systems.reid.market_set import SIZE, write_set
from tests.encore.systems.reid.reid_pictures import write
from tests.stages.reid.reid_run_folder import SMALL, write_run


@pytest.fixture()
def evaluate(tmp_path, monkeypatch, capsys):
    """Write an eval_params.json and run the command -> its metrics."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    write_set(tmp_path / "set")

    def run(**changes):
        own = dict(SMALL, evaluation_root=str(tmp_path / "set"))
        own.update(changes.pop("encore", {}))
        config = {"batch_size": 4, "gpus": [], "img_h": SIZE[0], "img_w": SIZE[1], "encore": own}
        config["model_params"] = dict(
            {"model": "resnet_18", "feature_dim": 12}, **changes.pop("model_params", {})
        )
        config["model_path"] = str(tmp_path / "model_best.pth")
        config.update(changes)
        path = tmp_path / "eval_params.json"
        path.write_text(json.dumps(config))
        monkeypatch.setattr(sys, "argv", ["evaluator", str(path)])
        evaluator.main()
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def expected_metrics(folder, net):
    pictures = open_evaluation_pictures(str(folder / "set"))
    return market_evaluation.evaluate(net, pictures, how=Extraction(SIZE, 4))


def h_run(folder):
    return write_run(folder, "H", model_params={"last_conv_stride": 1})[1]


def test_weights_are_evaluated_and_the_log_is_kept(evaluate, tmp_path):
    net, log = h_run(tmp_path), tmp_path / "result.log"
    assert evaluate(result_log_file=str(log)) == expected_metrics(tmp_path, net)
    evaluate(result_log_file=str(log))
    assert [json.loads(line) for line in log.read_text().splitlines()] == [
        expected_metrics(tmp_path, net)
    ] * 2


def test_weights_of_the_first_state(evaluate, tmp_path):
    net = write_run(tmp_path)[1]
    assert evaluate(encore={"state": "S"}) == expected_metrics(tmp_path, net)
    with pytest.raises(Refusal, match="lacks .* tensors of the network, the first is fc.0.weight: .* state"):
        evaluate()


def test_kept_features_replace_the_network(evaluate, tmp_path):
    h_run(tmp_path)
    path = str(tmp_path / "features.pkl")
    first = evaluate(feature_path=path)
    assert os.path.isfile(path)
    assert evaluate(feature_path=path, model_path="") == first
    spectral = evaluate(feature_path=path, model_path="", spectral_transform=0.7)
    assert {name: spectral[name] for name in first} == first and "spectral_mAP" in spectral


def test_an_onnx_file_is_evaluated(evaluate, tmp_path):
    net = h_run(tmp_path)
    images = np.random.RandomState(0).standard_normal((2, 3) + SIZE).astype(np.float32)
    export_onnx(net, str(tmp_path / "net.onnx"), images)
    found = evaluate(model_path=str(tmp_path / "net.onnx"), img_h=99)  # the file knows its size
    assert found == pytest.approx(expected_metrics(tmp_path, net))


def test_classification_with_the_classifiers_of_the_run(evaluate, tmp_path):
    net = h_run(tmp_path)
    net.classifier.bias.data[1] = 99
    torch.save(net.state_dict(), str(tmp_path / "model_best.pth"))
    write(tmp_path / "validation", ["%s/%d.png" % (name, i) for name in ("0001", "0002") for i in range(3)])
    found = evaluate(
        benchmark_type="classification_evaluate",
        num_labels=3,
        encore={"evaluation_root": str(tmp_path / "validation")},
    )
    assert found == {"accuracy": 0.5, "pictures": 6, "classes": 2}


def test_an_evaluator_of_your_own_reads_its_own_keys(evaluate, tmp_path, capsys):
    h_run(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "own_evaluate.py").write_text(
        "def run_eval(config):\n    return config['my_number'] * 2\n"
    )
    own = {"evaluators": str(tmp_path / "own")}
    assert evaluate(benchmark_type="own_evaluate", my_number=0.25, encore=own) == {"own_evaluate": 0.5}


def test_what_is_wrong_is_named(evaluate, tmp_path, monkeypatch):
    for changes, match in (
        ({"model_pth": "x"}, "eval_params.json: model_pth: unknown key; did you mean model_path"),
        ({"batch_size": "4"}, "eval_params.json.batch_size: expected a whole number"),
        ({"model_params": {"depth": 3}}, "model_params.depth: unknown key"),
        ({"model_path": ""}, "model_path: missing"),
        ({"model_path": "nowhere.pth"}, "nowhere.pth"),
        ({"model_path": "nowhere.onnx"}, "nowhere.onnx: no such file"),
        ({"benchmark_type": "lost"}, "no evaluator lost"),
        ({"model_params": {"feature_dims": 3}}, "model_params.feature_dims: .* did you mean feature_dim?"),
        ({"encore": {"namin": "duke"}}, "encore.namin: unknown key; did you mean naming?"),
        ({"asoftmax_params": 3}, "eval_params.json: asoftmax_params: expected keys and values, found 3"),
        ({"asoftmax_params": {"margin": 0.3}}, "asoftmax_params.margin: expected 0 or a list of margins"),
        ({"data_augmentation": {"crop_h": "9"}}, "data_augmentation.crop_h: expected a whole number"),
        ({"data_augmentation": {"crops_h": 9}}, "data_augmentation.crops_h: .* did you mean crop_h?"),
    ):
        with pytest.raises(Refusal, match=match):
            evaluate(**changes)
    h_run(tmp_path)
    with pytest.raises(Refusal, match="encore.best_by: expected a metric of .* found spectral_rank1"):
        evaluate(encore={"best_by": "spectral_rank1"})
    path = tmp_path / "eval_params.json"
    path.write_text('{"img_h": 256, "img_h": 128}')
    with pytest.raises(Refusal, match="eval_params.json: the key 'img_h' stands twice"):
        evaluator.read_eval_params(str(path))
    path.write_text('{"img_h": 256,\n "img_w": 128\n "batch_size": 32}')  # as the published template
    monkeypatch.setattr(sys, "argv", ["evaluator", str(path)])
    with pytest.raises(Refusal, match="eval_params.json: not valid JSON: .*line 3"):
        evaluator.main()


def test_defaults_and_the_published_spelling(tmp_path):
    path = tmp_path / "eval_params.json"
    path.write_text('{"benchmark_type": "classificaton_evaluate", "data_augmentation": {"zzz": 1}}')
    params, others, warnings = evaluator.read_eval_params(str(path))
    assert params.spectral_transform == 0 and others == {"data_augmentation": {"zzz": 1}}
    assert warnings == [
        "{}: data_augmentation.zzz: unknown key, kept for evaluators only".format(path),
        "{}: benchmark_type: classificaton_evaluate: read as classification_evaluate".format(path),
    ]
