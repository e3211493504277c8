"""`python -m benchmarks.growth [--short] [--missing] [--mini SIZE] [SUBJECT ...]`: measure, fit, keep, plot.

After each subject the file is written, so a run that was ended goes on with `--missing`, or with the names of
those that are left. `--short` takes seconds, prints, and keeps nothing. The exit status is 1 where something
grows too fast and its subject does not say why.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path

from benchmarks.growth import mini_error, starts
from benchmarks.growth.fit import judged
from benchmarks.growth.measure import REPEATS, points
from benchmarks.growth.plot import write_plot
from benchmarks.growth.subjects import NAMES, subject
from encore.runtime.atomic import write_json
from encore.runtime.fingerprint import fingerprint

RESULTS = Path(__file__).resolve().parents[1] / "growth.json"
MEASURE = (
    "time is processor seconds (user and system, all threads and children), least of several calls, in "
    "processes of their own with one BLAS thread; wall seconds stand beside it, less certain where others "
    "use the same cores, whose caches they share in any case. Memory is the peak of the resident set of the "
    "measured process once its inputs are there, these included"
)
ROW = "  {n:>14,} {processor_seconds:10.4f} s {megabytes:6.0f} MB {open_files:4d} files {objects:5d} objects"


def measured(name, short=False, repeats=REPEATS):
    """What is kept of the subject `name`: its points, in seconds and bytes, and how long they took."""
    module, began, found = subject(name), time.perf_counter(), []
    for point in points(name, module.SHORT if short else module.SIZES, repeats):
        found.append(point)
        print(ROW.format(megabytes=point["peak_memory_bytes"] / 1e6, **point), flush=True)
    seconds = round(time.perf_counter() - began, 1)
    return {"of": module.OF, "points": found, "measured_in_seconds": seconds}


def fitted(results):
    """Fit every subject's points, in place."""
    for name, values in results["subjects"].items():
        values["fits"] = judged(values["points"], subject(name).PER_OBJECT)
        reasons = getattr(subject(name), "EXPLAINED", {})
        for what, (most, why) in reasons.items():
            fits = values["fits"][what]
            if fits["verdict"].startswith("worse"):
                fits.update(why=why, explained=fits["upper_exponent"] <= most)


def unexplained(name, values):
    """Lines: what of the subject grows too fast, and no WHY is given."""
    return [
        f"{name}: {what}: {fits['verdict']}"
        for what, fits in values["fits"].items()
        if fits and fits["verdict"].startswith(("worse", "grows")) and not fits.get("explained")
    ]


def keep(results, path):
    fitted(results)
    made = fingerprint()
    results["made with"] = {
        key: made[key] for key in ("python", "libraries", "processor", "cores", "revision", "dirty")
    }
    results.update(platform=platform.platform(), measure=MEASURE)
    write_json(path, results)
    write_plot(path.with_suffix(".svg"), results["subjects"])


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(NAMES) + "; default: all")
    parser.add_argument("--short", action="store_true", help="small sizes, one process each; nothing is kept")
    parser.add_argument("--missing", action="store_true", help="only subjects that the results lack")
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: benchmarks/growth.json")
    parser.add_argument(
        "--mini", type=Path, help="a mini size with fingerprints to compare with; default: the project's"
    )
    chosen = parser.parse_args(arguments)
    strange = sorted(set(chosen.subjects) - set(NAMES))
    if strange:
        parser.error(f"no subject {strange[0]}: there are {', '.join(NAMES)}")
    text = chosen.results.read_text(encoding="utf-8") if chosen.results.is_file() else "{}"
    results = json.loads(text)
    kept = results.setdefault("subjects", {})
    for name in chosen.subjects or NAMES:
        if chosen.missing and name in kept and not chosen.short:
            continue
        print(name, flush=True)
        values = measured(name, chosen.short, 1 if chosen.short else REPEATS)
        if not chosen.short:
            kept[name] = values
            results["subjects"] = kept = {known: kept[known] for known in NAMES if known in kept}
            keep(results, chosen.results)
    return 0 if chosen.short else finished(results, chosen)


def finished(results, chosen):
    """Measure the starts, compare the forecast with the mini run where it is there, print the verdicts; the
    exit status."""
    if not (chosen.missing and "starts" in results):
        results["starts"] = starts.measured()
    keep(results, chosen.results)  # the forecast reads it
    error = mini_error.measured(*([chosen.mini] if chosen.mini else []))
    if error is not None:
        results["mini"] = error
        keep(results, chosen.results)
        print("forecast of the mini run: " + json.dumps(error["summary"], indent=1))
    lines = []
    for name in (known for known in NAMES if known in results["subjects"]):
        values = results["subjects"][name]
        print(_verdicts(name, values["fits"]))
        lines += unexplained(name, values)
    for line in lines:
        print("UNEXPLAINED", line)
    return 1 if lines else 0


def _verdicts(name, fits):
    """One line."""
    return "{:24} time n^{:.2f} ± {:.2f} ({}); memory {}; open files {}; objects {}".format(
        name,
        fits["time"]["upper_exponent"],
        fits["time"]["upper_error"],
        fits["time"]["verdict"],
        fits["memory"]["verdict"],
        fits["open_files"]["verdict"],
        (fits["objects"] or {"verdict": "none"})["verdict"],
    )


if __name__ == "__main__":
    sys.exit(main())
