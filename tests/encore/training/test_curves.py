import json

from encore.training.curves import write_curves


def test_steps_count_over_epochs(tmp_path):
    rows = [{"epoch": e, "step": s, "loss": 10 - e - s, "ce": 0.5} for e in (0, 1) for s in (4, 9)]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_curves(tmp_path / "history.jsonl", tmp_path / "plots" / "loss.csv")
    lines = (tmp_path / "plots" / "loss.csv").read_text().splitlines()
    # Ten steps an epoch: epoch 1, step 4 is step 14 of the run.
    assert lines == ["step,ce,loss", "4,0.5,6", "9,0.5,1", "14,0.5,5", "19,0.5,0"]
