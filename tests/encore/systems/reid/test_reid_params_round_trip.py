"""A params.json that was written reads back as equal, unknown keys included."""

import json
import pickle
import random

import pytest

from encore.systems.reid import known_keys
from encore.systems.reid.params_json import (
    MODELS,
    params_from,
    read_params_json,
)
from tests.encore.systems.reid.shipped_params import SHIPPED_H, SHIPPED_S, changed, read


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
