import csv
import io
import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from encore.systems.reid.record import (
    CURVES,
    HISTORY,
    TRIPLET_TAGS,
    Record,
    read_history,
    scalars_at,
    write_curves,
)
from encore.training.checkpoint_files import Position
from encore.training.loop import StepResult
from tests.encore.systems.reid.tiny_reid_run import params_of

RATES = {"learning_rate": 0.01, "fc_learning_rate": 0.1}
TERMS = dict(RATES, accuracy=0.25, xent_loss=2.0)
TRIPLET = dict(zip(TRIPLET_TAGS, (75.0, 6.0, -0.5)))
PK = {"class_balanced": True}
LATE = {"decay_step": 2001}


def written(params, terms, epochs=2, iterations=25):
    """(epoch, step, x, tags) of all steps that write."""
    found = []
    for epoch in range(epochs):
        for step in range(iterations):
            one = scalars_at(params, step, epoch * iterations + step, 3.0, terms)
            if one is not None:
                found.append((epoch, step) + one)
    return found


def test_without_triplets_each_tenth_step_of_an_epoch_but_the_first(tmp_path):
    found = written(params_of(tmp_path), TERMS)
    assert [row[:3] for row in found] == [(0, 10, 10), (0, 20, 20), (1, 10, 35), (1, 20, 45)]
    assert found[0][3] == {"loss": 3.0, "batch_accuray": 0.25}


def test_class_balanced_batches_count_in_the_whole_run(tmp_path):
    params = params_of(tmp_path, batch_sampling_params=PK, lr=LATE)
    assert [row[2] for row in written(params, TERMS)] == [10, 20, 30, 40]


def test_with_triplets_the_step_counts_itself(tmp_path):
    params = params_of(tmp_path, tri_loss_params={"margin": 0.3, "lambda_cls": 1}, lr=LATE)
    found = written(params, dict(TERMS, **TRIPLET))
    assert [row[:3] for row in found] == [(0, 9, 10), (0, 19, 20), (1, 4, 30), (1, 14, 40), (1, 24, 50)]
    assert found[0][3] == dict(TRIPLET, loss=3.0)


def test_the_later_state_writes_every_fifty_steps_the_cross_entropy_alone(tmp_path):
    params = params_of(tmp_path, "H")
    found = written(params, dict(TERMS, **TRIPLET), iterations=60)
    assert [row[:3] for row in found] == [(0, 0, 0), (0, 50, 50), (1, 0, 60), (1, 50, 110)]
    assert found[0][3] == {"loss": 2.0, "batch_accuray": 0.25}


def steps(record, first, last, iterations=12):
    for number in range(first, last):
        epoch, step = divmod(number, iterations)
        record.step(epoch, step, number, StepResult(3.0 - number, dict(TERMS), 0.01), 4, 0.5, 0.125)
        if step + 1 == iterations:
            record.epoch(epoch, step, number + 1, dict(RATES, train_loss=2.5 - epoch, train_accuracy=0.5))
            metrics = {"rank1": 0.5 + epoch / 10, "mAP": 0.25, "queries": 3.0}
            record.evaluation(epoch, step, number + 1, metrics["rank1"], metrics, RATES)


def open_record(folder, params, first, log):
    return Record(str(folder), params, 12, first, log)


def test_the_record_of_a_killed_run_is_that_of_a_whole_one(tmp_path):
    params, log = params_of(tmp_path), io.StringIO()
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = open_record(tmp_path / "whole", params, Position(0, 0), log)
    steps(whole, 0, 24)
    whole.close()
    killed = open_record(tmp_path / "killed", params, Position(0, 0), io.StringIO())
    steps(killed, 0, 24)  # more than the resume file knows of
    killed.close()
    with open(str(tmp_path / "killed" / HISTORY), "a") as file:
        file.write('{"epoch": 1, "st')
    again = open_record(tmp_path / "killed", params, Position(1, 0), io.StringIO())
    assert [row["epoch"] for row in read_history(str(tmp_path / "killed" / HISTORY))] == [0, 0, 0]
    steps(again, 12, 24)
    again.close()
    texts = [(tmp_path / name / HISTORY).read_text() for name in ("whole", "killed")]
    assert texts[0] == texts[1] and len(texts[0].splitlines()) == 6
    check_lines(log.getvalue())
    check_events(tmp_path)
    check_curves(tmp_path)


def check_lines(log):
    lines = log.splitlines()
    expected = (
        "epoch [000] iter = 10 loss = -7.000000 acc = 0.250000 example/sec = 8.00 io_percentage = 0.250"
    )
    assert lines[0] == expected
    assert lines[1] == "evaluation after 12 iterations: 0.500000"


def check_events(tmp_path):
    tags = {"loss", "batch_accuray", "rank1", "mAP"} | set(RATES)
    for name in ("whole", "killed"):
        events = EventAccumulator(str(tmp_path / name))
        events.Reload()
        assert set(events.Tags()["scalars"]) == tags
        assert [(event.step, event.value) for event in events.Scalars("rank1")] == [
            (12, 0.5),
            (24, pytest.approx(0.6)),
        ]
        assert [event.step for event in events.Scalars("loss")] == [10, 22]


def check_curves(tmp_path):
    path = tmp_path / "plots" / "run.csv"
    write_curves(str(tmp_path / "whole" / HISTORY), str(path))
    with open(str(path), newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(CURVES) and [row["iteration"] for row in rows] == ["12", "24"]
    assert rows[1]["train_loss"] == "1.5" and rows[1]["rank1"] == rows[1]["value"] == "0.6"


def test_curves_leave_out_what_was_not_measured(tmp_path):
    row = dict(RATES, epoch=0, step=2, iteration=3, train_loss=1.0)
    (tmp_path / HISTORY).write_text(json.dumps(row) + "\n")
    write_curves(str(tmp_path / HISTORY), str(tmp_path / "curves.csv"))
    assert (tmp_path / "curves.csv").read_text().splitlines()[1] == "0,3,1.0,,0.01,0.1,,,"


def test_triplet_numbers_are_said_every_hundred_iterations(tmp_path):
    params = params_of(tmp_path, tri_loss_params={"margin": 0.3}, lr=LATE)
    log = io.StringIO()
    record = Record(str(tmp_path), params, 200, Position(0, 0), log)
    for step in (89, 99):
        record.step(0, step, step, StepResult(1.0, dict(RATES, tri_loss=1.0, **TRIPLET), 0.01), 4, 0.5, 0.1)
    record.close()
    lines = [line for line in log.getvalue().splitlines() if line.startswith("triplet")]
    text = "triplet AN_lt_AP_ratio = 75.000000 Active_Triplet = 6.000000 Mean_Dist_Difference = -0.500000"
    assert lines == [text]
    assert "acc =" not in log.getvalue()  # nothing classifies
