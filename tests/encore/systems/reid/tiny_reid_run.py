"""A training run small enough for a test: people of one colour each, in pictures of 16 x 8."""

import io

import numpy as np
from PIL import Image

from encore.systems.reid.params_json import params_from

EVALUATOR = """
def run_eval(config):
    return evaluate(config)["rank1"]


def evaluate(config):
    import torch

    with torch.no_grad():
        first = config["online_net"](torch.ones(2, 3, config["img_h"], config["img_w"]))
    value = 0.5 + 0.4 * torch.sin(1e3 * first.abs().sum()).item()
    return {"rank1": value, "mAP": value / 2, "step": config["global_step"]}
"""
"""A measure that any bit of the weights changes."""


def draw_people(folder, people=4, pictures=3, first=1):
    """Class folders of people, `pictures` PNG files each."""
    for person in range(first, first + people):
        place = folder / "{:04d}".format(person)
        place.mkdir(parents=True)
        for number in range(pictures):
            draws = np.random.RandomState(100 * person + number)
            pixels = draws.randint(0, 60, (16, 8, 3)) + 190 * (np.arange(3) == person % 3)
            file = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
            name = "{:04d}_c{}s1_{:06d}_00.png".format(person, 1 + number % 2, number)
            (place / name).write_bytes(file.getvalue())


def mapping(folder, state="S", **changes):
    """The mapping of a params.json: state S, two epochs of three batches of four; `changes` by block."""
    values = {
        "batch_sampling_params": {"batch_size": 4, "class_balanced": False, "P": 2, "K": 2},
        "batches_dir": str(folder / "people"),
        "data_augmentation": {"mirror": True, "rotation": 0},
        "epochs": 2,
        "imagenet_pretrain": False,
        "img_h": 32,
        "img_w": 16,
        "lr": {"base_lr": 0.01, "fc_lr": 0.1, "decay_gamma": 0.1, "decay_step": 1},
        "model_params": {"model": "resnet_18", "feature_dim": 8, "pcb_n_parts": 0},
        "optimizer": "sgd",
        "parallels": [0],
        "pretrain_snapshot": "",
        "weight_decay": 4e-5,
        "fine_tune": False,
        "evaluation_params": {"type": None, "step": None},
        "working_dir": str(folder / "runs"),
        "tri_loss_params": {"margin": 0, "lambda_cls": 0, "lambda_tri": 10, "use_adaptive_weight": True},
        "num_preprocess_workers": 0,
        "encore": {"state": state, "seed": 3, "width": 4, "layers": [1, 1, 1, 1]},
    }
    if state == "H":
        off = ("crop_h", "crop_w", "padding_h", "padding_w")
        values["data_augmentation"].update(dict.fromkeys(off, 0), random_erasing=False)
        values["lr"].update(decay_step=[1, 2], warmup_epoch=1)
        values["model_params"].update(last_conv_stride=1, spectral_trans=0.3, random_drop_branchs=0)
        values["model_params"].update(feature_gobal_dim=0)
        values["tri_loss_params"].update(lambda_cls=1, lambda_tri=1)
        values["evaluation_params"].update(epoch=1)
    for name, value in changes.items():
        if isinstance(value, dict):
            values[name].update(value)
        else:
            values[name] = value
    return values


def evaluated(folder, **changes):
    """`changes` of a run with the evaluator in `folder`, written there."""
    place = folder / "evaluators"
    place.mkdir(exist_ok=True)
    (place / "weights_evaluate.py").write_text(EVALUATOR)
    own = dict(changes.pop("encore", {}), evaluators=str(place))
    return dict(changes, encore=own, evaluation_params={"type": "weights_evaluate"})


def params_of(folder, state="S", **changes):
    """The ReidParams of `mapping`."""
    return params_from(mapping(folder, state, **changes), "test")[0]
