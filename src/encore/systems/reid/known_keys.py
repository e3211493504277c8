"""The keys of a params.json: which there are, which of them only the later state has, and what stands for a
missing one.
"""

from __future__ import annotations

import difflib
import json

from encore.runtime.refusal import Refusal
from encore.systems.reid.param_blocks import STATES

BLOCKS = {
    "batch_sampling_params": ("batch_size", "class_balanced", "P", "K", "softmax_only"),
    "data_augmentation": (
        "mirror colour_jiterring colour_jitering crop_h crop_w padding_h padding_w random_erasing rotation "
        "gaussian_noise imagenet_static"
    ).split(),
    "lr": ("base_lr", "fc_lr", "decay_gamma", "decay_step", "warmup_epoch"),
    "model_params": (
        "model feature_dim pcb_n_parts random_drop_branchs last_conv_stride spectral_trans feature_mask "
        "feature_gobal_dim"
    ).split(),
    "evaluation_params": ("type", "step", "epoch"),
    "tri_loss_params": ("margin", "lambda_cls", "lambda_tri", "use_adaptive_weight"),
    "asoftmax_params": ("margin", "step", "scale", "unlabel_fold", "unlabel_update"),
    "gan_params": (
        "input_dim batch_size adv_train alone_train lr beta1 ngf ndf preheating pretrain_snapshot_d "
        "pretrain_snapshot_g d_update_freq train_loop only_train"
    ).split(),
    "encore": (
        "state seed max_iterations imagenet_weights imagenet_sha256 evaluation_root naming evaluators "
        "best_by width layers replicas save_every keep_bytes teacher query_flip"
    ).split(),
}
SINGLE = (
    "batches_dir epochs imagenet_pretrain img_h img_w optimizer parallels pretrain_snapshot weight_decay "
    "fine_tune working_dir focal_loss num_preprocess_workers model_parallel"
).split()
ALIASES = {
    "batch_size": "batch_sampling_params.batch_size",
    "epoch": "epochs",
    "tri_loss_margin": "tri_loss_params.margin",
    "tri_loss_lambda_cls": "tri_loss_params.lambda_cls",
}
"""Names of the published list of parameters that the published code does not read."""
ONLY_H = (
    "batch_sampling_params.softmax_only data_augmentation.padding_h data_augmentation.padding_w "
    "data_augmentation.gaussian_noise data_augmentation.imagenet_static lr.warmup_epoch "
    "model_params.random_drop_branchs model_params.last_conv_stride model_params.spectral_trans "
    "model_params.feature_mask model_params.feature_gobal_dim evaluation_params.epoch asoftmax_params "
    "gan_params focal_loss"
).split()
"""Keys that state S does not have."""
UNUSED = (
    "batch_sampling_params.softmax_only asoftmax_params.unlabel_fold asoftmax_params.unlabel_update "
    "model_parallel gan_params"
).split()
"""Published keys without an effect on a run without a GAN."""
H_SHIPPED = {
    "batch_sampling_params": {"batch_size": 64, "class_balanced": True, "P": 4, "K": 2},
    "data_augmentation": {
        "crop_h": 384,
        "crop_w": 128,
        "padding_h": 10,
        "padding_w": 10,
        "random_erasing": True,
    },
    "epochs": 4000,
    "lr": {"decay_step": [40, 80], "warmup_epoch": 20},
    "model_params": {
        "random_drop_branchs": 6,
        "last_conv_stride": 1,
        "spectral_trans": 0.3,
        "feature_gobal_dim": 256,
    },
    "parallels": [4],
    "weight_decay": 5e-4,
    "evaluation_params": {"epoch": 20},
    "tri_loss_params": {"lambda_cls": 1.0, "lambda_tri": 1.0, "use_adaptive_weight": False},
    "num_preprocess_workers": 8,
}
"""The shipped values of state H where they differ from those of S, which are the blocks' own defaults."""
FALLBACKS = {
    "data_augmentation.gaussian_noise": True,
    "imagenet_pretrain": False,
    "model_params.feature_dim": 256,
    "model_params.pcb_n_parts": 0,
    "model_params.random_drop_branchs": 0,
    "model_params.feature_gobal_dim": 0,
    "num_preprocess_workers": lambda complete: 2 * len(complete["parallels"]),
}
"""What the published code takes for a key that is not there, where that is not the shipped value: a value, or
a function of the complete mapping. A key that only H has counts there alone."""


def separate_unknown(mapping):
    """A mapping -> (known keys, with copied blocks; unknown ones: path -> value; warnings).

    Refusal for an unknown key that is nearly a known one of its block.
    """
    known, unknown, warnings = {}, {}, []
    for name, value in mapping.items():
        if name in BLOCKS and isinstance(value, dict):
            known[name] = {}
            for inner, entry in value.items():
                _sort(name + ".", inner, entry, BLOCKS[name], (known[name], unknown, warnings))
        else:
            _sort("", name, value, [*BLOCKS, *SINGLE, *ALIASES], (known, unknown, warnings))
    return known, unknown, warnings


def _sort(block, name, value, names, into):
    known, unknown, warnings = into
    if name in names:
        known[name] = value
        return
    if not isinstance(name, str) or "." in name:
        raise Refusal("{}{}: unknown key; keys are texts without a dot: write a block".format(block, name))
    refuse_misspelt(block, name, names)
    elsewhere = sorted(other for other, inside in BLOCKS.items() if name in inside)
    hint = ", though {} has one of this name".format(" and ".join(elsewhere)) if elsewhere else ""
    warnings.append("{}{}: unknown key, kept for evaluators only{}".format(block, name, hint))
    unknown[block + name] = value


def refuse_misspelt(start, name, names):
    """Refusal for a key that is none of `names` but nearly one; `start` stands before it in the error."""
    near = nearest(name, names)
    if near is not None:
        raise Refusal("{}{}: unknown key; did you mean {}?".format(start, name, near))


def nearest(name, names):
    """The one of `names` that `name` probably means, or None."""
    same = [other for other in names if other.lower() == name.lower()]
    return next(iter(same or difflib.get_close_matches(name, names, n=1, cutoff=0.8)), None)


def resolve_aliases(values):
    """Move documented names to the real keys, in place -> warnings; Refusal where both are given."""
    warnings = []
    for alias, path in ALIASES.items():
        if alias not in values:
            continue
        if given(values, path):
            raise Refusal("{0}: given beside {1}, its real name: leave {0} out".format(alias, path))
        block, _, name = path.rpartition(".")
        inside = values.setdefault(block, {}) if block else values
        if isinstance(inside, dict):
            inside[name] = values.pop(alias)
            warnings.append("{}: read as {}".format(alias, path))
        else:
            raise Refusal("{}: expected keys and values, found {!r}".format(block, inside))
    return warnings


def state_of(values):
    """The state that `encore.state` names, else H where a key is given that only H has, else S."""
    own = values.get("encore")
    named = own.get("state") if isinstance(own, dict) else None
    if named is None:
        return "H" if any(given(values, path) for path in ONLY_H) else "S"
    if named not in STATES:
        raise Refusal("encore.state: expected one of {}, found {!r}".format(", ".join(STATES), named))
    return named


def given(values, path):
    """Whether a dotted path is among the values."""
    for part in path.split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def drop(values, path):
    """Take a dotted path out of the values, in place -> what stood there, None where nothing did."""
    block, _, name = path.rpartition(".")
    inside = values.get(block) if block else values
    return inside.pop(name, None) if isinstance(inside, dict) else None


def complete(values, state):
    """Fill in, in place, the shipped values of what a file of state H leaves out; those of S are the fields'
    own defaults."""
    for name, shipped in H_SHIPPED.items() if state == "H" else ():
        inside = values.setdefault(name, dict(shipped) if isinstance(shipped, dict) else shipped)
        if isinstance(shipped, dict) and isinstance(inside, dict):
            for inner, value in shipped.items():
                inside.setdefault(inner, value)


def otherwise_published(values, complete_values):
    """Warnings of the keys missing in `values` for which the published code takes another value than the
    shipped one that is among `complete_values`."""
    warnings = []
    for path, fallback in FALLBACKS.items():
        block = path.rpartition(".")[0]
        if given(values, path) or (block and not given(values, block)) or not given(complete_values, path):
            continue
        taken = complete_values
        for name in path.split("."):
            taken = taken[name]
        fallback = fallback(complete_values) if callable(fallback) else fallback
        if taken != fallback:
            warnings.append(
                "{}: missing, {} as in the shipped files; the published code takes {}".format(
                    path, json.dumps(taken), json.dumps(fallback)
                )
            )
    return warnings
