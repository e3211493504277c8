"""The loop's order of events, and the record of its steps."""

from encore.training.checkpoint_files import Position
from encore.training.journal import Journal
from encore.training.loop import Run, StepResult, train


def run(events, epochs=2, iterations=4, save_every=3):
    def batches(epoch, first):
        return ("batch %d.%d" % (epoch, step) for step in range(first, iterations))

    def step(epoch, number, batch):
        events.append((epoch, number, batch))
        return StepResult(0.5, {}, 0.1)

    return Run(
        epochs,
        iterations,
        batches,
        step,
        save=lambda position: events.append(tuple(position)),
        save_every=save_every,
    )


def test_the_order_of_steps_and_checkpoints():
    events = []
    assert train(run(events)) == 8
    assert events == [
        (0, 0, "batch 0.0"),
        (0, 1, "batch 0.1"),
        (0, 2, "batch 0.2"),
        (0, 3),
        (0, 3, "batch 0.3"),
        (1, 0),
        (1, 0, "batch 1.0"),
        (1, 1, "batch 1.1"),
        (1, 2, "batch 1.2"),
        (1, 3),
        (1, 3, "batch 1.3"),
        (2, 0),
    ]


def test_a_resumed_run_does_the_rest():
    events, rest = [], []
    train(run(events))
    assert train(run(rest), Position(0, 3)) == 5 and rest == events[4:]
    assert train(run(rest), Position(2, 0)) == 0


def test_the_journal_averages_by_epoch_and_forgets_what_is_done_again(tmp_path):
    journal = Journal(str(tmp_path), 4, every=2)
    for epoch, step, value in ((0, 0, 1.0), (0, 1, 2.0), (0, 2, 6.0), (0, 3, 3.0), (1, 0, 5.0), (1, 1, 7.0)):
        journal.step(epoch, step, 0.25, value, {"ce": value, "accuracy": 0.5}, 1.0, 0.5)
    journal.close()
    log = (tmp_path / "log.txt").read_text().splitlines()
    # means: (1 + 2) / 2, (1 + 2 + 6 + 3) / 4, (5 + 7) / 2
    assert [line.split("\t")[4] for line in log] == [
        "Loss_ce 2.000 (1.500)",
        "Loss_ce 3.000 (3.000)",
        "Loss_ce 7.000 (6.000)",
    ]
    assert log[0].split("\t") == [
        "Epoch: [0][2/4]",
        "LR 0.25000000",
        "Time 1.000 (1.000)",
        "Data 0.500 (0.500)",
        "Loss_ce 2.000 (1.500)",
        "Prec 50.00% (50.00%)",
    ]
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert len(lines) == 3
    Journal(str(tmp_path), 4, every=2, first=(0, 3)).close()
    assert (tmp_path / "history.jsonl").read_text().splitlines() == lines[:1]


def test_a_run_that_says_so_ends_after_the_epoch_and_does_not_begin_again():
    events = []
    ends_after_one = run(events, epochs=3)._replace(ended=lambda: (1, 0) in events)
    assert train(ends_after_one) == 4 and events[-1] == (1, 0)
    assert train(ends_after_one, Position(1, 0)) == 0
    assert train(ends_after_one, Position(1, 3)) == 1  # what was begun is finished
    assert train(run([], epochs=3)._replace(ended=lambda: False)) == 12
