"""Reading a params.json: shipped files of both states, names, defaults, warnings, refusals."""

import copy
import json
import pickle
import random
import re

import pytest

from encore.runtime.refusal import Refusal
from encore.systems.reid import known_keys
from encore.systems.reid.params_json import (
    MODELS,
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
from tests.golden_files import golden

SHIPPED_S = {
    "batch_sampling_params": {"batch_size": 32, "class_balanced": False, "P": 32, "K": 4},
    "batches_dir": "/data/train_all",
    "data_augmentation": {
        "mirror": True,
        "colour_jitering": False,
        "crop_h": 0,
        "crop_w": 0,
        "random_erasing": False,
        "rotation": 0,
    },
    "epochs": 30,
    "imagenet_pretrain": True,
    "img_h": 384,
    "img_w": 128,
    "lr": {"base_lr": 0.01, "fc_lr": 0.1, "decay_gamma": 0.1, "decay_step": 10},
    "model_params": {"feature_dim": 1536, "model": "resnet_50", "pcb_n_parts": 6},
    "optimizer": "sgd",
    "parallels": [0, 1],
    "pretrain_snapshot": "model.pth",
    "weight_decay": 0.00004,
    "fine_tune": False,
    "evaluation_params": {"type": "market_evaluate", "step": None},
    "working_dir": "/runs",
    "tri_loss_params": {"margin": 0, "lambda_cls": 0, "lambda_tri": 10, "use_adaptive_weight": True},
    "num_preprocess_workers": 4,
}
SHIPPED_H = dict(
    SHIPPED_S,
    batch_sampling_params={"batch_size": 64, "class_balanced": True, "P": 4, "K": 2, "softmax_only": False},
    data_augmentation={
        "mirror": True,
        "colour_jitering": False,
        "crop_h": 384,
        "crop_w": 128,
        "padding_h": 10,
        "padding_w": 10,
        "random_erasing": True,
        "rotation": 0,
        "gaussian_noise": False,
        "imagenet_static": True,
    },
    epochs=4000,
    lr={"base_lr": 0.01, "fc_lr": 0.1, "decay_gamma": 0.1, "decay_step": [40, 80], "warmup_epoch": 20},
    model_params={
        "feature_dim": 1536,
        "model": "resnet_50",
        "pcb_n_parts": 6,
        "random_drop_branchs": 6,
        "last_conv_stride": 1,
        "spectral_trans": 0.3,
        "feature_mask": False,
        "feature_gobal_dim": 256,
    },
    parallels=[4],
    pretrain_snapshot="",
    weight_decay=5e-4,
    evaluation_params={"type": "market_evaluate", "step": None, "epoch": 20},
    tri_loss_params={"margin": 0, "lambda_cls": 1, "lambda_tri": 1, "use_adaptive_weight": False},
    asoftmax_params={"margin": 0, "step": 2000, "scale": 0, "unlabel_fold": 0, "unlabel_update": 0},
    focal_loss=False,
    gan_params={"input_dim": 0, "batch_size": 128, "adv_train": False, "lr": 2e-4, "beta1": 0, "ngf": 64},
    num_preprocess_workers=8,
)


def changed(shipped, *changes):
    """A copy of a mapping with values at dotted paths."""
    mapping = copy.deepcopy(shipped)
    for path, value in changes:
        block, _, name = path.rpartition(".")
        (mapping.setdefault(block, {}) if block else mapping)[name] = value
    return mapping


def read(shipped, *changes):
    return params_from(changed(shipped, *changes), "params.json")


def refusal(shipped, *changes):
    with pytest.raises(Refusal) as caught:
        read(shipped, *changes)
    text = str(caught.value)
    assert text.startswith("params.json: ") and "\n" not in text
    return text


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


@pytest.mark.parametrize(
    "path, meant",
    [
        ("optimiser", "optimizer"),
        ("batchs_dir", "batches_dir"),
        ("model_param", "model_params"),
        ("lr.base_ir", "base_lr"),
        ("model_params.feature_global_dim", "feature_gobal_dim"),
        ("data_augmentation.colour_jitterring", "colour_jiterring"),
        ("batch_sampling_params.p", "P"),
        ("encore.max_iteration", "max_iterations"),
        ("gan_params.input_dims", "input_dim"),
    ],
)
def test_a_misspelt_key_is_refused_with_the_right_one(path, meant):
    assert "{}: unknown key; did you mean {}?".format(path, meant) in refusal(SHIPPED_S, (path, 1))


@pytest.mark.parametrize(
    "path, value, message",
    [
        ("epochs", "30", "epochs: expected a whole number, found '30'"),
        ("epochs", 0, "epochs: expected 1 to ∞, found 0"),
        ("epochs", True, "epochs: expected a whole number, found True"),
        ("img_h", 384.0, "img_h: expected a whole number"),
        ("weight_decay", -1e-4, "weight_decay: expected 0 to ∞"),
        ("weight_decay", float("inf"), "weight_decay: expected a finite number"),
        ("lr.base_lr", float("nan"), "lr.base_lr: expected a finite number, found nan"),
        ("fine_tune", 1, "fine_tune: expected true or false, found 1"),
        ("lr", 0.1, "lr: expected keys and values, found 0.1"),
        ("tri_loss_params", [], "tri_loss_params: expected keys and values"),
        ("parallels", [], "parallels: expected different devices, at least one, found []"),
        ("parallels", [1, 1], "parallels: expected different devices"),
        ("parallels", 2, "parallels: expected a list, found 2"),
        ("parallels", [0, -1], "parallels[1]: expected 0 to ∞, found -1"),
        ("model_params.model", "resnet_20", "model_params.model: expected one of resnet_18, "),
        ("model_params.feature_dim", 256, "feature_dim: expected a multiple of pcb_n_parts, 6, found 256"),
        (
            "tri_loss_params.margin",
            "soft",
            'tri_loss_params.margin: expected a number, "soft_margin" or null',
        ),
        ("tri_loss_params.margin", True, "tri_loss_params.margin: expected a number"),
        ("tri_loss_params.lambda_cls", -1, "tri_loss_params.lambda_cls: expected 0 to ∞"),
        ("evaluation_params.step", 0, "evaluation_params.step: expected 1 to ∞"),
        ("evaluation_params.type", 3, "evaluation_params.type: expected text, found 3"),
        ("data_augmentation.rotation", 181, "data_augmentation.rotation: expected 0 to 180"),
        ("data_augmentation.colour_jitering", 1, "colour_jitering: expected true or false, found 1"),
        ("batch_sampling_params.K", 0, "batch_sampling_params.K: expected 1 to ∞, found 0"),
        ("gan_params", {"input_dim": 64}, "gan_params.input_dim: expected 0, found 64: training with a GAN"),
        ("gan_params", True, "gan_params.input_dim: expected 0, found True"),
        ("encore", {"state": "X"}, "encore.state: expected one of S, H, found 'X'"),
        ("encore", {"naming": "lfw"}, "encore.naming: expected one of market, duke"),
        ("encore", {"layers": [1, 1]}, "encore: layers: expected the blocks of 4 stages, found [1, 1]"),
        ("encore", {"imagenet_sha256": "ab"}, "imagenet_sha256: expected 64 hex digits, found 'ab'"),
        ("encore", {"teacher": {"weight": 1}}, "encore.teacher.model: missing"),
        ("encore", {"teacher": {"model": "r", "temperature": 0}}, "temperature: expected a number above 0"),
        ("encore", {"seed": -1}, "encore.seed: expected 0 to ∞"),
        ("encore", 3, "encore: expected keys and values, found 3"),
        ("batch_sampling_params.class_balanced", True, "lr.decay_step: expected more than 2000 in state S"),
        ("tri_loss_params.margin", 0.3, "lr.decay_step: expected more than 2000 in state S"),
        ("lr.decay_step", [10], "lr.decay_step: expected one whole number, as state S has it, found [10]"),
        ("lr.decay_step", 0, "lr.decay_step: expected one number from 1 in state S, found [0]"),
        (3, 1, "3: unknown key; keys are texts without a dot"),
    ],
)
def test_wrong_values_are_refused_by_key(path, value, message):
    if isinstance(path, str):
        assert message in refusal(SHIPPED_S, (path, value))
    else:
        with pytest.raises(Refusal, match=message):
            params_from({path: value}, "params.json")


@pytest.mark.parametrize(
    "path, value, message",
    [
        ("lr.decay_step", 40, "lr.decay_step: expected a list of epochs, as state H has it, found 40"),
        ("lr.decay_step", [40, -1], "lr.decay_step[1]: expected 0 to ∞, found -1"),
        ("asoftmax_params.margin", 0.3, "asoftmax_params.margin: expected 0 or a list of margins, found 0.3"),
        ("asoftmax_params.margin", [], "asoftmax_params.margin: expected 0 or a list of margins"),
        ("asoftmax_params.margin", False, "asoftmax_params.margin: expected 0 or a list of margins"),
        ("model_params.last_conv_stride", 3, "last_conv_stride: expected one of 1, 2, found 3"),
        ("data_augmentation.crop_h", 405, "crop_h: expected at most 404, img_h with padding, found 405"),
        ("img_w", 107, "crop_w: expected at most 127, img_w with padding, found 128"),
        ("focal_loss", 2.0, "focal_loss: expected true or false"),
    ],
)
def test_wrong_values_of_the_later_state_are_refused(path, value, message):
    assert message in refusal(SHIPPED_H, (path, value))


def test_padding_counts_only_in_both_directions():
    changes = ("data_augmentation.padding_w", 0), ("data_augmentation.crop_h", 385)
    assert "crop_h: expected at most 384" in refusal(SHIPPED_H, *changes)
    changes = ("data_augmentation.crop_w", 0), ("data_augmentation.crop_h", 4000)
    assert read(SHIPPED_H, *changes)[0].data_augmentation.crop_h == 4000  # off


def test_a_triplet_needs_two_identities():
    changes = ("tri_loss_params.margin", 1), ("batch_sampling_params.P", 1)
    assert "batch_sampling_params.P: expected 2 or more" in refusal(SHIPPED_H, *changes)


def test_quirks_of_valid_values_are_said():
    assert "plain SGD is used, as published" in read(SHIPPED_S, ("optimizer", "lamb"))[1][0]
    assert "nothing is learnt" in read(SHIPPED_H, ("tri_loss_params.lambda_cls", 0))[1][0]
    changes = ("batch_sampling_params.class_balanced", True), ("lr.decay_step", 2001)
    assert "the published run never ends" in read(SHIPPED_S, *changes)[1][0]
    assert read(SHIPPED_S, *changes, ("encore", {"max_iterations": 10}))[1] == []


def test_values_that_contradict_a_state_are_refused_without_a_file():
    with pytest.raises(Refusal, match="model_params.last_conv_stride: state S has no such key, found 1"):
        ReidParams(model_params=ModelParams(last_conv_stride=1))
    with pytest.raises(Refusal, match="lr.decay_step: expected one number"):
        ReidParams(lr=LearningRates(decay_step=(10, 20)))
    for margin in (0, -1.0, "hard", True):
        with pytest.raises(Refusal, match="margin: expected None, a number above 0 or soft_margin"):
            TripletParams(margin)


def random_changes(rng, state):
    """A valid file of a state, far from the shipped one."""
    parts = rng.choice([0, 2, 3, 6])
    yield "tri_loss_params.margin", rng.choice([0, -1, None, 0.3, 2, "soft_margin"])
    yield "tri_loss_params.use_adaptive_weight", rng.random() < 0.5
    yield "batch_sampling_params.class_balanced", rng.random() < 0.5
    yield (
        "model_params",
        {"model": rng.choice(MODELS), "feature_dim": 6 * rng.randint(1, 9), "pcb_n_parts": parts},
    )
    yield "optimizer", rng.choice(["adam", "rmsprop", "own"])
    yield "evaluation_params.type", rng.choice(["None", None, "lfw_evaluate"])
    yield "evaluation_params.step", rng.choice([None, 7])
    yield "extra_{}".format(rng.randint(0, 9)), rng.choice([[1, {"a": None}], "text", 0.1])
    yield (
        "encore",
        {
            "layers": rng.choice([None, [1, 1, 2, 1]]),
            "teacher": rng.choice([None, {"model": "runs/a", "weight": rng.random()}]),
            "max_iterations": rng.choice([None, 50]),
        },
    )
    if state == "S":
        yield "lr.decay_step", rng.randint(2001, 9000)
    else:
        yield "lr.decay_step", rng.sample(range(100), rng.randint(0, 3))
        yield "asoftmax_params.margin", rng.choice([0, [0.1, 0.3], [0]])
        yield "data_augmentation.gaussian_noise", rng.random() < 0.5


@pytest.mark.parametrize("state, shipped", [("S", SHIPPED_S), ("H", SHIPPED_H)])
def test_a_written_mapping_reads_back_as_equal(state, shipped, tmp_path):
    rng = random.Random(0)
    path = tmp_path / "params.json"
    for _ in range(25):
        params, _ = read(shipped, *random_changes(rng, state))
        path.write_text(json.dumps(params.as_mapping()))
        assert read_params_json(path)[0] == params
        assert not [line for line in read_params_json(path)[1] if "missing" in line]
        assert params.state == params.encore.state == state
    assert pickle.loads(pickle.dumps(params)) == params and hash(params)


@pytest.mark.parametrize("block", sorted(known_keys.BLOCKS))
@pytest.mark.parametrize("state, shipped", [("S", SHIPPED_S), ("H", SHIPPED_H)])
def test_unknown_keys_of_every_block_read_back_as_equal(state, shipped, block):
    mapping = changed(shipped, ("encore.state", state), (block + ".zzz", [1]))
    params, _ = params_from(mapping, "params.json")
    written = params.as_mapping()
    assert params.unknown == {block + ".zzz": [1]} and written[block]["zzz"] == [1]
    assert params_from(written, "params.json")[0] == params


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


@pytest.mark.parametrize(
    "text, message",
    [
        ('{\n  "epochs": 3,\n}', r"not valid JSON: .* \(line \d, column \d+\)"),
        ("[1]", "expected an object of keys and values, found \\[1\\]"),
        ('{"lr": {"base_lr": 1, "base_lr": 2}}', "the key 'base_lr' stands twice in one block"),
        ('{"weight_decay": 1e999}', "weight_decay: expected a finite number, found inf"),
        ('{"weight_decay": NaN}', "weight_decay: expected a finite number, found nan"),
        ("[" * 100000, "cannot be read as JSON"),
    ],
)
def test_files_that_are_no_params_json_are_refused(tmp_path, text, message):
    path = tmp_path / "params.json"
    path.write_text(text)
    with pytest.raises(Refusal, match=message) as caught:
        read_params_json(path)
    assert str(path) in str(caught.value)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(Refusal, match="missing.json: cannot be read"):
        read_params_json(tmp_path / "missing.json")
    (tmp_path / "latin.json").write_bytes(b'{"working_dir": "\xe4"}')
    with pytest.raises(Refusal, match="latin.json: cannot be read"):
        read_params_json(tmp_path / "latin.json")
