"""What an evaluation reports: numbers by both published definitions, and the precision-recall curve."""

from __future__ import annotations

from encore.metrics.recall_at_rank import recall_at_rank
from encore.runtime.atomic import replacing


def reported(official, platform, ranks):
    """The numbers of two evaluations and of the ranks of the true pairs, as a flat dict.

    `recall_at_p90_isc2021` and `threshold_at_p90_isc2021` are not there where precision 0.9 is never reached:
    that definition has no number there.
    """
    metrics = {
        "micro_ap_isc2021": official.micro_ap,
        "micro_ap_platform": platform.micro_ap,
        "recall_at_p90_platform": platform.recall_at_p90,
        "recall_at_1": recall_at_rank(ranks, 1),
        "recall_at_10": recall_at_rank(ranks, 10),
    }
    if official.recall_at_p90 is not None:
        metrics["recall_at_p90_isc2021"] = official.recall_at_p90
        metrics["threshold_at_p90_isc2021"] = official.threshold_at_p90
    return metrics


def write_curve(path, curve):
    """Write a precision-recall curve, (recall, precision) float64, as CSV: header recall,precision."""
    with replacing(path, "w") as file:
        file.write("recall,precision\n")
        file.writelines("{!r},{!r}\n".format(*point) for point in zip(*(axis.tolist() for axis in curve)))
