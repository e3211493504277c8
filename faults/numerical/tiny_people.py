"""Pictures of people, each of one colour, and a params.json of person re-identification at a tiny size."""

from __future__ import annotations

import numpy as np
from PIL import Image

PEOPLE, EACH = 4, 3


def draw_people(folder):
    """A class folder for each of 4 people, with 3 PNG files of 16 x 8 each -> the names of the files."""
    names = []
    for person in range(1, 1 + PEOPLE):
        (folder / f"{person:04d}").mkdir(parents=True)
        for number in range(EACH):
            draws = np.random.RandomState(100 * person + number)
            pixels = draws.randint(0, 60, (16, 8, 3)) + 190 * (np.arange(3) == person % 3)
            names.append(f"{person:04d}/{person:04d}_c{1 + number % 2}s1_{number:06d}_00.png")
            Image.fromarray(pixels.astype(np.uint8)).save(folder / names[-1])
    return frozenset(names)


def reid_values(pictures, **own):
    """The mapping of a params.json of state S with two parts: 2 epochs of 3 batches; own: of `encore`."""
    return {
        "batch_sampling_params": {"batch_size": 4, "class_balanced": False, "P": 2, "K": 2},
        "batches_dir": str(pictures),
        "data_augmentation": {"mirror": True, "rotation": 0, "random_erasing": True},
        "epochs": 2,
        "imagenet_pretrain": False,
        "img_h": 64,
        "img_w": 16,
        "lr": {"base_lr": 0.01, "fc_lr": 0.1, "decay_gamma": 0.1, "decay_step": 1},
        "model_params": {"model": "resnet_18", "feature_dim": 8, "pcb_n_parts": 2},
        "optimizer": "sgd",
        "parallels": [0],
        "pretrain_snapshot": "",
        "weight_decay": 4e-5,
        "fine_tune": False,
        "evaluation_params": {"type": None, "step": None},
        "working_dir": "runs",
        "tri_loss_params": {"margin": 0, "lambda_cls": 0, "lambda_tri": 10, "use_adaptive_weight": True},
        "num_preprocess_workers": 0,
        "encore": dict({"state": "S", "seed": 3, "width": 4, "layers": [1, 1, 1, 1]}, **own),
    }
