"""Compare the evaluated runs: what each gains on the first one, and what several pictures of a query,
re-ranking and the other protocol change in it."""

from __future__ import annotations

import json

from encore.runtime.parameters import read_section
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.reid import SYSTEM

METRICS = "metrics/reid/evaluate/{}.json"
MAP, TORCHREID = "mAP", "torchreid_mAP"


def main():
    arguments = stage_parser(__doc__).parse_args()
    with Stage(SYSTEM, "compare") as stage:
        runs = read_evaluated(arguments.params)
        stage.recorded["parameters"] = {"evaluated": runs}
        stage.metrics(gains({run: read_metrics(run) for run in runs}))


def gains(metrics):
    """Differences of the mean average precisions in {run: its metrics}, the first run being the one to
    beat: {run}_mAP_gain; and of each run {run}_torchreid_mAP_gap (the other protocol on the same ranking),
    {run}_multi_query_mAP_gain and {run}_reranked_mAP_gain (by the protocol of its paper), where measured."""
    first = next(iter(metrics))
    found = {}
    for run, values in metrics.items():
        if run != first:
            found[run + "_mAP_gain"] = values[MAP] - metrics[first][MAP]
        found[run + "_torchreid_mAP_gap"] = values[TORCHREID] - values[MAP]
        if "multi_query_mAP" in values:
            found[run + "_multi_query_mAP_gain"] = values["multi_query_mAP"] - values[MAP]
        if "reranked_torchreid_mAP" in values:
            found[run + "_reranked_mAP_gain"] = values["reranked_torchreid_mAP"] - values[TORCHREID]
    return found


def read_evaluated(path):
    """The list reid.evaluated of a parameter file; Refusal where it is none."""
    runs = read_section(path, "reid.evaluated")
    if not isinstance(runs, list) or not runs or not all(isinstance(run, str) for run in runs):
        raise Refusal("{}: reid.evaluated: expected a list of runs, found {!r}".format(path, runs))
    return runs


def read_metrics(run):
    """The metrics of a run that was evaluated."""
    with open(needed(METRICS.format(run)), encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    run_stage(main)
