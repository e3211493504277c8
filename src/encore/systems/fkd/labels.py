"""Labels by epoch and batch, in our layout or the published one."""

from __future__ import annotations

import os

from encore.runtime.refusal import Refusal
from encore.systems.fkd.label_set import Labels
from encore.systems.fkd.label_store import MANIFEST, LabelStore
from encore.systems.fkd.published_labels import PublishedLabels

__all__ = ["Labels", "open_labels"]


def open_labels(path) -> Labels:
    """Open the label set in the folder `path` (a slash at its end or none), whichever layout it has.

    Reads the manifest of a store, or the first and last batch of the first epoch of published labels. Refusal
    where neither is there.
    """
    if os.path.isfile(os.path.join(os.fspath(path), MANIFEST)):
        return LabelStore(path)
    if not os.path.isdir(os.fspath(path)):
        raise Refusal("{}: no such folder of labels: relabel, or mend the path".format(path))
    return PublishedLabels(path)
