"""Compare the trained network with the same network before training."""

from __future__ import annotations

import json

from encore.runtime.stage import Stage, needed, run_stage, stage_parser

COMPARED = ("micro_ap_isc2021", "micro_ap_platform", "recall_at_p90_platform", "recall_at_1", "recall_at_10")


def main():
    stage_parser(__doc__).parse_args()
    with Stage("isc_track2", "compare") as stage:
        trained, untrained = (read_metrics(model) for model in ("trained", "untrained"))
        stage.metrics({key + "_gain": trained[key] - untrained[key] for key in COMPARED})


def read_metrics(model):
    with open(needed("metrics/isc_track2/test/{}.json".format(model)), encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    run_stage(main)
