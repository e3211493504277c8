"""What the canary did and found, as a dict and as a table."""

from __future__ import annotations

from encore.runtime.canary import golden
from encore.runtime.canary.comparison import compare, worst
from encore.runtime.canary.flags import pinned
from encore.runtime.canary.images import images
from encore.runtime.canary.network import network
from encore.runtime.canary.operations import operations
from encore.runtime.refusal import Refusal

DEVICES = ("cpu", "cuda")


def run(device="cpu", folder=golden.FOLDER):
    """{verdict, key, image_key, rows, notes}: this machine against the golden values in `folder`.

    `verdict` is the worst of all rows: bit-identical, within, differs or drifted. Raises Refusal when there
    is no GPU for "cuda", or a golden file or photograph is unusable.
    """
    key, results, image_key, pictures = measure(device)
    reference = golden.network_reference(key, folder)
    rows = compare(results, golden.read(reference, folder))
    notes = [] if reference == key else [_missing(key, reference)]
    references = golden.image_references(image_key, folder)
    for reference in references:
        rows += compare(pictures, golden.read(reference, folder))
    if references[0] != image_key:
        notes.append(_missing(image_key, references[0]))
    return {
        "verdict": worst(rows),
        "key": key,
        "image_key": image_key,
        "rows": rows,
        "notes": notes + _other_digests(rows),
    }


def measure(device):
    """(network key, {name: float32 array}, image key, {name: uint8 array}) of this machine."""
    import torch

    if device not in DEVICES:
        raise Refusal("device '{}': the canary knows {}".format(device, " and ".join(DEVICES)))
    if device == "cuda" and not torch.cuda.is_available():
        raise Refusal("no GPU that this torch can use was found: run the canary with --device cpu")
    with pinned():
        results = operations(device)
        results.update(network(device))
        results = {name: value.detach().cpu().numpy() for name, value in results.items()}
    return golden.network_key(device), results, golden.image_key(), images()


def record(device="cpu", folder=golden.FOLDER):
    """Store this machine's values under those of its two keys that are not there yet; the paths written.

    Raises Refusal when both are there.
    """
    key, results, image_key, pictures = measure(device)
    wanted = [(k, r) for k, r in ((key, results), (image_key, pictures)) if not golden.recorded(k, folder)]
    if not wanted:
        raise Refusal("{} and {}: recorded already: remove a file to record it again".format(key, image_key))
    return [golden.write(name, values, folder) for name, values in wanted]


def lines(report):
    """The lines of the plain text table."""
    table = [("operation", "verdict", "distance", "bound", "compared with")]
    table += [
        (row["operation"], row["verdict"]) + _distance(row["distance"]) + (row["compared_with"],)
        for row in report["rows"]
    ]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    yield "{}, {}".format(report["key"], report["image_key"])
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
    for note in report["notes"]:
        yield "note: " + note
    yield "verdict: " + report["verdict"]


def _distance(distance):
    if "ulp" in distance:
        return _number(distance["ulp"], "{:.1f} ULP"), "{:.0f} ULP".format(distance["bound"])
    shown = "mean {}, max {}".format(_number(distance["mean"], "{:.2f}"), _number(distance["max"], "{}"))
    return shown, "mean {}, max {}".format(*distance["bound"])


def _number(value, pattern):
    return "not finite" if value is None else pattern.format(value)


def _missing(key, reference):
    return "no golden values for {}: compared with {}".format(key, reference)


def _other_digests(rows):
    names = [
        row["operation"]
        for row in rows
        if row["compared_with"] == golden.PUBLISHED_PILLOW and row["verdict"] != "bit-identical"
    ]
    if not names:
        return []
    return [
        "not as in the published environment ({}): {}; data sets generated here have other digests".format(
            golden.PUBLISHED_PILLOW, ", ".join(names)
        )
    ]
