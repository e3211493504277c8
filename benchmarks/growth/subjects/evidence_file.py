"""An evidence file of n predictions written, read and measured: `encore verify --from-predictions`."""

from __future__ import annotations

import os

from benchmarks.growth.subjects import half_decades, of_caches

OF = "predictions"
SIZES, SHORT = half_decades(3, 6), (300, 900, 3000)
OUTPUT, PER_OBJECT = False, None
EXPLAINED = of_caches("predictions are sorted")


def prepare(folder, n):
    from benchmarks.growth.subjects.micro_average_precision import example
    from encore.metrics.evidence.evidence_file import EvidenceFile
    from encore.metrics.evidence.ranked_pairs import Measured, RankedPairs

    predictions, truth = example(n)
    measures = (Measured("micro_ap", "all", "platform", "micro_ap"),)
    evidence = RankedPairs.of(
        truth,
        {"all": predictions},
        measures,
        lambda codes: ["Q{:07d}".format(code) for code in codes.tolist()],
        lambda codes: ["R{:07d}".format(code) for code in codes.tolist()],
    )
    EvidenceFile(evidence).write(os.path.join(folder, "evidence.npz"))


def ready(folder, n):
    from encore.metrics.evidence.reading import read_evidence

    return lambda: read_evidence(os.path.join(folder, "evidence.npz")).measure()
