"""Whole recoveries: files, ranges, kills."""

import dataclasses
import hashlib
import io
import json
import os
import re

import numpy as np
import pytest
import torch
from PIL import Image

from encore.runtime.refusal import Refusal
from encore.systems.fkd.networks import NetworkShape, build
from encore.systems.fkd.recover import recovery
from encore.systems.fkd.recover.batches import planned
from encore.systems.fkd.recover.recipe import RecoverRecipe
from encore.systems.fkd.recover.recovery import last_numbers, recover, write_curves, write_summary
from encore.systems.fkd.recover.snapshots import write_strips
from encore.systems.fkd.recover.synthesis import Synthesis
from tests.encore.killed_run import die, finish, start

SHAPE = NetworkShape(classes=6, small_stem=True, width=4, layers=(1, 1, 1, 1))
RECIPE = RecoverRecipe(
    seed=3, classes=6, images_per_class=3, batch=4, size=16, iterations=7, jitter=2, print_every=3
)
BATCHES = 6
"""Two a slot: classes 0 to 3, and 4 and 5."""


def teacher(seed=0):
    return build(SHAPE, seed, 16)


def run(folder, recipe=RECIPE, die_at=None, pictures=None, **options):
    """Recover into `folder`; die_at: (batch's address, iteration) after which the process kills itself;
    pictures: after how many files it does."""
    torch.set_num_threads(1)
    if pictures is not None:
        die_after(pictures)

    def on_step(batch, iteration, losses):
        if (batch.address, iteration) == die_at:
            die()

    place = os.path.join(str(folder), "pictures"), os.path.join(str(folder), "records")
    return recover(recipe, teacher(), *place, device="cpu", on_step=on_step, **options)


def die_after(pictures):
    write, left = recovery.write_picture, [pictures]

    def write_some(*arguments):
        if not left[0]:
            die()
        left[0] -= 1
        write(*arguments)

    recovery.write_picture = write_some


def files(folder):
    """Name -> digest of every picture."""
    root = os.path.join(str(folder), "pictures")
    found = {}
    for place, _, names in os.walk(root):
        for name in names:
            path = os.path.join(place, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, root)] = hashlib.sha256(file.read()).hexdigest()
    return found


def records(folder):
    place = os.path.join(str(folder), "records")
    found = {}
    for name in os.listdir(place):
        with open(os.path.join(place, name), "rb") as file:
            found[name] = file.read()
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    result = run(folder)
    return folder, result


def test_files_and_result(whole):
    folder, result = whole
    expected = {"new%03d/class%03d_id%03d.jpg" % (c, c, i) for c in range(6) for i in range(3)}
    assert set(files(folder)) == expected and len(set(files(folder).values())) == 18
    assert result.pictures == 18 and result.done == BATCHES * 7
    assert sorted(result.last) == ["batch_norm", "cross_entropy", "learning_rate", "loss"]
    for name in expected:
        with Image.open(str(folder / "pictures" / name)) as image:
            assert image.size == (16, 16) and image.format == "JPEG" and image.mode == "RGB"


def test_a_finished_run_does_nothing_again(whole):
    folder, result = whole
    before = files(folder)
    again = run(folder)
    assert again.done == 0 and again.last == result.last and files(folder) == before


def test_the_pictures_come_to_look_like_their_class_to_the_teacher(tmp_path):
    recipe = dataclasses.replace(RECIPE, iterations=40, images_per_class=1, print_every=39, crop=False)
    run(tmp_path, recipe)
    for name, content in records(tmp_path).items():
        if name.startswith("batch_"):
            first, last = json.loads(content.decode())["history"]
            assert last["cross_entropy"] < first["cross_entropy"] and last["loss"] < first["loss"]


def test_ranges_on_different_machines_give_the_same_files(tmp_path, whole):
    one, other = tmp_path / "one", tmp_path / "other"
    assert run(one, ipc_start=2, ipc_end=3).pictures == 6
    assert run(other, ipc_start=0, ipc_end=2).pictures == 12
    assert dict(files(one), **files(other)) == files(whole[0])
    assert not set(files(one)) & set(files(other))


def test_more_pictures_of_each_class_leave_those_there_are(tmp_path, whole):
    run(tmp_path, dataclasses.replace(RECIPE, images_per_class=2))
    result = run(tmp_path)
    assert result.done == 2 * 7 and files(tmp_path) == files(whole[0])


@pytest.mark.parametrize(
    "save_every, death, left",
    [
        (2, dict(die_at=((1, 0), 4)), 7 - 4 + 3 * 7),  # within a batch: goes on from its state
        (0, dict(die_at=((1, 0), 4)), 4 * 7),  # without states: that batch again
        (0, dict(die_at=((2, 0), 0)), 2 * 7),  # where a batch begins
        (7, dict(pictures=6), 4 * 7 - 7),  # among the files of the second slot, after its last iteration
    ],
)
def test_a_killed_run_ends_in_the_same_bits(tmp_path, whole, save_every, death, left):
    recipe = dataclasses.replace(RECIPE, save_every=save_every)
    assert finish(start(run, str(tmp_path), recipe, **death)) == -9
    assert len(files(tmp_path)) < 18
    assert run(tmp_path, recipe).done == left
    assert files(tmp_path) == files(whole[0])
    assert records(tmp_path) == records(whole[0])


class Stopped(Exception):
    pass


def test_from_a_saved_state_every_loss_is_the_same(tmp_path):
    recipe = dataclasses.replace(RECIPE, save_every=4, images_per_class=1)
    found = {"whole": {}, "stopped": {}, "resumed": {}}

    def follow(folder, name, until=None):
        def on_step(batch, iteration, losses):
            found[name][batch.name, iteration] = (losses.total.item(), losses.augmentation)
            if (batch.name, iteration) == until:
                raise Stopped

        place = str(tmp_path / folder / "pictures"), str(tmp_path / folder / "records")
        recover(recipe, teacher(), *place, device="cpu", on_step=on_step)

    follow("one", "whole")
    with pytest.raises(Stopped):
        follow("two", "stopped", ("000_0000", 5))
    assert sorted(os.listdir(str(tmp_path / "two" / "records"))) == ["recipe.json", "state_000_0000.pth"]
    follow("two", "resumed")
    assert min(found["resumed"]) == ("000_0000", 4)
    assert {**found["stopped"], **found["resumed"]} == found["whole"]
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_other_values_are_refused(whole):
    folder = whole[0]
    with pytest.raises(Refusal, match=r"recipe.json was written with other values of r_bn \(0.01, now 0.5\)"):
        run(folder, dataclasses.replace(RECIPE, r_bn=0.5))
    with pytest.raises(Refusal, match="teacher_sha256"):
        run(folder, teacher_digest="another")
    run(folder, dataclasses.replace(RECIPE, print_every=5, save_every=2, snapshots=(1,)))


def test_files_of_unknown_origin_are_refused(tmp_path):
    os.makedirs(str(tmp_path / "pictures" / "new000"))
    with pytest.raises(Refusal, match="unknown origin"):
        run(tmp_path)


def test_more_classes_than_outputs_are_refused(tmp_path):
    with pytest.raises(Refusal, match="classes: 7"):
        run(tmp_path, dataclasses.replace(RECIPE, classes=7))


def test_a_lost_batch_is_refused(tmp_path):
    broken = teacher()
    broken.bn1.running_mean.fill_(float("inf"))
    place = str(tmp_path / "pictures"), str(tmp_path / "records")
    with pytest.raises(Refusal, match="classes 0 to 3 are lost at iteration 0: the loss is inf.*is saved in"):
        recover(RECIPE, broken, *place, device="cpu")
    assert files(tmp_path) == {}


@pytest.mark.parametrize("cause", ["loss", "gradient"])
def test_a_lost_iteration_changes_nothing_and_the_run_goes_on_once_mended(tmp_path, monkeypatch, cause):
    whole = tmp_path / "whole"
    run(whole)
    own = Synthesis.losses

    def losses(self, drawn, rate):
        loss, found = own(self, drawn, rate)
        if self.iteration != 3:
            return loss, found
        if cause == "loss":
            return loss * float("nan"), found
        loss.register_hook(lambda gradient: gradient * 1e12)
        return loss, found

    with monkeypatch.context() as poisoned:
        poisoned.setattr(Synthesis, "losses", losses)
        expected = "the loss is nan" if cause == "loss" else "the gradients have exploded"
        with pytest.raises(Refusal, match="lost at iteration 3: %s" % expected):
            run(tmp_path / "run")
    run(tmp_path / "run")
    assert files(tmp_path / "run") == files(whole)


def test_batches_by_slot():
    batches = planned(RECIPE, 1, 3)
    assert [batch.address for batch in batches] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert [batch.classes for batch in batches[:2]] == [(0, 1, 2, 3), (4, 5)]
    assert [batch.slots for batch in batches[1:3]] == [(1, 1), (2, 2, 2, 2)]


def test_published_batches_by_class_span_eight_classes():
    recipe = RecoverRecipe(batching="class", ranks=4)
    batches = planned(recipe)
    assert len(batches) == 4 * 125  # 50,000 pictures
    assert {len(set(batch.classes)) for batch in batches} == {8}
    assert batches[0].classes[:13] == (0,) * 13 and batches[0].slots[:3] == (0, 4, 8)
    written = {pair for batch in batches for pair in zip(batch.classes, batch.slots)}
    assert len(written) == 50000 and all(all(batch.kept) for batch in batches)
    assert all(len(set(batch.classes)) == 100 for batch in planned(RecoverRecipe(images_per_class=1)))


def test_by_class_the_first_pictures_fill_up_the_last_round():
    recipe = dataclasses.replace(RECIPE, batching="class", ranks=4)  # 18 pictures: 5 rounds of 4
    batches = planned(recipe)
    assert [batch.address for batch in batches] == [(r, k) for r in range(4) for k in range(2)]
    numbers = [
        [3 * c + s for batch in batches if batch.address[0] == r for c, s in zip(batch.classes, batch.slots)]
        for r in range(4)
    ]
    assert numbers == [[0, 4, 8, 12, 16], [1, 5, 9, 13, 17], [2, 6, 10, 14, 0], [3, 7, 11, 15, 1]]
    assert [batch.kept[-1] for batch in batches[1::2]] == [True, True, False, False]


def test_ranks_on_different_machines_give_the_same_files(tmp_path):
    recipe = dataclasses.replace(RECIPE, batching="class", ranks=4, iterations=2)
    assert run(tmp_path / "whole", recipe).pictures == 18
    apart = {}
    for rank in range(4):
        run(tmp_path / str(rank), recipe, rank=rank)
        assert not set(apart) & set(files(tmp_path / str(rank)))
        apart.update(files(tmp_path / str(rank)))
    assert apart == files(tmp_path / "whole") and len(apart) == 18


def test_ranges_that_do_not_fit_are_refused():
    for options, message in (
        (dict(ipc_start=2, ipc_end=2), "range within 0 to 3"),
        (dict(ipc_end=4), "range within 0 to 3"),
        (dict(rank=0), "divides the work by ipc_start"),
    ):
        with pytest.raises(Refusal, match=message):
            planned(RECIPE, **options)
    by_class = dataclasses.replace(RECIPE, batching="class", ranks=2)
    with pytest.raises(Refusal, match="divide the work by rank"):
        planned(by_class, ipc_start=1)
    with pytest.raises(Refusal, match="rank 2: expected 0 to 1"):
        planned(by_class, rank=2)


def test_the_verifier_decides_nothing(tmp_path, whole):
    result = run(tmp_path, verifier=teacher(1).eval())
    assert files(tmp_path) == files(whole[0])
    assert 0 <= result.last["verifier_top1"] <= 100


def test_answers_of_two_verifiers_are_not_mixed(tmp_path):
    recipe = dataclasses.replace(RECIPE, iterations=1)
    run(tmp_path, recipe, verifier=teacher(1).eval(), verifier_digest="one", ipc_end=1)
    for options in (dict(verifier=teacher(2).eval(), verifier_digest="other"), dict()):
        with pytest.raises(Refusal, match=r"other values of verifier_sha256 \(one, now (other|None)\)"):
            run(tmp_path, recipe, **options)
    run(tmp_path, recipe, verifier=teacher(1).eval(), verifier_digest="one")
    assert len(files(tmp_path)) == 18


def test_a_mean_is_over_the_batches_that_have_the_number(tmp_path):
    histories = [
        [{"iteration": 0, "loss": 4.0}, {"iteration": 2, "loss": 1.0}],
        [{"iteration": 0, "loss": 6.0}, {"iteration": 2, "loss": 2.0, "verifier_top1": 40.0}],
        [{"iteration": 2, "loss": 3.0, "verifier_top1": 60.0}],
    ]
    for place, history in enumerate(histories):
        (tmp_path / ("batch_000_%04d.json" % place)).write_text(json.dumps({"history": history}))
    assert last_numbers(str(tmp_path)) == {"loss": 2.0, "verifier_top1": 50.0}
    write_curves(str(tmp_path), str(tmp_path / "curves.csv"))
    lines = (tmp_path / "curves.csv").read_text().splitlines()
    assert lines == ["iteration,loss,verifier_top1", "0,5,", "2,2,50"]


def test_curves_and_summary(tmp_path, whole):
    place = str(whole[0] / "records")
    write_curves(place, str(tmp_path / "curves.csv"))
    lines = (tmp_path / "curves.csv").read_text().splitlines()
    assert lines[0] == "iteration,batch_norm,cross_entropy,learning_rate,loss"
    assert [line.split(",")[0] for line in lines[1:]] == ["0", "3", "6"]
    rates = [float(line.split(",")[3]) for line in lines[1:]]
    assert rates == pytest.approx([0.125 * (1 + np.cos(np.pi * t / 7)) for t in (0, 3, 6)], rel=1e-5)
    write_summary(RECIPE, "digest", place, str(tmp_path / "recovered.json"))
    summary = json.loads((tmp_path / "recovered.json").read_text())
    assert (summary["pictures"], summary["batches"], summary["teacher_sha256"]) == (18, BATCHES, "digest")
    assert summary["values"]["iterations"] == "7"


def test_snapshots_become_strips(tmp_path, whole):
    recipe = dataclasses.replace(RECIPE, snapshots=(0, 3, 7), snapshot_classes=5)
    run(tmp_path, recipe)
    assert files(tmp_path) == files(whole[0])
    assert write_strips(str(tmp_path / "records"), str(tmp_path / "strips")) == {
        c: [0, 3, 7] for c in range(5)
    }
    strip = np.asarray(Image.open(str(tmp_path / "strips" / "class00004.png")))
    assert strip.shape == (16, 48, 3)
    final = io.BytesIO()
    Image.fromarray(strip[:, 32:]).save(final, "JPEG")
    assert final.getvalue() == (tmp_path / "pictures" / "new004" / "class004_id000.jpg").read_bytes()
    assert (strip[:, :16] != strip[:, 16:32]).any()


def test_names_of_imagenet_21k_have_five_digits(tmp_path):
    run(tmp_path, dataclasses.replace(RECIPE, class_digits=5, iterations=1, images_per_class=1))
    assert all(re.fullmatch(r"new(\d{5})/class\1_id000.jpg", name) for name in files(tmp_path))
