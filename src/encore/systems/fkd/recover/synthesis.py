"""Making one batch of pictures, iteration by iteration."""

from __future__ import annotations

import random
from typing import NamedTuple, Optional

import torch
import torch.nn.functional as F

from encore.runtime.seeds import derive_seed
from encore.systems.fkd.recover.curriculum import learning_rate, smallest_scale
from encore.systems.fkd.recover.priors import mean_length, total_variation
from encore.systems.fkd.recover.shared_augmentation import Augmentation, augmented, draw_augmentation
from encore.training.numerical_fault import NumericalFault, check_step

BETAS = (0.5, 0.9)
EPSILON = 1e-8


class Losses(NamedTuple):
    """The terms of one iteration, tensors without a graph, before their weights."""

    total: torch.Tensor
    """With the weights."""
    cross_entropy: torch.Tensor
    batch_norm: torch.Tensor
    """With the factor on the first layer."""
    by_layer: torch.Tensor
    """(layers,), without it."""
    total_variation: Optional[torch.Tensor]
    """None, like `mean_length`, where its weight is 0."""
    mean_length: Optional[torch.Tensor]
    augmentation: Augmentation
    learning_rate: float

    def numbers(self):
        """Name -> float, for a record."""
        found = {
            "loss": self.total,
            "cross_entropy": self.cross_entropy,
            "batch_norm": self.batch_norm,
            "tv": self.total_variation,
            "l2": self.mean_length,
        }
        numbers = {name: value.item() for name, value in found.items() if value is not None}
        return dict(numbers, learning_rate=self.learning_rate)


def random_streams(seed, *address):
    """(torch.Generator of noise, crops and flips; random.Random of rolls) of the batch at `address`."""
    generator = torch.Generator()
    generator.manual_seed(derive_seed(seed, "fkd", "recover", *address))
    return generator, random.Random(derive_seed(seed, "fkd", "recover", "roll", *address))


class Synthesis:
    """A batch of pictures on its way from noise; `step` does one iteration.

    recipe: a RecoverRecipe. teacher: a MatchedTeacher on `device`. targets: the class of each picture.
    generator, rolls: as of `random_streams`; the noise is drawn at once, on the CPU whatever the device.
    """

    def __init__(self, recipe, teacher, targets, generator, rolls, device="cpu"):
        self.recipe, self.teacher = recipe, teacher
        self.generator, self.rolls = generator, rolls
        self.targets = torch.tensor(list(targets), dtype=torch.int64, device=device)
        self.iteration = 0
        """The next one, from 0."""
        noise = torch.randn((len(targets), 3, recipe.size, recipe.size), generator=generator)
        self.pictures = noise.to(device).requires_grad_(True)
        """Float32 (n, 3, size, size), normalised by channel."""
        self._optimizer = torch.optim.Adam([self.pictures], recipe.learning_rate, BETAS, EPSILON)
        pairs = list(zip(recipe.mean, recipe.deviation))
        self._lowest = _by_channel([-mean / deviation for mean, deviation in pairs], device)
        self._highest = _by_channel([(1 - mean) / deviation for mean, deviation in pairs], device)
        self._mean, self._deviation = (_by_channel(v, device) for v in (recipe.mean, recipe.deviation))

    @property
    def finished(self):
        return self.iteration >= self.recipe.iterations

    def step(self):
        """One update of the pictures -> Losses before it. They stay within what a pixel can be. Raises
        NumericalFault, before the update and with all as it was, see `check_step`."""
        recipe = self.recipe
        rate = learning_rate(recipe, self.iteration)
        smallest = smallest_scale(recipe, self.iteration)
        before = self.generator.get_state(), self.rolls.getstate()
        drawn = draw_augmentation(recipe, smallest, self.generator, self.rolls)
        loss, losses = self.losses(drawn, rate)
        (self.pictures.grad,) = torch.autograd.grad(loss, self.pictures)
        try:
            check_step(loss.item(), losses.numbers(), [("pictures", self.pictures)])
        except NumericalFault:  # the state before this iteration
            self.generator.set_state(before[0])
            self.rolls.setstate(before[1])
            raise
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        with torch.no_grad():
            self.pictures.clamp_(self._lowest, self._highest)
        self.iteration += 1
        return losses

    def losses(self, drawn, rate):
        """(loss with its graph, Losses) of the pictures as they are, under the Augmentation `drawn`."""
        recipe = self.recipe
        x = augmented(self.pictures, drawn)
        logits, by_layer = self.teacher(x)
        cross_entropy = F.cross_entropy(logits, self.targets)
        batch_norm = recipe.first_bn_multiplier * by_layer[0] + by_layer[1:].sum()
        tv = total_variation(x) if recipe.tv else None
        l2 = mean_length(x) if recipe.l2 else None
        loss = cross_entropy
        for weight, term in ((recipe.tv, tv), (recipe.l2, l2), (recipe.r_bn, batch_norm)):
            if term is not None:
                loss = loss + weight * term
        terms = [loss, cross_entropy, batch_norm, by_layer, tv, l2]
        detached = [None if term is None else term.detach() for term in terms]
        return loss, Losses(*detached, augmentation=drawn, learning_rate=rate)

    def values(self):
        """The pictures as float32 (n, 3, size, size) from 0 to 1, a copy."""
        return (self.pictures.detach() * self._deviation + self._mean).clamp_(0, 1)

    def state(self):
        """What an exact continuation needs, as tensors and plain values."""
        adam = self._optimizer.state.get(self.pictures, {})
        return {
            "iteration": self.iteration,
            "targets": self.targets.cpu(),
            "pictures": self.pictures.detach().cpu(),
            "exp_avg": adam["exp_avg"].cpu() if adam else None,
            "exp_avg_sq": adam["exp_avg_sq"].cpu() if adam else None,
            "generator": self.generator.get_state(),
            "rolls": self.rolls.getstate(),
        }

    def restore(self, state):
        """Go on from what `state` returned. Raises ValueError for that of another batch."""
        if not torch.equal(state["targets"], self.targets.cpu()):
            raise ValueError("the saved state is of other classes")
        with torch.no_grad():
            self.pictures.copy_(state["pictures"])
        self.iteration = state["iteration"]
        self.generator.set_state(state["generator"])
        version, words, left = state["rolls"]
        self.rolls.setstate((version, tuple(words), left))
        if state["exp_avg"] is None:
            return
        content = self._optimizer.state_dict()
        content["state"] = {
            0: {
                "step": torch.tensor(float(self.iteration)),
                "exp_avg": state["exp_avg"],
                "exp_avg_sq": state["exp_avg_sq"],
            }
        }
        self._optimizer.load_state_dict(content)


def _by_channel(values, device):
    return torch.tensor(values, dtype=torch.float32, device=device).view(1, 3, 1, 1)
