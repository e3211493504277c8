"""A tiny training run, made to run in a process of its own, which can kill itself."""

import os

import torch

from encore.models.isc_network import IscShape
from encore.systems.isc.recipe import TrainingRecipe
from encore.systems.isc.training import train
from tests.encore.in_memory_set import InMemorySet
from tests.encore.killed_run import die, die_in_save

RECIPE = TrainingRecipe(
    seed=7,
    shape=IscShape((1, 1, 1, 1), 2, 16, 32, 8),
    height=32,
    width=32,
    batch=32,
    learning_rate=0.01,
    epochs=2,
    iterations=5,
    schedule=(1, 2, 3),
    print_every=1,
    save_every=2,
    workers=0,
)


def run(logs, kill_after=None, kill_in_save=None, environment=()):
    """Train in `logs`; kill_after: (epoch, step) after which, kill_in_save: the save in which the process
    kills itself."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    if kill_in_save:
        die_in_save(kill_in_save)

    def on_step(epoch, step, result):
        if (epoch, step) == kill_after:
            die()

    train(RECIPE, InMemorySet(), None, str(logs), auto_resume=True, device="cpu", on_step=on_step)
