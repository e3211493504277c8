"""The verdict on each operation: bit-identical, within so many ULP, differs in grey levels, or drifted."""

from __future__ import annotations

import math

import numpy

from encore.runtime.canary import bounds
from encore.runtime.canary.golden import digest, sample
from encore.runtime.canary.images import ENCODE, decoded
from encore.runtime.refusal import Refusal

VERDICTS = ("bit-identical", "within", "differs", "drifted")  # from best to worst


def compare(results, golden):
    """One row per result: {operation, verdict, distance, compared_with}.

    `results`: {name: array} as `report.measure` gives them, `golden`: as `golden.read` gives it. `distance`
    is {ulp, bound} or {mean, max, bound}, None for what is not finite. Raises Refusal for an operation that
    `golden` does not hold.
    """
    return [
        dict(_judged(name, results[name], _entry(golden, name)), operation=name, compared_with=golden["key"])
        for name in results
    ]


def worst(rows):
    """The worst verdict of all rows, as one of `VERDICTS`."""
    return max((row["verdict"].split(" ")[0].rstrip(":") for row in rows), key=VERDICTS.index)


def scaled_ulp(values, golden):
    """Largest difference in units in the last place of the golden tensor's largest magnitude.

    One unit for the whole tensor: a sum that cancels to nearly zero has tiny units of its own, and plain ULP
    there count thousands for an error that is as small as everywhere else. Infinity for what is not finite.
    """
    values, golden = values.astype(numpy.float64), golden.astype(numpy.float64)
    if values.shape != golden.shape or not (numpy.isfinite(values).all() and numpy.isfinite(golden).all()):
        return math.inf
    unit = numpy.spacing(numpy.float32(numpy.abs(golden).max()))
    return float(numpy.abs(values - golden).max() / unit)


def grey_levels(pixels, golden):
    """(mean, largest) difference of two uint8 arrays; infinities when their shapes differ."""
    if pixels.shape != golden.shape:
        return math.inf, math.inf
    difference = numpy.abs(pixels.astype(numpy.int64) - golden)
    return float(difference.mean()), int(difference.max())


def _entry(golden, name):
    if name not in golden["results"]:
        raise Refusal("golden values {}: nothing for '{}': record them again".format(golden["key"], name))
    return golden["results"][name]


def _judged(name, array, entry):
    same = digest(array) == entry["digest"]
    if name in bounds.GREY_LEVELS:
        return _judged_pixels(name, array, entry, same)
    bound = bounds.ULP[name]
    comparable = numpy.isfinite(array).all() and list(array.shape) == entry["shape"]
    ulp = scaled_ulp(sample(array), entry["values"]) if comparable else math.inf
    if same:
        verdict = "bit-identical"
    elif ulp > bound:
        verdict = "drifted"
    else:
        verdict = "within {} ULP".format(max(1, math.ceil(ulp)))  # all values may differ more than the sample
    return {"verdict": verdict, "distance": {"ulp": _finite(ulp), "bound": round(bound, 1)}}


def _judged_pixels(name, array, entry, same):
    """Encoded files are compared by the pixels that this machine decodes from both."""
    values = entry["values"].reshape(entry["shape"])
    mean, largest = (0.0, 0) if same else grey_levels(*_pixels(name, array, values))
    bound = bounds.GREY_LEVELS[name]
    if same:
        verdict = "bit-identical"
    elif mean > bound[0] or largest > bound[1]:
        verdict = "drifted"
    else:
        verdict = "differs: mean {:.2f}, max {} grey levels".format(mean, largest)
    return {
        "verdict": verdict,
        "distance": {"mean": _finite(mean), "max": _finite(largest), "bound": list(bound)},
    }


def _pixels(name, array, values):
    return (decoded(array), decoded(values)) if name == ENCODE else (array, values)


def _finite(number):
    return number if math.isfinite(number) else None
