"""Evaluate trained weights, or an ONNX file, as an eval_params.json says: `evaluator eval_params.json`.

Prints the evaluator's line and its metrics as one line of JSON, which also go to result_log_file (published:
a key without effect). Published keys: batch_size, gpus, img_h, img_w, model_params, feature_path,
spectral_transform, model_path, benchmark_type, num_labels, data_augmentation. Beside them the block `encore`
as in a params.json (evaluation_root, naming, state: H by default, ...), `reranking`, `multi_query`, and any
key that an evaluator of your own reads.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from dataclasses import dataclass
from typing import Tuple

from encore.runtime.parameters import from_mapping, limited
from encore.runtime.refusal import Refusal
from encore.runtime.stage import run_stage
from encore.systems.reid.evaluators import alias_of, find_evaluator
from encore.systems.reid.json_object import read_json
from encore.systems.reid.known_keys import refuse_misspelt
from encore.systems.reid.param_blocks import MODELS, OwnKeys
from encore.systems.reid.params_json import BLOCKS_ALONE, blocks_from

STATE = "H"
"""The published state that has this program."""


@dataclass(frozen=True)
class EvalModel:
    """model_params; the defaults are those of the published code. Two keys of training do nothing here."""

    model: str = limited("resnet_50", choices=MODELS)
    feature_dim: int = limited(256, low=1)
    pcb_n_parts: int = limited(0, low=0)
    last_conv_stride: int = limited(1, choices=(1, 2))
    feature_mask: bool = False
    feature_gobal_dim: int = limited(0, low=0)
    spectral_trans: float = limited(0.0, low=0)
    random_drop_branchs: int = limited(0, low=0)


@dataclass(frozen=True)
class EvalParams:
    """An eval_params.json; the defaults are the shipped values, but for gpus (shipped: 3), for the paths, and
    for spectral_transform: shipped as 0.7, and off where it is missing, as the published code has it."""

    batch_size: int = limited(512, low=1)
    gpus: Tuple[int, ...] = limited((0,), low=0)
    img_h: int = limited(256, low=1)
    img_w: int = limited(128, low=1)
    model_params: EvalModel = EvalModel()
    feature_path: str = ""
    spectral_transform: float = limited(0.0, low=0)
    """A temperature; 0: off."""
    model_path: str = ""
    benchmark_type: str = "market_evaluate"
    result_log_file: str = ""
    num_labels: int = limited(0, low=0)
    """Identities of the classifiers, which only some evaluators need; 0: without."""
    reranking: bool = False
    multi_query: bool = False
    num_preprocess_workers: int = limited(0, low=0)
    encore: OwnKeys = OwnKeys()


BLOCKS = {"model_params": EvalModel, "encore": OwnKeys}


def read_eval_params(path):
    """(EvalParams, the other keys as a dict, warnings) of a JSON file; Refusal naming file and key for what
    is not JSON, a key that stands twice, a wrong value, and a key that looks like a misspelt one.

    Among the other keys are blocks of a params.json that evaluators, or a network with margins, may read here
    too; they are checked as there.
    """
    mapping = read_json(path)
    _, warnings = blocks_from(mapping, path)
    for block, kind in BLOCKS.items():
        inside = mapping.get(block)
        for name in _unknown(inside, kind) if isinstance(inside, dict) else ():
            refuse_misspelt("{}: {}.".format(path, block), name, _keys(kind))
    others = {}
    for name in _unknown(mapping, EvalParams):
        if name not in BLOCKS_ALONE:
            refuse_misspelt("{}: ".format(path), name, _keys(EvalParams) + list(BLOCKS_ALONE))
            warnings.append("{}: {}: unknown key, kept for evaluators only".format(path, name))
        others[name] = mapping.pop(name)
    params = from_mapping(EvalParams, mapping, path)
    meant = alias_of(params.benchmark_type, params.encore.evaluators)
    if meant:
        warnings.append("{}: benchmark_type: {}: read as {}".format(path, params.benchmark_type, meant))
    return params, others, warnings


def _keys(kind):
    return [field.name for field in dataclasses.fields(kind)]


def _unknown(mapping, kind):
    return [name for name in mapping if name not in _keys(kind)]


def config_of(params, others):
    """The dict that the evaluator gets; `online_net` is None where feature_path holds the features."""
    config = dict(others, **dataclasses.asdict(params))
    config["encore"]["state"] = params.encore.state or STATE
    is_there = bool(params.feature_path) and os.path.isfile(params.feature_path)
    network, device = (None, "cpu") if is_there else open_model(params, others)
    config.update(
        online_net=network,
        device=device,
        global_step=0,
        evaluation_root=params.encore.evaluation_root,
        sub_working_dir=os.path.dirname(os.path.abspath(params.model_path)),
    )
    return config


def open_model(params, others):
    """(network, device) of model_path, torch weights or an ONNX file; gpus are the ones it may see."""
    if not params.model_path:
        raise Refusal("model_path: missing: name a model.pth or an ONNX file")
    os.environ["CUDA_VISIBLE_DEVICES"] = ", ".join(str(gpu) for gpu in params.gpus)  # as published
    if params.model_path.endswith(".onnx"):
        from encore.systems.reid.onnx_predictor import ONNXPredictor

        return ONNXPredictor(params.model_path, 0, params.batch_size), "cpu"
    import torch

    from encore.systems.reid.trained_network import load_trained

    network = load_trained(_shape(params), params.model_path, params.num_labels, _margins(others))
    if params.gpus and not torch.cuda.is_available():
        print("encore: gpus {}: torch sees none, so the CPU works".format(list(params.gpus)), file=sys.stderr)
        return network, "cpu"
    return (network.to("cuda"), "cuda") if params.gpus else (network, "cpu")


def _shape(params):
    from encore.systems.reid.network import NetworkShape

    model, own = params.model_params, params.encore
    later = (own.state or STATE) == "H"
    return NetworkShape(
        state=own.state or STATE,
        model=model.model,
        feature_dim=model.feature_dim,
        pcb_n_parts=model.pcb_n_parts,
        last_conv_stride=model.last_conv_stride if later else 2,
        feature_mask=later and model.feature_mask,
        feature_gobal_dim=model.feature_gobal_dim if later else 0,
        width=own.width,
        layers=own.layers,
    )


def _margins(others):
    """The AngularSoftmax of asoftmax_params, or None."""
    block = blocks_from(others, "eval_params")[0].get("asoftmax_params")
    return block if block is not None and block.margin else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("config", metavar="eval_params.json")
    path = parser.parse_args().config
    params, others, warnings = read_eval_params(path)
    for warning in warnings:
        print("encore: warning: {}".format(warning), file=sys.stderr)
    own = params.encore
    evaluator = find_evaluator(params.benchmark_type, own.evaluators, own.best_by)
    config = config_of(params, others)
    evaluator.check_best_by(config)
    measured = evaluator.measure(config)
    line = json.dumps(measured.metrics, sort_keys=True)
    print(line)
    if params.result_log_file:
        with open(params.result_log_file, "a", encoding="utf-8") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    run_stage(main)
