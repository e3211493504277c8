"""A tiny classifier's run, made to run in a process of its own, which can kill itself."""

import torch

from encore.data.class_folders import ClassFolders
from encore.systems.fkd.classification import train_classifier, write_result
from encore.systems.fkd.classifier_recipe import (
    Augmentation,
    ClassifierRecipe,
    Distillation,
    OptimizerValues,
    Schedule,
)
from encore.systems.fkd.networks import NetworkShape, build
from tests.encore.killed_run import die, die_in_save

SHAPE = NetworkShape("resnet18", 3, True, 4, (1, 1, 1, 1))
RECIPE = ClassifierRecipe(
    seed=7,
    size=8,
    augmentation=Augmentation("padded", pad=1),
    epochs=3,
    batch=8,
    replicas=2,
    optimizer=OptimizerValues(learning_rate=0.05),
    schedule=Schedule("cosine", warm_up_epochs=1),
    validation_resize=None,
    validate_every=2,
    keep_best=True,
    layout="state_dict",
    save_every=2,
    workers=0,
)
UPDATES = 4
"""Of an epoch: 30 pictures in batches of 8, the last one of 6."""
ONLINE = {
    "distillation": Distillation(temperature=4.0, mix="cutmix"),
    "optimizer": OptimizerValues("adamw", 0.003, weight_decay=0.01, decay="weights"),
}
RESULT = "result.pth"


def run(folder, pictures, recipe=RECIPE, kill_after=None, kill_in_save=None):
    """Train in `folder` on `pictures`/train; kill_after: (epoch, step) after which, kill_in_save: the save in
    which the process kills itself."""
    torch.set_num_threads(1)  # the number decides the bits
    if kill_in_save:
        die_in_save(kill_in_save)

    def on_step(epoch, step, result):
        if (epoch, step) == kill_after:
            die()

    trained = train_here(folder, pictures, recipe, on_step=on_step)
    write_result(str(folder / RESULT), trained, recipe)


def train_here(folder, pictures, recipe=RECIPE, **options):
    images, validation = (ClassFolders(str(pictures / name)) for name in ("train", "test"))
    if recipe.distillation is not None:
        options = dict({"teacher": build(SHAPE, 99, 8), "teacher_digest": "that one"}, **options)
    network = build(SHAPE, recipe.seed, 8)
    return train_classifier(recipe, network, images, validation, str(folder), device="cpu", **options)
