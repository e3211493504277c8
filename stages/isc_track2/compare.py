"""Compare the trained network with the same network before training."""

from __future__ import annotations

import json

from encore.metrics.evidence.differences import Difference, Differences
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.runtime.stage import Stage, needed, run_stage, stage_parser

TRAINED, UNTRAINED = "trained", "untrained"
EVIDENCE = "test/{}.npz"
COMPARED = ("micro_ap_isc2021", "micro_ap_platform", "recall_at_p90_platform", "recall_at_1", "recall_at_10")


def main():
    stage_parser(__doc__).parse_args()
    with Stage("isc_track2", "compare") as stage:
        trained, untrained = (read_metrics(model) for model in (TRAINED, UNTRAINED))
        of, less = EVIDENCE.format(TRAINED), EVIDENCE.format(UNTRAINED)
        rows = (Difference(key + "_gain", of, key, less, key) for key in COMPARED)
        stage.evidence(EvidenceFile(Differences(tuple(rows))))
        stage.metrics({key + "_gain": trained[key] - untrained[key] for key in COMPARED})


def read_metrics(model):
    with open(needed("metrics/isc_track2/test/{}.json".format(model)), encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    run_stage(main)
