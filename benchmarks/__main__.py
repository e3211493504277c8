"""`make bench`: run all benchmarks, compare with the goals, keep the figures in benchmarks/results.json."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from benchmarks import (
    arcface,
    centroids,
    detection,
    distilled_loading,
    drip_augmentation,
    fusion,
    generation_chain,
    generation_workers,
    k_reciprocal,
    label_reading,
    manifest_check,
    match,
    micro_ap,
    mini_run,
    person_ranking,
    recover,
    reference_division,
    score_normalisation,
)
from encore.runtime.atomic import write_json
from encore.runtime.fingerprint import fingerprint

RESULTS = Path(__file__).resolve().parent / "results.json"
# benchmark, figure, bound, whether the figure must be at least (True) or at most (False) the bound
GOALS = (
    ("generation_workers", "ratio", 1.8, True),
    ("generation_chain", "ratio", 0.9, True),
    ("micro_ap", "seconds_integer_ids", 0.2, False),
    ("micro_ap", "loop_over_integer_ids", 5.0, True),
    ("micro_ap", "difference_to_loop", 1e-12, False),
    ("micro_ap", "seconds_csv", 2.0, False),
    ("micro_ap", "difference_csv_to_integer_ids", 1e-12, False),
    ("manifest_check", "seconds", 5.0, False),
    ("manifest_check", "peak_memory_bytes", 2**30, False),
    ("reference_division", "ratio", 1.1, False),
    ("score_normalisation", "ratio", 1.3, False),
    ("score_normalisation", "peak_memory_bytes", 2**31, False),
    ("match", "peak_memory_bytes", 2**29, False),
    ("match", "memory_for_four_times_the_references", 1.5, False),
    ("match", "copies_missed", 0, False),
    ("fusion", "pandas_over_encore", 5.0, True),
    ("fusion", "differing_rows", 0, False),
    ("fusion", "difference_of_scores", 1e-9, False),
    ("label_reading", "ratio", 1.0, False),
    ("label_reading", "store_over_published_bytes", 1.0, False),
    ("label_reading", "top_classes_over_published_bytes", 0.1, False),
    ("distilled_loading", "ratio_fork", 1.5, True),
    ("distilled_loading", "ratio_spawn", 1.5, True),
    ("distilled_loading", "spawn_over_fork", 0.95, True),
    ("distilled_loading", "memory_ratio", 0.5, False),
    ("distilled_loading", "differing_values", 0, False),
    ("recover", "ratio", 1.1, True),
    ("recover", "difference_of_terms", 1e-6, False),
    ("arcface", "ratio", 1 / 1.4, False),
    ("arcface", "memory_ratio", 0.5, False),
    ("arcface", "difference_of_gradients", 1e-6, False),
    ("centroids", "ratio", 0.8, True),
    ("drip_augmentation", "ratio", 1.2, True),
    ("drip_augmentation", "differing_pictures", 0, False),
    ("person_ranking", "seconds", 1.0, False),
    ("person_ranking", "ratio", 5.0, True),
    ("person_ranking", "peak_bytes_beyond_scores", 1.5 * 2**30, False),
    ("person_ranking", "difference_of_mean_average_precision", 1e-6, False),
    ("person_ranking", "large_memory_over_chunk", 1.5, False),
    ("person_ranking", "growth_of_twice_the_gallery", 2.5, False),
    ("k_reciprocal", "ratio", 3.0, True),
    ("k_reciprocal", "largest_fall", 1e-6, False),
    ("k_reciprocal", "largest_fall_from_features", 2e-6, False),
    ("mini_run", "elapsed_seconds", 900.0, False),
    ("mini_run", "peak_memory_bytes", 4 * 2**30, False),
)
MODULES = (
    generation_chain,
    generation_workers,
    micro_ap,
    manifest_check,
    reference_division,
    score_normalisation,
    match,
    fusion,
    detection,
    label_reading,
    distilled_loading,
    recover,
    arcface,
    centroids,
    drip_augmentation,
    person_ranking,
    k_reciprocal,
    mini_run,
)


def main():
    results = {}
    for module in MODULES:
        name = module.__name__.rsplit(".", 1)[1]
        print("{} …".format(name), flush=True)
        results[name] = module.run()
    missed = 0
    for name, figure, bound, at_least in GOALS:
        if not results[name]:
            print("not measured  {} {}: run `make mini` first".format(name, figure))
            missed += 1
            continue
        value = results[name][figure]
        met = value >= bound if at_least else value <= bound
        missed += not met
        print(
            "{}  {} {} = {:.4g} ({} {:.4g})".format(
                "met   " if met else "MISSED",
                name,
                figure,
                value,
                "at least" if at_least else "at most",
                bound,
            )
        )
    made = fingerprint()
    write_json(
        RESULTS,
        {
            "results": results,
            "made with": {
                key: made[key] for key in ("python", "libraries", "processor", "cores", "revision", "dirty")
            },
            "platform": platform.platform(),
        },
    )
    print(
        "written to {}".format(
            RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS
        )
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
