"""Values of classifiers: the published tables, rates in closed form, weight decay, refused values."""

import dataclasses
import math

import pytest
import torch

from encore.runtime.parameters import from_mapping
from encore.runtime.refusal import Refusal
from encore.systems.fkd.classifier_recipe import (
    FREE,
    ONLINE,
    SQUEEZE,
    Augmentation,
    ClassifierRecipe,
    Distillation,
    OptimizerValues,
    Schedule,
    changed_recipe,
)
from encore.systems.fkd.networks import NetworkShape, build

IMAGENET = {"mean": (0.485, 0.456, 0.406), "deviation": (0.229, 0.224, 0.225), "size": 224}
TINY = {"mean": (0.4802, 0.4481, 0.3975), "deviation": (0.2302, 0.2265, 0.2262), "size": 64}
CIFAR = {"mean": (0.4914, 0.4822, 0.4465), "deviation": (0.2023, 0.1994, 0.2010), "size": 32}
RESIZED = Augmentation("resized", 0.08, 1.0, flip=0.5)
PADDED = Augmentation("padded", pad=4, flip=0.5)
ADAMW = ("adamw", 0.001, 0.01, "weights")

TABLE = [
    # recipe, picture, augmentation, epochs, batch, replicas, accumulation, resize, optimizer, layout
    (SQUEEZE["imagenet"], IMAGENET, RESIZED, 90, 256, 8, 1, 256, ("sgd", 0.1, 1e-4, "all"), "bare"),
    (SQUEEZE["tiny"], TINY, RESIZED, 50, 256, 1, 1, None, ("sgd", 0.2, 1e-4, "all"), "model"),
    (SQUEEZE["cifar100"], CIFAR, PADDED, 200, 128, 1, 1, None, ("sgd", 0.1, 5e-4, "all"), "state_dict"),
    (ONLINE["imagenet"], IMAGENET, RESIZED, 300, 512, 1, 2, 256, ADAMW, "state_dict"),
    (ONLINE["tiny"], TINY, RESIZED, 100, 256, 1, 1, None, ("sgd", 0.2, 1e-4, "all"), "model"),
    (ONLINE["cifar100"], CIFAR, PADDED, 400, 128, 1, 1, None, ADAMW, "state_dict"),
]


@pytest.mark.parametrize("row", TABLE)
def test_the_published_values(row):
    recipe, picture, augmentation, *rest = row
    assert {name: getattr(recipe, name) for name in picture} == picture
    if augmentation.crop == "padded":
        assert (recipe.augmentation.crop, recipe.augmentation.pad, recipe.augmentation.flip) == (
            "padded",
            4,
            0.5,
        )
    else:
        assert recipe.augmentation == augmentation
    optimizer = recipe.optimizer
    assert rest == [
        recipe.epochs,
        recipe.batch,
        recipe.replicas,
        recipe.accumulation,
        recipe.validation_resize,
        (optimizer.name, optimizer.learning_rate, optimizer.weight_decay, optimizer.decay),
        recipe.layout,
    ]
    assert optimizer.name == "adamw" or optimizer.momentum == 0.9


def test_the_published_distillations():
    assert all(recipe.distillation is None for recipe in SQUEEZE.values())
    found = {
        name: (
            recipe.distillation.temperature,
            recipe.distillation.squared,
            recipe.distillation.mix,
            recipe.distillation.alpha,
        )
        for name, recipe in ONLINE.items()
    }
    assert found == {
        "imagenet": (20.0, False, "cutmix", 1.0),
        "tiny": (20.0, True, "none", None),
        "cifar100": (30.0, False, "mixup", 0.8),
    }
    assert SQUEEZE["cifar100"].keep_best and not SQUEEZE["tiny"].keep_best
    assert ONLINE["imagenet"].update == 1024


def test_step_cosine_linear_and_constant_rates():
    rates = [SQUEEZE["imagenet"].rate(epoch) for epoch in range(90)]
    assert rates == pytest.approx([0.1] * 30 + [0.01] * 30 + [0.001] * 30)
    cifar = SQUEEZE["cifar100"]
    for epoch in (0, 1, 99, 100, 199):
        assert cifar.rate(epoch) == pytest.approx(0.05 * (1 + math.cos(math.pi * epoch / 200)), rel=1e-12)
    linear = Schedule("linear")
    assert [linear.factor(epoch, 4) for epoch in range(4)] == [1.0, 0.75, 0.5, 0.25]
    assert {Schedule("constant").factor(epoch, 4) for epoch in range(4)} == {1.0}


def test_the_warm_up_rises_evenly_and_the_cosine_follows():
    tiny = SQUEEZE["tiny"]
    rising = [0.2 * (0.01 + 0.99 * epoch / 5) for epoch in range(5)]
    falling = [0.1 * (1 + math.cos(math.pi * (epoch - 5) / 45)) for epoch in range(5, 50)]
    assert [tiny.rate(epoch) for epoch in range(50)] == pytest.approx(rising + falling, rel=1e-12)
    assert tiny.rate(5) == 0.2


@pytest.mark.filterwarnings("ignore")
def test_rates_are_those_of_torchs_schedulers():
    scheduler = pytest.importorskip("torch.optim.lr_scheduler")
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.2)
    chain = scheduler.SequentialLR(
        optimizer,
        [
            scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=5),
            scheduler.CosineAnnealingLR(optimizer, T_max=45, eta_min=0.0),
        ],
        milestones=[5],
    )
    for epoch in range(50):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(SQUEEZE["tiny"].rate(epoch), rel=1e-6)
        optimizer.step()
        chain.step()


def test_weight_decay_is_on_all_parameters_or_on_the_published_ones():
    network = build(NetworkShape("resnet18", 10, True, 4, (1, 1, 1, 1)), 0)
    everything = SQUEEZE["tiny"].build_optimizer(network)
    (group,) = everything.param_groups
    assert len(group["params"]) == len(list(network.parameters())) and group["weight_decay"] == 1e-4
    assert (group["momentum"], group["nesterov"], group["lr"]) == (0.9, False, 0.2)
    decaying, others = ONLINE["imagenet"].build_optimizer(network).param_groups
    assert {parameter.ndim for parameter in others["params"]} == {1}
    assert {parameter.ndim for parameter in decaying["params"]} == {2, 4}
    assert (decaying["weight_decay"], others["weight_decay"], decaying["betas"], decaying["eps"]) == (
        0.01,
        0.0,
        (0.9, 0.999),
        1e-8,
    )
    assert decaying["lr"] == others["lr"] == 0.001


def test_the_digest_names_what_a_resumed_run_must_share():
    recipe = ClassifierRecipe()
    assert set(recipe.digest()) == {field.name for field in dataclasses.fields(recipe)} - set(FREE)
    free = dataclasses.replace(recipe, workers=0, validation_workers=1, save_every=7)
    assert free.digest() == recipe.digest()
    changed = dataclasses.replace(recipe, schedule=Schedule("cosine"))
    assert [name for name in recipe.digest() if changed.digest()[name] != recipe.digest()[name]] == [
        "schedule"
    ]


def test_a_recipe_is_read_from_parameters():
    given = {"epochs": 3, "distillation": {"temperature": 4, "mix": "mixup"}, "schedule": {"kind": "linear"}}
    recipe = from_mapping(ClassifierRecipe, given, "p")
    assert recipe.distillation == Distillation(temperature=4.0, mix="mixup")
    assert recipe.rate(1) == pytest.approx(0.1 * 2 / 3)
    assert from_mapping(ClassifierRecipe, {"distillation": None}, "p").distillation is None


@pytest.mark.parametrize(
    "values, named",
    [
        ({"batch": 100}, r"batch \(100\) must give each of 8 replicas"),
        ({"epochs": 5, "schedule": {"warm_up_epochs": 5}}, "warm_up_epochs must be below epochs, found 5"),
        ({"optimizer": {"learning_rate": 0.0}}, "learning_rate must be above 0"),
        ({"optimizer": {"name": "adam"}}, r"optimizer\.name: expected one of sgd, adamw"),
        ({"deviation": [0.1, 0.0, 0.1]}, "deviation must be above 0"),
        ({"augmentation": {"min_scale": 0.9, "max_scale": 0.5}}, "smallest <= largest"),
        ({"augmentation": {"flip": 1.5}}, r"augmentation\.flip: expected 0 to 1"),
        ({"distillation": {"temperature": 0.0}}, r"distillation\.temperature must be above 0"),
        ({"distillation": {"mix": "blend"}}, r"distillation\.mix: expected one of"),
        ({"layout": "pickle"}, "layout: expected one of bare, model, state_dict"),
    ],
)
def test_bad_values_are_refused_by_name(values, named):
    with pytest.raises(Refusal, match=named):
        from_mapping(ClassifierRecipe, values, "p")


def test_a_preset_keeps_what_is_not_given():
    assert all(changed_recipe(recipe, {}) == recipe for recipe in [*SQUEEZE.values(), *ONLINE.values()])
    given = {"epochs": 7, "mean": [0.5, 0.4, 0.3], "optimizer": {"learning_rate": 1}, "distillation": None}
    changed = changed_recipe(ONLINE["cifar100"], given)
    assert changed == dataclasses.replace(
        ONLINE["cifar100"],
        epochs=7,
        mean=(0.5, 0.4, 0.3),
        optimizer=dataclasses.replace(ONLINE["cifar100"].optimizer, learning_rate=1.0),
        distillation=None,
    )
    online = changed_recipe(SQUEEZE["tiny"], {"distillation": {"mix": "mixup"}})
    assert online == dataclasses.replace(SQUEEZE["tiny"], distillation=Distillation(mix="mixup"))


@pytest.mark.parametrize(
    "values, named",
    [
        ({"epoch": 3}, r"recipe\.epoch: unknown key"),
        ({"optimizer": {"rate": 0.1}}, r"recipe\.optimizer\.rate: unknown key"),
        ({"optimizer": "sgd"}, r"recipe\.optimizer: expected keys and values"),
        ({"epochs": 5}, "warm_up_epochs must be below epochs, found 5 of 5"),
    ],
)
def test_bad_values_over_a_preset_are_refused_by_name(values, named):
    with pytest.raises(Refusal, match=named):
        changed_recipe(SQUEEZE["tiny"], values)


def test_optimizer_values_stand_alone():
    assert OptimizerValues() == SQUEEZE["imagenet"].optimizer
