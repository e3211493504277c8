"""The terms of the loss against formulas written down a second time, with autograd of plain operations."""

import math
import random

import numpy as np
import pytest
import torch
import torch.nn as nn

from encore.runtime.refusal import Refusal
from encore.systems.fkd.networks import NetworkShape, build
from encore.systems.fkd.recover.priors import mean_length, total_variation
from encore.systems.fkd.recover.recipe import RecoverRecipe
from encore.systems.fkd.recover.shared_augmentation import augmented, draw_augmentation
from encore.systems.fkd.recover.statistics import MatchedTeacher
from encore.systems.fkd.recover.synthesis import Synthesis, random_streams

SHAPE = NetworkShape(classes=6, small_stem=True, width=4, layers=(1, 2, 1, 1))
RECIPE = RecoverRecipe(
    classes=6, size=16, iterations=8, jitter=3, r_bn=0.3, first_bn_multiplier=7.0, tv=0.02, l2=0.05
)


def teacher():
    network = build(SHAPE, 1).eval()
    draws = torch.Generator()
    draws.manual_seed(2)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            count = len(layer.running_mean)
            layer.running_mean.copy_(torch.randn(count, generator=draws) / 5)
            layer.running_var.copy_(torch.rand(count, generator=draws) + 0.5)
            layer.weight.data.copy_(torch.rand(count, generator=draws) + 0.5)
            layer.bias.data.copy_(torch.randn(count, generator=draws) / 5)
    return network


def by_hooks(network, x):
    """Logits and the distance of each BatchNorm layer, by torch's own operations in float64."""
    found = []

    def compare(layer, inputs, _):
        rows = inputs[0].transpose(0, 1).flatten(1)
        mean = rows.sum(1) / rows.shape[1]
        variance = ((rows - mean[:, None]) ** 2).sum(1) / rows.shape[1]
        of_variance = ((layer.running_var - variance) ** 2).sum().sqrt()
        found.append((layer, of_variance + ((layer.running_mean - mean) ** 2).sum().sqrt()))

    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    handles = [layer.register_forward_hook(compare) for layer in layers]
    logits = network(x)
    for handle in handles:
        handle.remove()
    found = dict(found)
    return logits, torch.stack([found[layer] for layer in layers])


def length(values):
    return math.sqrt(float((np.asarray(values, np.float64) ** 2).sum()))


def variation(x):
    """Term by term over pairs of neighbours: right, below, and the two below at an angle."""
    total = 0.0
    for down, right in ((0, 1), (1, 0), (1, -1), (1, 1)):
        gaps = [
            x[..., i, j] - x[..., i + down, j + right]
            for i in range(x.shape[2] - down)
            for j in range(max(0, -right), x.shape[3] - max(0, right))
        ]
        total += length(gaps)
    return total


def test_total_variation_and_length():
    x = np.random.RandomState(0).standard_normal((3, 2, 5, 4)).astype(np.float32)
    assert total_variation(torch.from_numpy(x)).item() == pytest.approx(variation(x), rel=1e-6)
    expected = np.mean([length(picture) for picture in x])
    assert mean_length(torch.from_numpy(x)).item() == pytest.approx(expected, rel=1e-6)


def test_distances_logits_and_their_gradient():
    x = torch.randn((5, 3, 16, 16), generator=random_streams(0, 1)[0])
    precise = x.double().requires_grad_(True)
    logits, distances = by_hooks(teacher().double(), precise)
    weights = torch.arange(1.0, 1.0 + len(distances), dtype=torch.float64)
    (expected,) = torch.autograd.grad((logits**2).sum() + (weights * distances).sum(), precise)
    x.requires_grad_(True)
    found_logits, found = MatchedTeacher(teacher())(x)
    (gradient,) = torch.autograd.grad((found_logits**2).sum() + (weights.float() * found).sum(), x)
    assert torch.allclose(found.double(), distances, rtol=1e-5, atol=0)
    assert torch.allclose(found_logits.double(), logits, rtol=1e-4, atol=1e-5)
    assert (gradient - expected).norm() < 1e-4 * expected.norm()


def test_the_gradient_is_the_derivative():
    """Central differences in float64, of the comparing layers alone."""
    network = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2, affine=False)).double()
    network[0].running_mean.fill_(0.3)
    network[1].running_var.fill_(0.6)
    matched = MatchedTeacher(network)
    x = torch.randn((2, 2, 3, 3), dtype=torch.float64, generator=random_streams(0, 2)[0]).requires_grad_(True)
    assert torch.autograd.gradcheck(matched, (x,))


def test_a_batch_with_the_running_statistics_has_no_distance_and_a_gradient():
    network = nn.Sequential(nn.BatchNorm2d(2))
    x = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).repeat(1, 2, 1, 1).requires_grad_(True)
    y, distances = MatchedTeacher(network)(x)
    (gradient,) = torch.autograd.grad(distances.sum() + y.sum(), x)
    assert distances.tolist() == [0.0] and torch.isfinite(gradient).all()


def test_the_loss_is_the_weighted_sum():
    synthesis = Synthesis(RECIPE, MatchedTeacher(teacher()), range(6), *random_streams(3, 0))
    drawn = draw_augmentation(RECIPE, 0.5, *random_streams(4, 0))
    _, losses = synthesis.losses(drawn, 0.1)
    x = augmented(synthesis.pictures.detach(), drawn)
    logits, distances = by_hooks(teacher().double(), x.double())
    chosen = torch.log_softmax(logits, 1)[range(6), range(6)]
    assert losses.cross_entropy.item() == pytest.approx(-chosen.mean().item(), rel=1e-5)
    batch_norm = 7 * distances[0].item() + distances[1:].sum().item()
    assert losses.batch_norm.item() == pytest.approx(batch_norm, rel=1e-5)
    parts = -chosen.mean().item() + 0.3 * batch_norm + 0.02 * variation(x.numpy())
    parts += 0.05 * np.mean([length(picture) for picture in x])
    assert losses.total.item() == pytest.approx(parts, rel=1e-5)


@pytest.mark.parametrize("symmetric, lowest", [(False, 0), (True, -3)])
def test_rolls_reach_both_ends(symmetric, lowest):
    recipe = RecoverRecipe(size=16, jitter=3, symmetric_roll=symmetric)
    generator, rolls = torch.Generator(), random.Random(0)
    found = {draw_augmentation(recipe, 0.08, generator, rolls).roll[0] for _ in range(200)}
    assert found == set(range(lowest, 4))


def test_the_chance_of_a_flip_changes_no_other_draw():
    drawn = {}
    for chance in (0.0, 0.5, 1.0):
        recipe = RecoverRecipe(size=16, jitter=3, flip=chance)
        streams = random_streams(0, 6)
        drawn[chance] = [draw_augmentation(recipe, 0.08, *streams) for _ in range(40)]
    flips = {chance: {found.flip for found in several} for chance, several in drawn.items()}
    assert flips == {0.0: {False}, 0.5: {False, True}, 1.0: {True}}
    others = [[(found.crop, found.roll) for found in several] for several in drawn.values()]
    assert others[0] == others[1] == others[2]


def test_one_crop_flip_and_roll_for_all_pictures():
    recipe = RecoverRecipe(size=12, jitter=4)
    picture = torch.randn((1, 3, 12, 12), generator=random_streams(0, 3)[0])
    for place in range(6):
        x = augmented(picture.repeat(4, 1, 1, 1), draw_augmentation(recipe, 0.08, *random_streams(5, place)))
        assert x.shape == (4, 3, 12, 12) and all(torch.equal(x[0], other) for other in x)


def test_without_crop_pictures_are_only_rolled():
    recipe = RecoverRecipe(size=8, jitter=3, crop=False)
    drawn = draw_augmentation(recipe, 0.08, *random_streams(0, 5))
    assert drawn.crop is None and drawn.flip is None
    x = torch.arange(64.0).view(1, 1, 8, 8)
    assert augmented(x, drawn)[0, 0, drawn.roll[0], drawn.roll[1]] == 0


def test_a_network_without_batch_norm_is_refused():
    with pytest.raises(Refusal, match="no BatchNorm2d layer"):
        MatchedTeacher(nn.Sequential(nn.Conv2d(3, 4, 1), nn.LayerNorm(4)))


def test_layers_without_running_statistics_are_refused():
    with pytest.raises(Refusal, match="keeps no statistics"):
        MatchedTeacher(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)))
