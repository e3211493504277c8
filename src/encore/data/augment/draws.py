"""Every random number that an augmentation uses, from two private generators."""

from __future__ import annotations

import random

import torch


class Draws:
    """The two random streams of one picture: Python's (`.python`) and torch's (`.torch`), both from one seed.

    The published scripts draw from Python's `random` and from torch's global generator; these are private
    generators with the same algorithms, so `Draws(s)` gives what `random.seed(s); torch.manual_seed(s)` gave
    there, and no global state is read or changed. Methods carry the names and consume the streams of the
    calls that they stand for. torch keeps only the low 32 bits of the seed, as it does for
    `torch.manual_seed`.
    """

    def __init__(self, seed):
        self.python = random.Random(seed)
        self.torch = torch.Generator()
        self.torch.manual_seed(seed)

    def rand(self):
        """`torch.rand(1)`: a float32 in [0, 1), as a Python float."""
        return torch.rand(1, generator=self.torch).item()

    def uniform_(self, low, high):
        """`torch.empty(1).uniform_(low, high)`: a float32, as a Python float."""
        return torch.empty(1).uniform_(low, high, generator=self.torch).item()

    def torch_randint(self, low, high):
        """`torch.randint(low, high, (1,))`: `high` is excluded."""
        return torch.randint(low, high, (1,), generator=self.torch).item()

    def randperm(self, count):
        """`torch.randperm(count)` as a list."""
        return torch.randperm(count, generator=self.torch).tolist()

    def random(self):
        """`random.random()`."""
        return self.python.random()

    def uniform(self, low, high):
        """`random.uniform(low, high)`."""
        return self.python.uniform(low, high)

    def randint(self, low, high):
        """`random.randint(low, high)`: both ends included."""
        return self.python.randint(low, high)

    def choice(self, options):
        """`random.choice(options)`."""
        return self.python.choice(options)

    def indices(self, population, count):
        """`random.choices(range(population), k=count)`: with replacement."""
        return self.python.choices(range(population), k=count)


class TracedDraws(Draws):
    """Draws that also keep every draw, in order, in `.trace` as `[function, arguments..., value]`."""

    def __init__(self, seed):
        super().__init__(seed)
        self.trace = []

    def _keep(self, *entry):
        self.trace.append(list(entry))
        return entry[-1]

    def rand(self):
        return self._keep("torch.rand", 1, super().rand())

    def uniform_(self, low, high):
        return self._keep("torch.uniform_", low, high, super().uniform_(low, high))

    def torch_randint(self, low, high):
        return self._keep("torch.randint", low, high, [1], super().torch_randint(low, high))

    def randperm(self, count):
        return self._keep("torch.randperm", count, super().randperm(count))

    def random(self):
        return self._keep("random.random", super().random())

    def uniform(self, low, high):
        return self._keep("random.uniform", low, high, super().uniform(low, high))

    def randint(self, low, high):
        return self._keep("random.randint", low, high, super().randint(low, high))

    def choice(self, options):
        return self._keep("random.choice", "list of {}".format(len(options)), super().choice(options))

    def indices(self, population, count):
        value = super().indices(population, count)
        return self._keep("random.choices", "range({})".format(population), "k={}".format(count), value)
