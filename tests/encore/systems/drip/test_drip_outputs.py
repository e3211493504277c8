"""Folders and names of a stage's output, which checkpoints stay, and the record."""

import csv
import itertools
import json
import random

import pytest

from encore.runtime.refusal import Refusal
from encore.systems.drip.record import CURVES, HISTORY, Record, read_history, write_curves
from encore.systems.drip.stage_outputs import (
    BestCheckpoints,
    CheckpointFolder,
    checkpoint_name,
    last_checkpoint,
    open_version,
    versions,
)
from encore.training import checkpoint_files
from encore.training.checkpoint_files import Position


def epoch_row(trn_loss=0.92501, val_loss=0.43749, val_acc=0.99186):
    row = {name + "_epoch": 0.5 for name in CURVES}
    return dict(row, trn_loss_epoch=trn_loss, val_loss_epoch=val_loss, val_acc_epoch=val_acc, lr=1e-3)


@pytest.mark.parametrize("epoch, number", [(5, " 5"), (17, "17"), (104, "104")])
def test_published_names(epoch, number):
    assert checkpoint_name(epoch, epoch_row()) == (
        "FacebookModel_epoch=%s_trn_loss_epoch=0.9250_trn_acc_epoch=0.0000_val_loss_epoch=0.4375"
        "_val_acc_epoch=0.9919.ckpt" % number
    )


def test_a_version_belongs_to_one_identity(tmp_path):
    first = open_version(tmp_path, {"classes": "a", "seed": "0"})
    assert first.endswith("lightning_logs/version_0")
    second = open_version(tmp_path, {"classes": "b", "seed": "0"})
    assert second.endswith("version_1") and open_version(tmp_path, {"seed": "0", "classes": "a"}) == first
    for number in range(2, 12):  # numbers are compared as numbers
        open_version(tmp_path, {"classes": str(number)})
    assert [path.rpartition("_")[2] for path in versions(tmp_path)] == [str(n) for n in range(12)]


def test_a_version_that_a_killed_run_had_only_begun_is_taken(tmp_path):
    first = tmp_path / "lightning_logs" / "version_0"
    first.mkdir(parents=True)
    (first / "hparams.yaml.tmp-writing").write_text("seed")
    assert open_version(tmp_path, {"seed": "0"}) == str(first)
    assert open_version(tmp_path, {"seed": "1"}) == str(tmp_path / "lightning_logs" / "version_1")


def test_a_published_version_is_never_gone_on_with(tmp_path):
    published = tmp_path / "lightning_logs" / "version_3"
    (published / "checkpoints").mkdir(parents=True)
    (published / "hparams.yaml").write_text("{}\n")
    (published / "checkpoints" / "last.ckpt").write_bytes(b"")
    assert open_version(tmp_path, {"classes": "a"}).endswith("version_4")
    assert last_checkpoint(tmp_path) == str(published / "checkpoints" / "last.ckpt")  # 4 has none yet


def test_without_a_checkpoint_the_stage_is_refused(tmp_path):
    open_version(tmp_path, {})
    with pytest.raises(Refusal, match="no lightning_logs/version_N/checkpoints/last.ckpt"):
        last_checkpoint(tmp_path)


def best_by_definition(scores, most):
    """Which of `scores` are kept: a new one enters while there is room, or by being larger than the lowest,
    the earliest of which then goes."""
    kept = []
    for place, score in enumerate(scores):
        if len(kept) == most:
            low = min(scores[p] for p in kept)
            if score <= low:
                continue
            kept.remove(next(p for p in kept if scores[p] == low))
        kept.append(place)
    return kept


def test_the_best_checkpoints_stay():
    draws = random.Random(0)
    for most, _ in itertools.product((1, 2, 3), range(50)):
        scores = [draws.choice([0.1, 0.2, 0.3, 0.4]) for _ in range(10)]
        best = BestCheckpoints(most)
        for place, score in enumerate(scores):
            best.take(place, score)
            again = BestCheckpoints(most)  # as after a resume
            again.load(json.loads(json.dumps(best.state())))
            best = again
        assert [name for name, _ in best.kept] == best_by_definition(scores, most)
        assert best.state()["best_model_score"] == max(score for _, score in best.kept)
    assert not BestCheckpoints(0).take("a", 1.0)


def test_fewer_that_are_kept_after_a_resume_are_the_best_ones():
    for scores, most, expected in (
        ([0.9, 0.5, 0.4], 1, [0]),
        ([0.4, 0.9, 0.5], 2, [1, 2]),
        ([0.5, 0.9, 0.5], 2, [1, 2]),  # of equal lowest ones the earliest goes
        ([0.9, 0.5, 0.4], 0, []),
    ):
        whole, fewer = BestCheckpoints(3), BestCheckpoints(most)
        for place, score in enumerate(scores):
            whole.take(place, score)
        fewer.load(json.loads(json.dumps(whole.state())))
        assert [place for place, _ in fewer.kept] == expected


def test_what_a_killed_run_left_is_removed_and_other_files_stay(tmp_path):
    folder = CheckpointFolder(open_version(tmp_path, {}))
    kept, dropped = checkpoint_name(0, epoch_row()), checkpoint_name(1, epoch_row())
    work = checkpoint_files.work_path(folder.folder, Position(1, 20))
    names = [kept, dropped, "last.ckpt", "notes.txt", "last.ckpt.tmp-77"]
    for path in [folder.folder + "/" + name for name in names] + [work]:
        open(path, "w").close()
    folder.drop([kept])
    import os

    assert sorted(os.listdir(folder.folder)) == sorted([kept, "last.ckpt", "notes.txt"])


def test_paths_end_with_the_one_that_a_resume_reads(tmp_path):
    folder = CheckpointFolder(open_version(tmp_path, {}))
    assert [path.rpartition("/")[2] for path in folder.paths_at(Position(2, 0), "best.ckpt")] == [
        "best.ckpt",
        "last.ckpt",
    ]
    assert folder.paths_at(Position(2, 0)) == [folder.last]
    assert folder.paths_at(Position(2, 7))[0].endswith("work_2_7.pth.tar")


def test_the_record_forgets_what_is_done_again(tmp_path):
    def steps(record, first):
        for epoch, step in itertools.product(range(2), range(4)):
            if (epoch, step) >= first:
                loss = epoch * 4.0 + step
                record.step(epoch, step, {"trn_loss_step": loss, "trn_qry_acc_step": 0.5, "lr": 0.1})
                if step == 3:
                    record.epoch(epoch, epoch_row(trn_loss=loss))

    record = Record(str(tmp_path), 4, 2, Position(0, 0))
    steps(record, (0, 0))
    record.close()
    text = (tmp_path / HISTORY).read_text()
    places = [(row["epoch"], row["step"]) for row in read_history(str(tmp_path / HISTORY))]
    assert places == [(0, 1), (0, 3), (0, 4), (1, 1), (1, 3), (1, 4)]  # every second step, then the epoch
    with open(str(tmp_path / HISTORY), "a") as file:
        file.write('{"epoch": 1, "st')  # cut off
    for first in ((1, 0), (1, 2), (2, 0)):
        record = Record(str(tmp_path), 4, 2, Position(*first))
        steps(record, first)
        record.close()
        assert (tmp_path / HISTORY).read_text() == text
    write_curves(str(tmp_path / HISTORY), str(tmp_path / "plots" / "curves.csv"))
    with open(str(tmp_path / "plots" / "curves.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["trn_loss"], row["val_acc"]) for row in rows] == [
        ("0", "3.0", "0.99186"),
        ("1", "7.0", "0.99186"),
    ]


def test_tensorboard_has_the_published_tags(tmp_path):
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    record = Record(str(tmp_path), 4, 2, Position(0, 0))
    record.step(0, 1, {"trn_loss_step": 3.0, "trn_qry_acc_step": 0.5, "lr": 1e-3})
    record.epoch(0, epoch_row())
    record.close()
    (path,) = tmp_path.glob("events.out.tfevents.*")
    tags = {}
    for event in LegacyEventFileLoader(str(path)).Load():
        for value in event.summary.value:
            tags.setdefault(value.tag, []).append(event.step)
    assert tags["trn_loss_step"] == tags["trn_qry_acc_step"] == [1]
    assert tags["lr"] == tags["epoch"] == [1, 3]
    for name in ("trn_loss", "trn_qry_acc", "val_loss", "val_acc", "val_qry_acc", "val_ref_acc"):
        assert tags[name + "_epoch"] == [3]
