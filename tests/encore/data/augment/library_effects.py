"""Which library effect explains a run that differs from the published one; prints the count of each.

`python -m tests.encore.data.augment.library_effects` goes through all recorded runs and text operations
with this interpreter's own JPEG decoder and glyphs.
"""

from __future__ import annotations

import collections
import json

import numpy as np
import PIL
from PIL import features

from encore.data.augment.overlays import overlay_text
from tests.encore.data.augment import published_runs as runs

EQUAL = "equal"
JPEG = "another JPEG decoder"
GLYPHS = "another FreeType, HarfBuzz or raqm"
UNEXPLAINED = "unexplained"


class WatchedFont:
    """A TextFont that notes whether a mask differs from the recorded one."""

    def __init__(self, font):
        self.font = font
        self.string = font.string
        self.differs = False

    def glyphs(self, string, pixels):
        mask, offset = self.font.glyphs(string, pixels)
        array, place = runs.recorded_glyphs()[runs.glyph_key(string, pixels)]
        same = np.array_equal(runs.mask_array(mask), array) and (array.size == 0 or tuple(offset) == place)
        self.differs = self.differs or not same
        return mask, offset


def local_layout():
    """The published text layout where this host has it."""
    return "raqm" if features.check("raqm") else "basic"


def foreign_differs(index):
    return runs.sha256(runs.local_foreign()[index % 8]) != runs.sha256(runs.recorded_foreign()[index % 8])


def replay_locally(run):
    font = WatchedFont(runs.assets(local_layout()).font)
    return runs.replay_published(run, local_layout(), lambda inner: font, runs.local_foreign()), font


def uses_differing_picture(draws):
    return any(foreign_differs(draw[3]) for draw in draws if draw[:3] == ["random.randint", 0, 10000])


def explain_run(run):
    """Replay a run of trace.json with this interpreter's libraries and explain its first differing step."""
    replay, font = replay_locally(run)
    for expected, found in zip(run["steps"], replay.steps):
        if expected["sha256"] != found["sha256"]:
            if uses_differing_picture(found["draws"]):
                return JPEG
            return GLYPHS if found["step"] == "random_text_overlay" and font.differs else UNEXPLAINED
    return EQUAL


def explain_result(run):
    """Replay a run of more_seeds.json, of which only the result is recorded."""
    replay, font = replay_locally(run)
    if runs.sha256(replay.image) == run["sha256"]:
        return EQUAL
    if uses_differing_picture(replay.draws.trace):
        return JPEG
    return GLYPHS if font.differs else UNEXPLAINED


def explain_text(case):
    """One overlay_text case of ops.json with this interpreter's glyphs."""
    font = WatchedFont(runs.assets(local_layout()).font)
    picture = runs.picture("inputs/" + runs.read("ops.json")[case["on"]])
    if runs.sha256(overlay_text(picture, font=font, **case["params"])) == case["sha256"]:
        return EQUAL
    return GLYPHS if font.differs else UNEXPLAINED


def main():
    texts = [case for case in runs.read("ops.json")["cases"] if case["op"] == "overlay_text"]
    counts = {
        "pillow": PIL.__version__,
        "text_layout": local_layout(),
        "traced runs": collections.Counter(explain_run(run) for run in runs.read("trace.json")["runs"]),
        "further runs": collections.Counter(
            explain_result(run) for run in runs.read("more_seeds.json")["runs"]
        ),
        "text operations": collections.Counter(explain_text(case) for case in texts),
        "foreign JPEG pictures that decode differently": sum(foreign_differs(index) for index in range(8)),
    }
    print(json.dumps(counts, indent=1))


if __name__ == "__main__":
    main()
