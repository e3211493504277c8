"""Compare a student of synthetic pictures with the same student of as many random real ones."""

from __future__ import annotations

import json

from encore.metrics.evidence.differences import Difference, Differences
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.runtime.parameters import read_parameters
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.fkd.sections import SYSTEM
from stages.fkd.baseline import BaselineParameters

WHICH = "random"
COMPARED = ("top1", "top5")


def main():
    arguments = stage_parser(__doc__).parse_args()
    with Stage(SYSTEM, "compare") as stage:
        baseline = read_parameters(arguments.params, "fkd.baselines." + WHICH, BaselineParameters)
        synthetic, real = read_metrics("train", baseline.student), read_metrics("baseline", WHICH)
        stage.recorded["parameters"] = {"student": baseline.student, "baseline": WHICH}
        of, less = "train/{}.npz".format(baseline.student), "baseline/{}.npz".format(WHICH)
        rows = (Difference(key + "_gain", of, key, less, key) for key in COMPARED)
        stage.evidence(EvidenceFile(Differences(tuple(rows))))
        stage.metrics({key + "_gain": synthetic[key] - real[key] for key in COMPARED})


def read_metrics(stage, item):
    with open(needed("metrics/fkd/{}/{}.json".format(stage, item)), encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    run_stage(main)
