"""The largest classes of a row, against the published helpers."""

import json

import numpy as np
import pytest
import torch
from golden_files import golden

from encore.systems.fkd.top_k import hits, keep_top_k

PUBLISHED = json.loads(golden("fkd/topk/keep_top_k.json").read_text())
ARRAYS = np.load(str(golden("fkd/topk/keep_top_k.npz")))


def probabilities(case):
    draws = np.random.RandomState(case["seed"]).standard_normal((case["n"], case["classes"]))
    return torch.softmax(torch.from_numpy((draws * case["scale"]).astype(np.float32)), 1)


@pytest.mark.parametrize("number", range(len(PUBLISHED["cases"])))
def test_cut_probabilities_equal_the_published_ones(number):
    case = PUBLISHED["cases"][number]
    found = keep_top_k(probabilities(case), case["k"]).double()
    expected = case["result"]
    assert list(found.shape) == expected["shape"]
    assert found.sum().item() == pytest.approx(expected["sum"], abs=1e-6)
    assert found.norm().item() == pytest.approx(expected["l2"], rel=1e-6)
    for values, place in (
        (expected["first"], slice(None)),
        (expected["last"], slice(-len(expected["last"]), None)),
    ):
        part = found.flatten()[place][: len(values)].numpy()
        np.testing.assert_allclose(part, values, rtol=0, atol=1e-7)
    if "case%d" % number in ARRAYS:
        np.testing.assert_allclose(found.numpy(), ARRAYS["case%d" % number], rtol=0, atol=1e-7)


def test_all_classes_are_the_same_probabilities():
    given = probabilities(PUBLISHED["cases"][0])
    assert keep_top_k(given, given.shape[1]) is given
    assert keep_top_k(given, 1000) is given
    assert keep_top_k(given, None) is given


@pytest.mark.parametrize("case", PUBLISHED["accuracy"], ids=lambda case: str(case["seed"]))
def test_hits_are_those_of_the_published_accuracy(case):
    draws = np.random.RandomState(case["seed"])
    scores = torch.from_numpy(draws.standard_normal((16, 10)).astype(np.float32))
    targets = torch.from_numpy(draws.randint(0, 10, 16))
    assert [100 * hits(scores, targets, k) / 16 for k in (1, 5)] == case["top1_top5"]


def test_five_of_fewer_classes_hold_every_target():
    assert hits(torch.randn(7, 3), torch.randint(0, 3, (7,)), 5) == 7
