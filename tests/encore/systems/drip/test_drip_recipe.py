"""Values of stages and recipe: published numbers of optimizer and schedules, and refusals."""

import importlib.util
import json

import pytest
import torch
from PIL import Image

from encore.runtime.parameters import from_mapping
from encore.runtime.refusal import Refusal
from encore.systems.drip.network import NetworkShape, build
from encore.systems.drip.precision import Precision
from encore.systems.drip.recipe import COSINE, FREE, PLATEAU, DripRecipe
from encore.systems.drip.stage_data import StageData
from encore.systems.drip.stage_run import StageRun
from encore.systems.drip.stage_values import DripStageValues, StopRule, read_stages, stage_of
from encore.systems.drip.start_weights import StartWeights
from encore.systems.drip.training_steps import DripTraining
from encore.systems.drip.view_batches import ViewBatch, ViewBatches
from encore.training.distributed import ALONE
from tests.encore.systems.drip.drip_formula import formula_weights
from tests.encore.systems.drip.tiny_drip import PARAMETERS, RECIPE, SHAPE
from tests.golden_files import golden

needs_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")


def published():
    with open(str(golden("drip/model.json")), encoding="utf-8") as file:
        return json.load(file)


def groups_of(optimizer):
    return [
        {
            "n": len(group["params"]),
            "numel": sum(parameter.numel() for parameter in group["params"]),
            **{name: group[name] for name in ("lr", "eps", "weight_decay", "amsgrad")},
            "betas": list(group["betas"]),
        }
        for group in optimizer.param_groups
    ]


@needs_timm
def test_the_published_optimizer():
    expected = published()["optimizer"]
    network = build(NetworkShape(), 0, classes=6)
    optimizer = DripRecipe().optimizer(network)
    assert type(optimizer).__name__ == expected["class"]
    assert groups_of(optimizer) == expected["groups"]


@pytest.mark.parametrize("case", ["plain", "random", "threshold"])
def test_the_published_rates_of_the_plateau(case):
    expected = published()["plateau"][case]
    network = build(SHAPE, 0, classes=6)
    optimizer = DripRecipe().optimizer(network)
    schedule = DripRecipe().schedule(optimizer)
    rates = [optimizer.param_groups[0]["lr"]]
    for loss in expected["losses"]:
        schedule.step(loss)
        first, second = (group["lr"] for group in optimizer.param_groups)
        assert first == second
        rates.append(first)
    assert rates == pytest.approx(expected["lr_before_epoch_0_then_after_each"], rel=1e-12, abs=0)


def test_the_published_rates_of_the_other_schedule():
    expected = published()["warmup_cosine_alternative"]
    recipe = DripRecipe(scheduler_name=COSINE)
    optimizer = recipe.optimizer(build(SHAPE, 0, classes=6))
    schedule = recipe.schedule(optimizer)
    rates = []
    for epoch in range(len(expected)):
        rates.append(optimizer.param_groups[0]["lr"])
        if epoch == 50:  # a resume changes nothing
            state = schedule.state_dict()
            schedule = recipe.schedule(optimizer)
            schedule.load_state_dict(state)
        schedule.step(1.0)
    assert rates == pytest.approx(expected, rel=1e-12, abs=0)


def test_the_published_stages():
    class Views:
        def __init__(self, classes):
            self.classes = classes

        def __len__(self):
            return self.classes

    for expected in published()["stages"]:
        values = DripStageValues(
            n_facebook_samples=expected["fb"],
            n_imagenet_samples=expected["imagenet"],
            batch_size=expected["batch"],
            qry_augs_intensity=expected["intensity"],
        )
        batches = ViewBatches(Views(values.classes), 0, values.batch_size)
        assert (values.classes, "./" + values.folder_name) == (expected["C"], expected["dir"])
        assert values.steps == batches.steps == expected["steps_per_epoch"]
        assert batches.validation_steps(DripRecipe().limit_val_batches) == expected["val_batches"]
    assert DripStageValues().folder_name == "TEST26_5k_nobias_l1"  # the trainer without a flag


@needs_timm
@pytest.mark.parametrize("case", ["loss_plain", "loss_fallback"])
def test_a_step_has_the_published_loss_and_gradients(case, monkeypatch):
    """The clean views stand for the augmented ones, as in the published run of these numbers."""
    import numpy as np

    expected, arrays = published()[case], np.load(str(golden("drip/model.npz")))
    recipe, values = DripRecipe(precision=32), DripStageValues(n_facebook_samples=40, batch_size=2)
    run = StageRun(recipe, values, NetworkShape(), StartWeights(None), "none", StageData(None, None, {}))
    training = DripTraining(run, ALONE, torch.device("cpu"))
    formula_weights(training.network)
    if case == "loss_fallback":
        kernel = training.network.criterion.kernel.detach().clone()
        kernel[:, [3, 17]] = torch.from_numpy(arrays["fallback_kernel_cols_3_17"])
        training.network.criterion.set_kernel(kernel)
    training.to_device()
    found = {}

    def update(self, optimizer, parameters, largest_norm, processes, own):
        found.update({name: p.grad.double() for name, p in training.network.named_parameters()})
        return False

    monkeypatch.setattr(Precision, "update", update)
    pixels = [np.asarray(Image.open(str(golden("drip/ref160_photo%d.png" % n)))) for n in range(2)]
    pixels = torch.from_numpy(np.stack(pixels).transpose(0, 3, 1, 2).copy())
    batch = ViewBatch(torch.tensor(expected["labels"]), None, pixels, {}, "imagenet")
    result = training.step(0, 0, batch)
    assert result.loss == pytest.approx(expected["loss"], rel=1e-4)
    for name, of_name in expected["grads"].items():
        gradient = found[name].contiguous().flatten()
        assert gradient.norm().item() == pytest.approx(of_name["l2"], rel=1e-3), name
        differences = np.abs(gradient[:16].numpy() - np.array(of_name["first16"]))
        assert differences.max() <= 1e-3 * of_name["l2"], name
    total = sum(gradient.pow(2).sum().item() for gradient in found.values()) ** 0.5
    assert total == pytest.approx(expected["total_grad_norm"], rel=1e-3)


def test_the_values_of_the_published_configuration():
    recipe = DripRecipe()
    assert (recipe.init_lr, recipe.clip_grad_norm, recipe.precision) == (1e-3, 1.0, 16)
    assert (recipe.arc_s, recipe.arc_m, recipe.limit_val_batches) == (40.0, 0.4, 0.05)
    assert (recipe.scheduler_name, recipe.sched_factor, recipe.sched_patience) == (PLATEAU, 0.9, 2)
    assert (recipe.do_ref_trn, recipe.ref_trn_n_epochs, recipe.save_top_k) == (False, 5, 3)


def test_the_digest_leaves_out_what_changes_no_result():
    assert set(RECIPE.digest()) == set(DripRecipe.__dataclass_fields__) - set(FREE)
    assert RECIPE.digest() != DripRecipe().digest()


@pytest.mark.parametrize(
    "values, message",
    [
        ({"init_lr": 0.0}, "init_lr must be above 0 and finite"),
        ({"sched_factor": 1.0}, "sched_factor must be below 1"),
        ({"arc_m": 3.2}, "arc_m is an angle below pi"),
        ({"precision": 8}, "precision: expected one of 16, 32"),
        ({"processes": 3}, "processes: expected one of 1, 2, 4"),
        ({"lr": 1e-3}, "recipe.lr: unknown key"),
    ],
)
def test_other_recipes_are_refused(values, message):
    with pytest.raises(Refusal, match=message):
        from_mapping(DripRecipe, values, "params.yaml: recipe")


@pytest.mark.parametrize(
    "rule, epochs, trn, val, ends",
    [
        (StopRule(), 999, 0.0, 0.0, False),  # published: by hand
        (StopRule(), 1000, 9.0, 9.0, True),
        (StopRule(val_loss=1.0, trn_loss=2.0), 1, 2.1, 0.99, True),  # either suffices
        (StopRule(val_loss=1.0, trn_loss=2.0), 1, 1.99, 1.1, True),
        (StopRule(val_loss=1.0, trn_loss=2.0), 1, 2.0, 1.0, False),
        (StopRule(val_loss=1.0, min_epochs=3), 2, 0.1, 0.1, False),
        (StopRule(val_loss=1.0, min_epochs=3), 3, 0.1, 0.1, True),
    ],
)
def test_when_a_stage_ends(rule, epochs, trn, val, ends):
    assert rule.ends(epochs, trn, val) is ends


def test_stages_of_a_parameter_file(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(PARAMETERS)
    stages = read_stages(path)
    assert list(stages) == ["c10", "c16"]
    assert [values.makes_centroids for values in stages.values()] == [False, True]
    recorded = stages["c16"].recorded()
    assert recorded["from"] == "c10" and stage_of(recorded, "again") == stages["c16"]
    assert not DripStageValues("c10", kernel="random").makes_centroids


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("from: c10", "from: c17", "drip.stages.c16.from: expected one of start, c10, .* found c17"),
        ("from: start", "from: c16", "drip.stages.c10.from: expected one of start, which come before"),
        ("from: c10", "from_: c10", "drip.stages.c16.from_: unknown key; write from"),
        ("batch_size: 4", "batch_size: 0", "params.yaml: drip.stages.c10.batch_size: expected 1 to"),
        ("max_epochs: 3", "max_epochs: 3, min_epochs: 4", "min_epochs must be max_epochs at most"),
        ("n_facebook_samples: 10, batch_size: 4", "n_facebook_samples: 0", "all 0: ask for classes"),
        ("stages:", "steps:", "the section drip.stages, names with values, is missing"),
    ],
)
def test_stages_that_do_not_fit_are_refused(tmp_path, old, new, message):
    path = tmp_path / "params.yaml"
    assert old in PARAMETERS
    path.write_text(PARAMETERS.replace(old, new, 1))
    with pytest.raises(Refusal, match=message):
        read_stages(path)
