"""`encore counts`: does a data set hold as many images and classes as it must?"""

from __future__ import annotations

from dataclasses import dataclass

from encore.data.manifest import Manifest, verify_manifest


@dataclass(frozen=True)
class Count:
    """One number of a data set: what was expected (None: not asked) and what its manifest says."""

    what: str
    expected: int | None
    found: int

    @property
    def holds(self):
        return self.expected is None or self.expected == self.found


def check_counts(folder, images=None, classes=None, content=False):
    """(counts, problems) of the data set in `folder`: problems are lines, empty when everything holds.

    The manifest's own statements are checked against the shard indexes first (with `content`, against every
    byte), so that a right number in a wrong manifest does not pass.
    """
    problems = list(verify_manifest(folder, content=content))
    manifest = Manifest.read(folder)
    counts = [Count("images", images, manifest.count), Count("classes", classes, manifest.classes)]
    problems += [
        f"{folder}: expected {count.expected:,} {count.what}, found {count.found:,} "
        f"({abs(count.found - count.expected):,} too {'few' if count.found < count.expected else 'many'})"
        for count in counts
        if not count.holds
    ]
    return counts, problems
