"""Face verification by the LFW protocol: an example of an evaluator of your own.

Copy it into a folder that encore.evaluators names, change it, and set evaluation_params.type to its name. It
reads keys that training does not know: lfw_root (pictures <person>/<person>_<number, 4 digits>.jpg, a folder
or file.tar#prefix) and lfw_pairs (the protocol's pairs.txt, by default the one in lfw_root), beside the other
keys or in evaluation_params.
"""

from __future__ import annotations

import io
import os
from typing import NamedTuple

import numpy as np

from encore.data.picture_tree import open_tree
from encore.metrics.verification import true_positive_rate, verify
from encore.runtime.refusal import Refusal
from encore.systems.reid.features import extract
from stages.reid.evaluate.market_evaluate import extraction

BEST_BY = "accuracy"
METRICS = ("accuracy", "accuracy_deviation", "tpr_at_fpr_0.001", "pairs", "pictures")
PAIRS = "pairs.txt"
FALSE_POSITIVES = 1e-3


class Pair(NamedTuple):
    """A line of pairs.txt: names of two pictures without their ending, and the fold it belongs to."""

    left: str
    right: str
    same: bool
    fold: int


def run_eval(config):
    """Accuracy in [0, 1]: the mean over the folds, each by the threshold that is best for the others."""
    return evaluate(config)["accuracy"]


def evaluate(config):
    """accuracy, its deviation over the folds, tpr_at_fpr_0.001, pairs and pictures; prints a line."""
    pairs, pictures = _protocol(config)
    features = extract(config["online_net"], pictures, extraction(config), "pictures of pairs")
    left, right = (features[[pictures.place[name] for name in names]] for names in list(zip(*pairs))[:2])
    similarities = np.einsum("ij,ij->i", left, right, dtype=np.float64)
    same = np.array([pair.same for pair in pairs])
    found = verify(similarities, same, np.array([pair.fold for pair in pairs]))
    metrics = {
        "accuracy": found.accuracy,
        "accuracy_deviation": found.deviation,
        "tpr_at_fpr_0.001": true_positive_rate(similarities, same, FALSE_POSITIVES),
        "pairs": len(pairs),
        "pictures": len(pictures.names),
    }
    print("[LFW_EVAL] accuracy: {:.6f} +- {:.6f}".format(found.accuracy, found.deviation), flush=True)
    return metrics


def check(config):
    """Refusal where pairs or pictures are not there."""
    _protocol(config)


def read_pairs(path):
    """The list of Pair in the file `path`, as `parse_pairs` reads it; Refusal where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return parse_pairs(file.read(), path)
    except OSError as error:
        raise _unreadable(path, error) from None


def parse_pairs(data, path):
    """The list of Pair in the bytes of a pairs.txt: a line of folds and pairs a kind, then for each fold
    lines `person number number` and as many `person number person number`, with tabs or blanks between.

    Refusal naming the file, `path`, and the line for anything else.
    """
    try:
        lines = [line.split() for line in io.StringIO(data.decode("utf-8"), newline=None)]
    except UnicodeDecodeError as error:
        raise _unreadable(path, error) from None
    while lines and not lines[-1]:
        lines.pop()
    head = lines[0] if lines else []
    if len(head) != 2 or not all(field.isdigit() and int(field) for field in head):
        raise Refusal("{}: line 1: expected numbers of folds and of pairs, found {}".format(path, head))
    folds, each = (int(field) for field in head)
    if len(lines) != 1 + 2 * folds * each:
        raise Refusal(
            "{}: expected {} lines for {} folds of {} pairs of each kind, found {}: take all of it".format(
                path, 1 + 2 * folds * each, folds, each, len(lines)
            )
        )
    return [_pair(path, row, fields, (row - 1) // (2 * each)) for row, fields in enumerate(lines) if row]


def _unreadable(path, error):
    return Refusal("{}: cannot be read as pairs.txt ({}): lfw_pairs names it".format(path, error))


def _pair(path, row, fields, fold):
    numbers = fields[1::2] if len(fields) == 4 else fields[1:]
    if len(fields) not in (3, 4) or not all(number.isdigit() for number in numbers):
        raise Refusal(
            "{}: line {}: expected a person and two numbers, or twice person and number, found {}".format(
                path, row + 1, " ".join(fields)
            )
        )
    other = fields[2] if len(fields) == 4 else fields[0]
    return Pair(_name(fields[0], numbers[0]), _name(other, numbers[1]), len(fields) == 3, fold)


def _name(person, number):
    return "{0}/{0}_{1:04d}".format(person, int(number))


class _Pictures:
    """The pictures that pairs name, each once; `place`: name without ending -> its row."""

    def __init__(self, tree, files, pairs):
        self.spec, self._tree = tree.spec, tree
        places = {os.path.splitext(name)[0]: name for name in files}
        wanted = sorted({name for pair in pairs for name in pair[:2]})
        missing = [name for name in wanted if name not in places]
        if missing:
            raise Refusal(
                "{}: {} of {} pictures that the pairs name are missing, the first is {}.jpg: take the whole "
                "set".format(self.spec, len(missing), len(wanted), missing[0])
            )
        self.names = [places[name] for name in wanted]
        empty = [name for name in self.names if not tree.size(name)]
        if empty:
            raise Refusal(
                "{}: {} pictures are empty (0 bytes), the first is {}: put them back".format(
                    self.spec, len(empty), empty[0]
                )
            )
        self.place = {name: row for row, name in enumerate(wanted)}

    def read(self, i):
        return self._tree.read(self.names[i])


def _protocol(config):
    """(pairs, pictures) of the config."""
    block = dict(config.get("evaluation_params") or {}, **config)
    root = block.get("lfw_root")
    if not root:
        raise Refusal("lfw_root: missing: name the folder, or file.tar#prefix, of the LFW pictures")
    tree = open_tree(root)
    files = tree.files()
    if block.get("lfw_pairs"):
        pairs = read_pairs(block["lfw_pairs"])
    elif PAIRS in files:
        pairs = parse_pairs(tree.read(PAIRS), "{}: {}".format(tree.spec, PAIRS))
    else:
        raise Refusal(
            "{}: {}: no such file: put it there, or name the pairs in lfw_pairs".format(tree.spec, PAIRS)
        )
    return pairs, _Pictures(tree, files, pairs)
