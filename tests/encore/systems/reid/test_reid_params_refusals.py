"""What a params.json may not say, and what its valid but odd values are told."""

import pytest

from encore.runtime.refusal import Refusal
from encore.systems.reid.params_json import (
    LearningRates,
    ModelParams,
    ReidParams,
    TripletParams,
    params_from,
    read_params_json,
)
from tests.encore.systems.reid.shipped_params import SHIPPED_H, SHIPPED_S, read, refusal


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
