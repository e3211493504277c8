"""Compare the evaluated runs: what each gains on the first one, and what several pictures of a query,
re-ranking and the other protocol change in it."""

from __future__ import annotations

import json

from encore.metrics.evidence.differences import Difference, Differences
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.runtime.parameters import read_section
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.reid import SYSTEM

METRICS = "metrics/reid/evaluate/{}.json"
EVIDENCE = "evaluate/{}.npz"
MAP, TORCHREID = "mAP", "torchreid_mAP"
MULTI_QUERY, RERANKED = "multi_query_mAP", "reranked_torchreid_mAP"


def main():
    arguments = stage_parser(__doc__).parse_args()
    with Stage(SYSTEM, "compare") as stage:
        runs = read_evaluated(arguments.params)
        stage.recorded["parameters"] = {"evaluated": runs}
        metrics = {run: read_metrics(run) for run in runs}
        rows = (
            row._replace(of=EVIDENCE.format(row.of), less=EVIDENCE.format(row.less))
            for row in compared(metrics)
        )
        stage.metrics(gains(metrics))
        stage.evidence(EvidenceFile(Differences(tuple(rows))))


def gains(metrics):
    """{key: difference} of what is `compared` in {run: its metrics}."""
    return {
        row.key: metrics[row.of][row.of_key] - metrics[row.less][row.less_key] for row in compared(metrics)
    }


def compared(metrics):
    """The Differences of mean average precisions in {run: its metrics}, by the names of the runs, the first
    run being the one to beat: {run}_mAP_gain; and of each run {run}_torchreid_mAP_gap (the other protocol on
    the same ranking), {run}_multi_query_mAP_gain and {run}_reranked_mAP_gain (by the protocol of its paper),
    where measured."""
    first = next(iter(metrics))
    rows = []
    for run, values in metrics.items():
        if run != first:
            rows.append(Difference(run + "_mAP_gain", run, MAP, first, MAP))
        rows.append(Difference(run + "_torchreid_mAP_gap", run, TORCHREID, run, MAP))
        if MULTI_QUERY in values:
            rows.append(Difference(run + "_multi_query_mAP_gain", run, MULTI_QUERY, run, MAP))
        if RERANKED in values:
            rows.append(Difference(run + "_reranked_mAP_gain", run, RERANKED, run, TORCHREID))
    return rows


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
