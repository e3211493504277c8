"""The shipped params.json of both published states, and what a change of them reads as."""

import copy

import pytest

from encore.runtime.refusal import Refusal
from encore.systems.reid.params_json import (
    params_from,
)

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
