"""A tiny Momentum²-Teacher run, made to run in a process of its own, which can kill itself."""

import torch

from encore.models.isc_network import IscShape
from encore.systems.momentum2_teacher.pretraining import pretrain
from encore.systems.momentum2_teacher.recipe import Momentum2Recipe
from tests.encore.in_memory_set import InMemorySet
from tests.encore.killed_run import die, die_in_save

RECIPE = Momentum2Recipe(
    seed=7,
    shape=IscShape((1, 1, 1, 1), 4, matrix=None, ibn=True),
    size=24,
    batch=8,
    replicas=2,
    epochs=3,
    warm_up_epochs=1,
    learning_rate=1.0,
    hidden=16,
    embedding=8,
    print_every=1,
    save_every=2,
    workers=0,
)
ITERATIONS = 5
EXPORT = "start.pkl"


def images():
    return InMemorySet(10, 4, 40)


def run(folder, recipe=RECIPE, kill_after=None, kill_in_save=None, kill_before_export=False):
    """Pre-train in `folder`; kill_after: (epoch, step) after which, kill_in_save: the save in which the
    process kills itself."""
    torch.set_num_threads(1)
    if kill_in_save:
        die_in_save(kill_in_save)
    if kill_before_export:
        from encore.systems.momentum2_teacher import pretraining

        pretraining.write_backbone = lambda path, state: die()

    def on_step(epoch, step, result):
        if (epoch, step) == kill_after:
            die()

    pretrain(recipe, images(), str(folder), str(folder / EXPORT), device="cpu", on_step=on_step)
