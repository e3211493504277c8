"""A fabricated project with every ingredient of the report's page, and verdicts of all kinds."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from checks.cli import main
from tests.checks.conftest import (
    REID,
    claim_row,
    picture,
    write_distillation,
    write_drip,
    write_persons,
    write_shards,
)

REFERENCES = {"extract": {"references": "photos.tar#references"}}
PARAMETERS = {
    "toy": {"train": {"rate": 0.1}},
    "isc_track2": REFERENCES,
    "isc_track1": REFERENCES,
    "reid": REID,
}
PAPER = {
    "tier": "paper",
    "inputs": ["pictures"],
    "hardware": "one GPU with 12 GB",
    "hours": 24,
    "disk": "5 GB of pictures, 1 TB of checkpoints",
    "command": "dvc repro && encore verify .",
    "source": "table 2",
}
INPUTS = {
    "pictures": {
        "path": "raw/pictures",
        "used_by": "toy",
        "count": 1000,
        "first": None,
        "last": None,
        "licence": "for research only",
        "source": "the pictures of the toy",
        "place": "raw/pictures, one folder",
    }
}


def write_everything(project):
    """Fill `project` (tests.checks.conftest.Project) so that no part of the page is missing."""
    write_claims(project)
    with pytest.raises(SystemExit):
        main(["verify", str(project.mini), "--claims", str(project.claims)])
    write_pictures(project)
    write_distillation(project, PARAMETERS)
    write_drip(project)
    write_persons(project)
    write_curves(project)
    write_photographs(project)
    project.write("faults/results.json", json.dumps(FAULTS))


def fault_row(place, kind, injected=20, **others):
    """A row as `make faults` keeps it; all of it survived, unless `others` say otherwise."""
    counts = {"injected": injected, "survived": injected, "lost": 0}
    values = {"place": place, "kind": kind, "seconds": 2.0, "losses": [], "skipped": "", "figures": {}}
    return {**values, **counts, **others}


def fault_suite(*rows):
    """A run of a suite as `make faults` keeps it."""
    made = {"python": "3.11.9", "processor": "a processor", "cores": 2, "revision": "f" * 40, "dirty": False}
    return {"finished": "2026-01-02T03:04:05Z", "seconds": 90.0, "made_with": made, "rows": list(rows)}


FAULTS = {
    "suites": {
        "hostile": fault_suite(
            fault_row("reader", "bomb", 4),
            fault_row("reader", "fuzzing", 1, figures={"inputs": 1500.0, "crashes": 0.0}),
        ),
        "kill": fault_suite(
            fault_row("toy_train", "SIGKILL"),
            fault_row("toy_test", "SIGKILL"),
            fault_row("toy_test", "disk full (tmpfs)", 0, skipped="not root"),
        ),
    }
}


def write_claims(project):
    """Claims of two systems that hold, deviate and are blocked, and two of the published size."""
    missing = {"file": "metrics/toy/nothing.json", "key": "score", "definition": "a score"}
    project.set_claims(
        claim_row(),
        claim_row(id="mini_low", title="Lowest score", gating=False, tolerance={"kind": "exact"}),
        claim_row(id="mini_blocked", title="Others", gating=False, metric=missing, inputs=["pictures"]),
        claim_row(id="paper_score", title="Published score", **PAPER),
        claim_row(id="paper_other", recipe={"toy.train.rate": None}, gating=False, **PAPER),
    )
    other = {"file": "metrics/toy/other.json", "key": "loss", "definition": "a loss"}
    project.write_yaml(
        "claims/drip.yaml", [claim_row(id="mini_loss", title="Loss", system="drip", metric=other)]
    )
    project.set_metric(0.5, "loss", "metrics/toy/other.json")
    project.set_fingerprint("toy/other")
    project.write_yaml("inputs.yaml", INPUTS)


def write_pictures(project):
    """Data sets of both tracks, their queries, references, predictions and ground truth."""
    copies = [
        (f"{label}_{copy}.jpg", picture((40 * label, 9 * copy, 0)), label)
        for label in range(5)
        for copy in range(12)
    ]
    write_shards(project.mini / "data/isc_100k_256", copies)
    for name in ("baseline_CC", "blur_CC"):
        write_shards(project.mini / f"data/isc_track1/training/{name}", copies[:24])
    with tarfile.open(project.mini / "photos.tar", "w") as tar:
        for i in range(6):
            data = picture((i, 0, 0), file_format="PNG")
            member = tarfile.TarInfo(f"references/R{i}.png")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    queries = [(f"Q{i}.jpg", picture((0, i, 0)), -1) for i in range(3)]
    write_shards(project.mini / "data/isc_queries", queries)
    project.write("mini/data/isc_queries/ground_truth.csv", "query_id,reference_id\nQ0,R0\nQ1,R5\nQ2,\n")
    rows = ["Q0,R0,-0.1\nQ0,R1,-0.9\nQ2,R3,-0.8\n"] + [f"Q1,R{i},-0.{i + 2}\n" for i in range(6)]
    predictions = "query_id,reference_id,score\n" + "".join(rows)
    project.write("mini/predictions/isc_track2/trained.csv", predictions)
    project.write("mini/submission/isc_track1/submit_50k.csv", predictions)


def write_curves(project):
    """Curves of both tracks and of re-identification."""
    project.write("mini/plots/isc_track1/ladder.csv", "step,micro_ap\nsingle_model,0.2\nwith_parts,0.3\n")
    project.write("mini/plots/isc_track2/loss.csv", "step,loss,triplet\n0,9,1\n10,5,\n20,4,0.5\n")
    curve = "recall,precision\n0.5,1\n1,0.5\n"
    project.write("mini/plots/isc_track1/precision_recall.csv", curve)
    for model in ("trained", "untrained"):
        project.write(f"mini/plots/isc_track2/precision_recall/{model}.csv", curve)
    for model in ("blur_CC-50", "baseline_CC-50"):
        project.write(f"mini/plots/isc_track1/loss/{model}.csv", "step,loss\n0,9\n10,5.5\n")
    for run in ("plain", "pcb"):
        project.write(f"mini/plots/reid/train/{run}.csv", "epoch,train_loss,mAP\n0,9,\n1,4.5,0.5\n")


def write_photographs(project):
    """Two photographs, one with letters that HTML must escape."""
    photograph = {"source": "a package", "licence": "CC0", "split": "training"}
    project.write_yaml(
        "mini/photos.yaml",
        [
            {**photograph, "file": "<a>.png", "title": "A & B", "tiles": 4},
            {
                **photograph,
                "file": "b.png",
                "title": "B",
                "tiles": 2,
                "licence": "CC BY 2.0",
                "split": ["references", "foreign"],
            },
        ],
    )
