"""Students' runs: killed and resumed, refused, and where they differ from the published trainer."""

import dataclasses
import json
import os
import shutil
import signal

import pytest
import torch
from golden_files import FOLDER

from encore.data.class_folders import ClassFolders
from encore.runtime.refusal import Refusal
from encore.systems.fkd import student_checkpoints as checkpoints
from encore.systems.fkd import training as training_module
from encore.systems.fkd.batch_order import BatchOrder
from encore.systems.fkd.label_conversion import to_store
from encore.systems.fkd.label_store import LabelStoreWriter
from encore.systems.fkd.labels import open_labels
from encore.systems.fkd.tracking import HISTORY, LOG
from encore.systems.fkd.train_recipe import StudentRecipe
from encore.systems.fkd.training import Training, _batches, train_student
from encore.training.checkpoint_files import OURS, WORK_NAME
from encore.training.replay_step import VARIABLE
from tests.encore import killed_run
from tests.encore.killed_run import assert_same_bits

LABELS, PICTURES = FOLDER / "fkd" / "labels", FOLDER / "fkd" / "images"
RECIPE = StudentRecipe(
    batch=16,
    accumulation=2,
    epochs=3,
    mix="mixup",
    size=16,
    workers=0,
    validate_every=2,
    validation_resize=18,
    save_every=2,
    seed=5,
)


def student():
    """A small network with all that a step can change or draw: BatchNorm and dropout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 6, 3, 2),
            torch.nn.BatchNorm2d(6),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.3),
            torch.nn.Flatten(),
            torch.nn.Linear(6 * 7 * 7, 5),
        )


def run(
    folder,
    recipe=RECIPE,
    labels="mixup_fp16",
    images=PICTURES,
    on_step=None,
    network=None,
    validation=None,
    **options,
):
    """validation: folder; None: the pictures themselves."""
    torch.set_num_threads(1)
    images, validation = ClassFolders(str(images)), ClassFolders(str(validation or images))
    labels = open_labels(str(LABELS / labels))
    network = student() if network is None else network
    return train_student(
        recipe, network, labels, images, validation, str(folder), device="cpu", on_step=on_step, **options
    )


def test_a_step_that_is_only_looked_at_leaves_no_file(tmp_path, monkeypatch):
    recipe = dataclasses.replace(RECIPE, validate_every=1)
    monkeypatch.setenv(VARIABLE, "1:0")  # after the validation of an epoch
    with pytest.raises(SystemExit) as ended:
        run(tmp_path / "folder", recipe)
    assert ended.value.code == 0 and os.listdir(str(tmp_path / "folder")) == []


def run_and_die(folder, at, in_save=None):
    """Run until step `at` (epoch, step) has been made, or the checkpoint number `in_save` is half written."""

    def on_step(epoch, step, result):
        if (epoch, step) == at:
            killed_run.die()

    if in_save is not None:
        killed_run.die_in_save(in_save)
    run(folder, on_step=on_step)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: (folder, Trained)."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder)


def assert_same_run(folder, whole, labels=True):
    """labels: whether they are of the same layout too."""
    for name in (checkpoints.NAME, checkpoints.BEST):
        contents = [checkpoints.load(str(place / name)) for place in (folder, whole)]
        for content in contents:
            if not labels:
                del content[OURS]["recipe"]["labels"]
        assert_same_bits(*contents)
    for name in (HISTORY, LOG):
        assert (folder / name).read_text() == (whole / name).read_text()
    assert not [path.name for path in folder.iterdir() if WORK_NAME.fullmatch(path.name)]


def epochs_of_history(folder):
    return [json.loads(line)["epoch"] for line in (folder / HISTORY).read_text().splitlines()]


@pytest.mark.parametrize(
    "at, in_save",
    [
        ((0, 0), None),  # nothing saved yet
        ((0, 2), None),  # after the checkpoint within epoch 0
        ((1, 0), None),  # after the checkpoint of epoch 0
        ((1, 2), None),
        ((2, 1), None),
        (None, 1),  # half a checkpoint within an epoch
        (None, 3),  # between the best file and the checkpoint of epoch 0
        (None, 5),  # half the checkpoint of epoch 1
    ],
)
def test_a_run_killed_anywhere_ends_in_the_same_bits(tmp_path, whole, at, in_save):
    process = killed_run.start(run_and_die, tmp_path, at, in_save)
    assert killed_run.finish(process) == -signal.SIGKILL
    result = run(tmp_path)
    assert_same_run(tmp_path, whole[0])
    assert result[:6] == whole[1][:6]


def test_a_run_resumed_after_each_step_ends_in_the_same_bits(tmp_path, whole):
    class Stop(Exception):
        pass

    def second_step():
        made = []

        def on_step(epoch, step, result):
            made.append(step)
            if len(made) == 2:  # the first one is saved by now
                raise Stop

        return on_step

    recipe = dataclasses.replace(RECIPE, save_every=1)
    for _ in range(8):
        with pytest.raises(Stop):
            run(tmp_path, recipe, on_step=second_step())
    result = run(tmp_path, recipe)
    assert result.done == 1 and result[:6] == whole[1][:6]
    assert_same_run(tmp_path, whole[0])


def test_a_finished_run_does_nothing_and_says_the_same(tmp_path, whole):
    shutil.copytree(str(whole[0]), str(tmp_path / "again"))
    result = run(tmp_path / "again")
    assert result.done == 0 and result.resumed_from.endswith(checkpoints.NAME)
    assert result[:6] == whole[1][:6]
    assert_same_run(tmp_path / "again", whole[0])


def test_loader_processes_change_nothing(tmp_path, whole):
    run(tmp_path, dataclasses.replace(RECIPE, workers=2, validation_workers=0))
    assert_same_run(tmp_path, whole[0])


def test_the_global_random_numbers_are_left_alone(tmp_path, whole):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    run(tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_another_seed_draws_another_dropout(tmp_path, whole):
    assert run(tmp_path, dataclasses.replace(RECIPE, seed=6)).train_loss != whole[1].train_loss


def test_a_published_checkpoint_goes_on_as_ours_does(tmp_path, whole):
    class Stop(Exception):
        pass

    def on_step(epoch, step, result):
        if epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        run(tmp_path, dataclasses.replace(RECIPE, save_every=0), on_step=on_step)
    content = checkpoints.load(str(tmp_path / checkpoints.NAME))
    del content["encore"]
    for group in content["optimizer"]["param_groups"]:
        group.pop("decoupled_weight_decay", None)  # which torch 2.0.1 does not write
    assert list(content) == list(checkpoints.KEYS)
    torch.save(content, str(tmp_path / checkpoints.NAME))
    result = run(tmp_path)
    assert result.done == 3
    found, expected = (checkpoints.load(str(folder / checkpoints.NAME)) for folder in (tmp_path, whole[0]))
    assert_same_bits(found, expected)


def test_ours_holds_the_published_keys_and_one_more(whole):
    for name in (checkpoints.NAME, checkpoints.BEST):
        content = torch.load(str(whole[0] / name), map_location="cpu")
        assert list(content) == ["epoch", "state_dict", "best_acc1", "optimizer", "scheduler", "encore"]
        assert all(key.startswith("module.") for key in content["state_dict"])
        assert isinstance(content["best_acc1"], float)
    assert content["epoch"] in (1, 3)


def test_the_schedulers_state_goes_on_in_torchs_own(whole):
    content = checkpoints.load(str(whole[0] / checkpoints.NAME))
    network = student()
    optimizer = RECIPE.build_optimizer(network)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, RECIPE.factor)
    scheduler.load_state_dict(content["scheduler"])
    optimizer.load_state_dict(content["optimizer"])
    assert scheduler.last_epoch == 3 and scheduler.get_last_lr() == [RECIPE.rate(3)] * 2
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.001, 0.001]


def test_the_best_file_is_that_of_a_validated_epoch(whole):
    rows = [json.loads(line) for line in (whole[0] / HISTORY).read_text().splitlines()]
    assert [("val/top1" in row) for row in rows] == [True, False, True]
    best = max((row for row in rows if "val/top1" in row), key=lambda row: row["val/top1"])
    content = checkpoints.load(str(whole[0] / checkpoints.BEST))
    assert content["epoch"] == best["epoch"] + 1 and content["best_acc1"] == best["val/top1"]
    assert whole[1].best_top1 == best["val/top1"] and whole[1].top1 == rows[-1]["val/top1"]


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"temperature": 3.0}, "temperature"),
        ({"accumulation": 1}, "accumulation"),
        ({"epochs": 2}, "epochs"),
        ({"schedule": "linear"}, "schedule"),
        ({"optimizer": "sgd"}, "optimizer"),
    ],
)
def test_another_recipe_does_not_go_on(tmp_path, whole, changes, named):
    shutil.copytree(str(whole[0]), str(tmp_path / "run"))
    with pytest.raises(Refusal, match=r"written with other values of .*%s \(" % named):
        run(tmp_path / "run", dataclasses.replace(RECIPE, **changes))


def test_a_checkpoint_of_other_labels_or_pictures_does_not_go_on(tmp_path, whole):
    shutil.copytree(str(whole[0]), str(tmp_path / "run"))
    with pytest.raises(Refusal, match="labels"):
        run(tmp_path / "run", dataclasses.replace(RECIPE, mix="none"), "none_fp32")


def test_a_checkpoint_does_not_go_on_with_labels_that_differ_in_their_values_only(tmp_path):
    kept, recipe = store(tmp_path, 42), dataclasses.replace(RECIPE, epochs=1)
    writer = LabelStoreWriter(str(tmp_path / "other"), kept.description, kept.names())
    for epoch in range(kept.epochs):
        loaded = [kept.load(epoch, number) for number in range(kept.batches)]
        writer.write(
            epoch, [batch._replace(logits=batch.logits + batch.flips.view(-1, 1)) for batch in loaded]
        )
    writer.finish()
    run(tmp_path / "run", recipe, str(tmp_path / "store"))
    run(tmp_path / "run", recipe, str(tmp_path / "store"))
    with pytest.raises(Refusal, match=r"written with other values of labels \("):
        run(tmp_path / "run", recipe, str(tmp_path / "other"))


def test_a_checkpoint_of_another_network_or_optimizer_is_refused(tmp_path, whole):
    content = checkpoints.load(str(whole[0] / checkpoints.NAME))
    del content["encore"]
    torch.save(content, str(tmp_path / checkpoints.NAME))
    with pytest.raises(Refusal, match="does not fit the student"):
        run(tmp_path, network=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 5)))
    with pytest.raises(Refusal, match="its optimizer is AdamW"):
        run(tmp_path, dataclasses.replace(RECIPE, optimizer="sgd"))


def test_a_damaged_checkpoint_is_refused_and_named(tmp_path):
    (tmp_path / checkpoints.NAME).write_bytes(b"PK\x03\x04 half")
    with pytest.raises(Refusal, match="checkpoint.pth.tar is damaged"):
        run(tmp_path)


def copy_of_pictures(tmp_path, name="rn18_bn0.01_[4K]_x_l2_x_tv.crop"):
    folder = tmp_path / name
    shutil.copytree(str(PICTURES), str(folder))
    return folder


@pytest.mark.parametrize("slash", ["", "/"])
def test_glob_characters_and_a_slash_at_the_end_are_part_of_a_path(tmp_path, whole, slash):
    images = copy_of_pictures(tmp_path)
    labels = tmp_path / "FKD_[cutmix]_*fp16"
    shutil.copytree(str(LABELS / "mixup_fp16"), str(labels))
    output = tmp_path / "rn18_[4K]_T20"
    run(str(output) + slash, labels=str(labels) + slash, images=str(images) + slash)
    assert_same_run(output, whole[0])


def test_fewer_epochs_than_stored_take_the_first_ones_with_their_own_schedule(tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=2)
    rates = []
    run(tmp_path, recipe, on_step=lambda epoch, step, result: rates.append((epoch, result.learning_rate)))
    assert sorted(set(rates)) == [(0, 0.001), (1, 0.0005)]
    assert epochs_of_history(tmp_path) == [0, 1]


@pytest.mark.parametrize(
    "changes, labels, named",
    [
        ({"batch": 8}, "mixup_fp16", "batch 16.* 8"),
        ({"mix": "cutmix"}, "mixup_fp16", "mix"),
        ({"mix": "none"}, "mixup_fp16", "mix"),
        ({"mix": "mixup"}, "cutmix_fp16", "mix"),
        ({"epochs": 4}, "mixup_fp16", "epoch_3"),
    ],
)
def test_labels_of_another_run_are_refused_before_the_first_step(tmp_path, changes, labels, named):
    with pytest.raises(Refusal, match=named):
        run(tmp_path / "run", dataclasses.replace(RECIPE, **changes), labels)
    assert not (tmp_path / "run").exists()


def test_stray_entries_among_the_labels_are_no_epochs(tmp_path):
    labels = tmp_path / "labels"
    shutil.copytree(str(LABELS / "mixup_fp16"), str(labels))
    (labels / "notes.txt").write_text("not an epoch")
    with pytest.raises(Refusal, match="epoch_3"):
        run(tmp_path / "run", dataclasses.replace(RECIPE, epochs=4), str(labels))


@pytest.mark.parametrize(
    "what, named",
    [
        ("file more", "labels of 40 pictures, found 41 in .*: new002 holds 9 files, the others 8"),
        ("file fewer", "labels of 40 pictures, found 39 in .*: new002 holds 7 files, the others 8"),
        (
            "class folder missing",
            r"labels of 40 pictures, found 32 in .* \(4 class folders\): a class folder is",
        ),
    ],
)
def test_other_pictures_are_refused(tmp_path, what, named):
    images = copy_of_pictures(tmp_path)
    some = sorted((images / "new002").iterdir())[3]
    if what == "file more":
        shutil.copy(str(some), str(some.parent / "class002_id099.jpg"))
    elif what == "file fewer":
        some.unlink()
    else:
        shutil.rmtree(str(images / "new002"))
    with pytest.raises(Refusal, match=named):
        run(tmp_path / "run", images=images, validation=PICTURES)


def test_validation_pictures_of_other_classes_are_refused_before_the_first_step(tmp_path):
    fewer = copy_of_pictures(tmp_path, "fewer")
    shutil.rmtree(str(fewer / "new002"))
    with pytest.raises(Refusal, match="fewer: 4 class folders of validation pictures, expected 5"):
        run(tmp_path / "run", validation=fewer)
    other = copy_of_pictures(tmp_path, "other")
    (other / "new002").rename(other / "cat")
    with pytest.raises(Refusal, match="other: validation pictures of other classes than .* for one cat"):
        run(tmp_path / "run", validation=other)
    assert not (tmp_path / "run").exists()


def test_validation_folders_may_have_other_names_in_the_same_number(tmp_path, whole):
    images = copy_of_pictures(tmp_path, "real")
    for number, folder in enumerate(sorted(images.iterdir())):
        folder.rename(images / ("n%08d" % number))
    result = run(tmp_path / "run", dataclasses.replace(RECIPE, epochs=1), validation=images)
    assert result.done == 3 and result.top1 is not None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_diverged_validation_is_refused_and_its_epoch_named(tmp_path, monkeypatch, value):
    found = iter([{"top1": 20.0, "top5": 100.0, "loss": 1.0}, {"top1": 20.0, "top5": 100.0, "loss": value}])

    def evaluate(*arguments):
        arguments[-1].add(torch.zeros(1), torch.zeros(1, 1), torch.zeros(1, 1))  # what it answered
        return next(found)

    monkeypatch.setattr(training_module, "evaluate", evaluate)
    with pytest.raises(
        Refusal, match="the validation loss of epoch 2 is (nan|inf), expected a finite number"
    ):
        run(tmp_path)
    assert epochs_of_history(tmp_path) == [0, 1]
    assert checkpoints.load(str(tmp_path / checkpoints.NAME))["epoch"] == 2


def test_truncated_labels_are_refused_and_named(tmp_path):
    labels = tmp_path / "labels"
    shutil.copytree(str(LABELS / "mixup_fp16"), str(labels))
    path = labels / "epoch_2" / "batch_1.tar"
    path.chmod(0o644)
    with open(str(path), "r+b") as file:
        file.truncate(os.path.getsize(str(path)) // 2)
    with pytest.raises(Refusal, match="epoch_2.batch_1.tar"):
        run(tmp_path / "run", labels=str(labels))


def store(tmp_path, seed, **known):
    images = ClassFolders(str(PICTURES))
    return to_store(open_labels(str(LABELS / "mixup_fp16")), str(tmp_path / "store"), images, seed, **known)


def test_a_store_trains_as_the_published_layout_does(tmp_path, whole):
    store(tmp_path, 42)
    run(tmp_path / "run", labels=str(tmp_path / "store"))
    assert_same_run(tmp_path / "run", whole[0], labels=False)


def test_the_order_seed_must_be_the_labels_own(tmp_path):
    store(tmp_path, 7)
    with pytest.raises(Refusal, match="seed 7.* 42"):
        run(tmp_path / "run", labels=str(tmp_path / "store"))
    recipe = dataclasses.replace(RECIPE, order_seed=7, epochs=1)  # published: only 42 works
    assert run(tmp_path / "run", recipe, str(tmp_path / "store")).done == 3


def test_published_labels_are_read_in_the_order_of_the_published_seed():
    images, labels = ClassFolders(str(PICTURES)), open_labels(str(LABELS / "mixup_fp16"))
    batches = _batches(RECIPE, labels, images)
    expected = BatchOrder(40, 16, 42)
    for epoch in (0, 2):
        for batch in batches.loader(epoch):
            assert torch.equal(batch.indices, expected.indices(epoch, batch.number))
    batches.close()


def test_published_labels_are_of_the_published_order_only(tmp_path):
    with pytest.raises(Refusal, match="convert them with --seed 7 first"):
        run(tmp_path / "run", dataclasses.replace(RECIPE, order_seed=7))


@pytest.mark.parametrize("name", ["mean", "deviation"])
def test_labels_of_pictures_normalised_otherwise_are_refused(tmp_path, name):
    store(tmp_path, 42, mean=RECIPE.mean, deviation=RECIPE.deviation)
    recipe = dataclasses.replace(RECIPE, epochs=1)
    assert run(tmp_path / "same", recipe, str(tmp_path / "store")).done == 3
    with pytest.raises(Refusal, match="these labels are of %s " % name):
        run(tmp_path / "run", dataclasses.replace(recipe, **{name: (0.4, 0.4, 0.4)}), str(tmp_path / "store"))


def test_a_later_start_epoch_takes_its_own_labels_and_rate(tmp_path):
    steps = []
    recipe = dataclasses.replace(RECIPE, start_epoch=2)  # published: fails
    result = run(tmp_path, recipe, on_step=lambda epoch, step, found: steps.append((epoch, step, found)))
    assert [(epoch, step) for epoch, step, _ in steps] == [(2, 0), (2, 1), (2, 2)]
    assert steps[0][2].learning_rate == RECIPE.rate(2) and (result.steps, result.done) == (3, 3)
    images, labels = ClassFolders(str(PICTURES)), open_labels(str(LABELS / "mixup_fp16"))
    training = Training(recipe, student(), labels, {}, torch.device("cpu"))
    batch = next(iter(_batches(recipe, labels, images).loader(2)))
    assert training.step(2, 0, batch).loss == steps[0][2].loss


def first_loss(recipe, labels="mixup_fp16"):
    images, labels = ClassFolders(str(PICTURES)), open_labels(str(LABELS / labels))
    training = Training(recipe, student(), labels, {}, torch.device("cpu"))
    return training.step(0, 0, next(iter(_batches(recipe, labels, images).loader(0)))).loss


def test_keeping_the_top_classes_changes_the_labels():
    all_classes = first_loss(RECIPE)  # published: whatever the flag says
    assert RECIPE.keep_top_k is None
    assert first_loss(dataclasses.replace(RECIPE, keep_top_k=5)) == all_classes
    assert first_loss(dataclasses.replace(RECIPE, keep_top_k=1)) != all_classes


def test_squared_losses_are_400_times_as_large_at_temperature_20():
    assert first_loss(dataclasses.replace(RECIPE, squared=True)) == pytest.approx(400 * first_loss(RECIPE))


def test_a_loss_that_is_not_finite_changes_no_weight(tmp_path):
    network = student()
    with torch.no_grad():
        network[-1].bias[0] = float("nan")
    before = network[0].weight.detach().clone()
    with pytest.raises(Refusal, match="epoch 0, step 0: the loss is nan"):
        run(tmp_path, network=network)
    assert torch.equal(network[0].weight, before)


def test_published_values_are_the_defaults():
    recipe = StudentRecipe()
    assert (recipe.batch, recipe.accumulation, recipe.epochs, recipe.temperature) == (1024, 2, 300, 20.0)
    assert (recipe.optimizer, recipe.schedule, recipe.mix, recipe.squared) == (
        "adamw",
        "cosine",
        "cutmix",
        False,
    )
    assert recipe.rate(150) == pytest.approx(0.0005) and not recipe.unbiased
    assert [epoch for epoch in range(300) if recipe.validates(epoch)] == list(range(0, 300, 10)) + [299]


@pytest.mark.parametrize(
    "values, named",
    [
        ({"accumulation": 3}, "accumulation"),
        ({"epochs": 2, "start_epoch": 2}, "start_epoch"),
        ({"temperature": 0.0}, "temperature"),
        ({"deviation": (0.2, 0.0, 0.2)}, "deviation"),
    ],
)
def test_values_that_make_no_run_are_refused(values, named):
    with pytest.raises(Refusal, match=named):
        StudentRecipe(**values)
