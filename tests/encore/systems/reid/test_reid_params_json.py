"""Reading a params.json: shipped files of both states, names, defaults, warnings."""

import json
import re

import pytest

from encore.systems.reid import known_keys
from encore.systems.reid.params_json import (
    AngularSoftmax,
    BatchSampling,
    LearningRates,
    ModelParams,
    OwnKeys,
    ReidParams,
    Teacher,
    TripletParams,
    blocks_from,
    params_from,
    read_params_json,
)
from tests.encore.systems.reid.shipped_params import SHIPPED_H, SHIPPED_S, changed, read, refusal
from tests.golden_files import golden


def test_the_shipped_file_of_the_first_state():
    params, warnings = read(SHIPPED_S)
    assert warnings == []
    places = {"batches_dir": "/data/train_all", "working_dir": "/runs", "pretrain_snapshot": "model.pth"}
    assert params == ReidParams(**places)
    assert (params.state, params.batch, params.pk, params.losses) == ("S", 64, False, ("xent_loss",))
    assert (params.lr.decay_step, params.model_params.last_conv_stride) == ((10,), 2)


def test_the_shipped_file_of_the_later_state():
    params, warnings = read(SHIPPED_H)
    assert warnings == []
    assert (params.state, params.batch, params.pk, params.losses) == ("H", 8, True, ("xent_loss",))
    assert params.model_params == ModelParams("resnet_50", 1536, 6, 6, 1, 0.3, False, 256)
    assert params.lr == LearningRates(0.01, 0.1, 0.1, (40, 80), 20)
    assert params.asoftmax_params == AngularSoftmax()
    assert params.weight_decay == 5e-4 and params.evaluation_params.epoch == 20


@pytest.mark.parametrize("shipped, state", [(SHIPPED_S, "S"), (SHIPPED_H, "H")])
def test_missing_blocks_take_the_shipped_values(shipped, state):
    expected, _ = read(shipped, ("batches_dir", ""), ("working_dir", ""), ("pretrain_snapshot", ""))
    found, _ = params_from({"encore": {"state": state}}, "params.json")
    assert found == expected


def test_every_key_may_be_missing():
    for shipped in (SHIPPED_S, SHIPPED_H):
        for name in shipped:
            rest = {key: value for key, value in shipped.items() if key != name}
            state = read(shipped)[0].state
            assert read(changed(rest, ("encore", {"state": state})))[0].state == state


def test_keys_missing_in_a_given_block_have_the_shipped_values(tmp_path):
    mapping = changed(SHIPPED_H, ("model_params", {"model": "resnet_18"}), ("data_augmentation", {}))
    del mapping["imagenet_pretrain"]
    params, warnings = params_from(mapping, "params.json")
    assert params.model_params == ModelParams("resnet_18", 1536, 6, 6, 1, 0.3, False, 256)
    assert params.data_augmentation == read(SHIPPED_H)[0].data_augmentation
    assert params.imagenet_pretrain and warnings == []
    path = tmp_path / "params.json"
    path.write_text(json.dumps(mapping))
    found, warnings = read_params_json(path)
    assert found == params
    text = "{}: {}: missing, {} as in the shipped files; the published code takes {}".format
    assert warnings == [
        text(path, "data_augmentation.gaussian_noise", "false", "true"),
        text(path, "imagenet_pretrain", "true", "false"),
        text(path, "model_params.feature_dim", 1536, 256),
        text(path, "model_params.pcb_n_parts", 6, 0),
        text(path, "model_params.random_drop_branchs", 6, 0),
        text(path, "model_params.feature_gobal_dim", 256, 0),
    ]
    path.write_text(json.dumps(changed(SHIPPED_S, ("model_params", {"feature_dim": 1536}))))
    assert read_params_json(path)[1] == [text(path, "model_params.pcb_n_parts", 6, 0)]


def test_the_published_number_of_loader_processes_goes_by_the_gpus(tmp_path):
    path = tmp_path / "params.json"
    for parallels, warned in (([0, 1], []), ([0, 1, 2], ["4 as in the shipped files; .* takes 6$"])):
        mapping = changed(SHIPPED_S, ("parallels", parallels))
        del mapping["num_preprocess_workers"]
        path.write_text(json.dumps(mapping))
        found = read_params_json(path)[1]
        assert len(found) == len(warned)
        for line, match in zip(found, warned):
            assert re.search("num_preprocess_workers: missing, " + match, line)


@pytest.mark.parametrize("path", known_keys.ONLY_H)
def test_a_key_of_the_later_state_means_that_state(path):
    value = SHIPPED_H
    for name in path.split("."):
        value = value[name]
    rates = ("lr.decay_step", [10])
    assert read(SHIPPED_S, (path, value), rates)[0].state == "H"
    own = ("encore", {"state": "S"})
    params, warnings = read(SHIPPED_S, (path, value), own)
    assert warnings == ["params.json: {}: without effect, state S has no such key".format(path)]
    assert params == read(SHIPPED_S)[0]


def test_the_eighteen_documented_entries():
    documented = (
        ("batch_size",),
        ("batches_dir",),
        ("data_augmentation",),
        ("epoch",),
        ("imagenet_pretrain",),
        ("img_h", "img_w"),
        ("lr",),
        ("model_params",),
        ("optimizer",),
        ("parallels",),
        ("pretrain_snapshot",),
        ("weight_decay",),
        ("fine_tune",),
        ("evaluation_params",),
        ("working_dir",),
        ("tri_loss_margin",),
        ("tri_loss_lambda_cls",),
        ("batch_sampling_params",),
    )
    assert len(documented) == 18
    values = dict(changed(SHIPPED_S, ("lr.decay_step", 3000)), batch_size=16, epoch=7, tri_loss_margin=0.3)
    values["tri_loss_lambda_cls"] = 0.5
    del values["batch_sampling_params"]["batch_size"]
    mapping = {name: values[name] for names in documented for name in names}
    params, warnings = params_from(mapping, "params.json")
    assert params.batch_sampling_params == BatchSampling(batch_size=16)
    assert (params.epochs, params.tri_loss_params) == (7, TripletParams(0.3, 0.5))
    assert warnings[:4] == [
        "params.json: batch_size: read as batch_sampling_params.batch_size",
        "params.json: epoch: read as epochs",
        "params.json: tri_loss_margin: read as tri_loss_params.margin",
        "params.json: tri_loss_lambda_cls: read as tri_loss_params.lambda_cls",
    ]


@pytest.mark.parametrize("alias", sorted(known_keys.ALIASES))
def test_both_names_of_a_key_are_refused(alias):
    text = refusal(SHIPPED_S, (alias, 1))
    assert "{}: given beside {}".format(alias, known_keys.ALIASES[alias]) in text


@pytest.mark.parametrize("state, shipped", [("S", SHIPPED_S), ("H", SHIPPED_H)])
def test_the_published_choice_of_losses(state, shipped):
    with open(str(golden("reid/parts_{}.json".format(state))), encoding="utf-8") as file:
        rows = json.load(file)["loss_dict"]
    assert len(rows) == 32
    for row in rows:
        changes = [("tri_loss_params." + name, row[name]) for name in ("margin", "lambda_cls", "lambda_tri")]
        changes.append(("batch_sampling_params.class_balanced", row["class_balanced"]))
        if state == "S":
            changes.append(("lr.decay_step", 3000))
        params, _ = read(shipped, *changes)
        assert list(params.losses) == row["losses"], row


@pytest.mark.parametrize(
    "margin, read_as",
    [(0, None), (-1, None), (-0.5, None), (None, None), (0.3, 0.3), (1, 1.0), ("soft_margin", "soft_margin")],
)
def test_margins(margin, read_as):
    params, _ = read(SHIPPED_S, ("tri_loss_params.margin", margin), ("lr.decay_step", 2001))
    assert params.tri_loss_params.margin == read_as
    assert type(params.tri_loss_params.margin) is type(read_as)
    assert params.pk == (read_as is not None)
    assert params.batch == (128 if params.pk else 64)
    params, _ = read(SHIPPED_H, ("tri_loss_params.margin", margin))
    assert params.tri_loss_params.margin == read_as and params.pk


def test_batches_of_the_later_state_are_balanced_only_where_asked():
    changes = ("batch_sampling_params.class_balanced", False), ("tri_loss_params.margin", 0.3)
    params, (warning,) = read(SHIPPED_H, *changes)
    assert (params.pk, params.batch) == (False, 64)
    assert "tri_loss_params.margin: no triplet loss" in warning


def test_the_angular_margins():
    params, _ = read(SHIPPED_H, ("asoftmax_params.margin", [0.1, 0.2, 0]), ("asoftmax_params.scale", 15))
    assert params.asoftmax_params == AngularSoftmax((0.1, 0.2, 0.0), 2000, 15.0)


@pytest.mark.parametrize("kind", ["None", None, ""])
def test_no_evaluation(kind):
    assert read(SHIPPED_S, ("evaluation_params.type", kind))[0].evaluation_params.type is None


def test_both_spellings_of_the_colour_jitter():
    params, warnings = read(SHIPPED_S, ("data_augmentation.colour_jiterring", True))
    assert params.data_augmentation.colour_jitter and warnings == []
    params, (warning,) = read(SHIPPED_S, ("data_augmentation.colour_jitering", True))
    assert params.data_augmentation.colour_jitter and "never read this name" in warning
    assert params.as_mapping()["data_augmentation"]["colour_jiterring"] is True


def test_cropping_has_no_effect_in_the_first_state():
    params, (warning,) = read(SHIPPED_S, ("data_augmentation.crop_h", 300))
    assert params.data_augmentation.crop_h == 0 and "crop_h: without effect in state S" in warning


def test_unknown_keys_are_named_and_kept():
    changes = ("lfw_root", "/lfw"), ("model_params.momentum", [1, 2]), ("P", 4)
    params, warnings = read(SHIPPED_S, *changes)
    assert params.unknown == {"lfw_root": "/lfw", "model_params.momentum": [1, 2], "P": 4}
    assert read(SHIPPED_S, ("two\nlines", 1))[1][0].startswith("params.json: two lines: unknown")
    assert warnings[0] == "params.json: model_params.momentum: unknown key, kept for evaluators only"
    assert warnings[1] == "params.json: lfw_root: unknown key, kept for evaluators only"
    assert "though batch_sampling_params has one of this name" in warnings[2]
    mapping = params.as_mapping()
    assert mapping["lfw_root"] == "/lfw" and mapping["model_params"]["momentum"] == [1, 2]
    assert params_from(mapping, "params.json")[0] == params


def test_the_published_spelling_of_an_evaluator_is_said(tmp_path):
    change = ("evaluation_params.type", "classificaton_evaluate")
    line = "params.json: evaluation_params.type: classificaton_evaluate: read as classification_evaluate"
    params, warnings = read(SHIPPED_S, change)
    assert warnings == [line] and params.evaluation_params.type == "classificaton_evaluate"
    (tmp_path / "classificaton_evaluate.py").touch()
    assert read(SHIPPED_S, change, ("encore", {"evaluators": str(tmp_path)}))[1] == []


def test_blocks_alone():
    mapping = {"data_augmentation": {"crop_h": 20}, "asoftmax_params": {"margin": [0.1]}, "other": 1}
    blocks, warnings = blocks_from(dict(mapping, evaluation_params=None), "file")
    assert blocks["data_augmentation"].crop_h == 20 and blocks["asoftmax_params"].margin == (0.1,)
    assert set(blocks) == {"data_augmentation", "asoftmax_params"} and warnings == []
    _, (warning,) = blocks_from({"evaluation_params": {"lfw_root": "faces"}}, "file")
    assert warning == "file: evaluation_params.lfw_root: unknown key, kept for evaluators only"


def test_our_own_keys():
    own = {"teacher": {"model": "models/reid/wide"}, "layers": [1, 1, 1, 1], "width": 8, "seed": 3}
    params, _ = read(SHIPPED_S, ("encore", own))
    assert params.encore == OwnKeys("S", 3, teacher=Teacher("models/reid/wide"), layers=(1, 1, 1, 1), width=8)
