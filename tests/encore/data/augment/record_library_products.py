"""Writes glyphs.npz and foreign/*.decoded.png: what the published libraries hand to the chain.

Run once as `python -m tests.encore.data.augment.record_library_products` under Pillow 8.3.2 with raqm; the
tests prove the files by the published hashes, which come out only with these bits.
"""

from __future__ import annotations

import numpy as np
import PIL

from encore.data.augment.draws import Draws
from encore.data.augment.isc_chain import PUBLISHED, IscChain
from encore.data.augment.overlays import overlay_text
from tests.encore.data.augment import published_runs as runs
from tests.golden_files import golden


class RecordingFont:
    """A TextFont that keeps every mask it renders."""

    def __init__(self, font):
        self.font = font
        self.string = font.string
        self.kept = {}

    def glyphs(self, string, pixels):
        mask, offset = self.font.glyphs(string, pixels)
        self.kept[runs.glyph_key(string, pixels)] = (runs.mask_array(mask), offset)
        return mask, offset


def draw_all(assets):
    """Run everything that the tests replay: trace, more seeds, forced steps, operations, Track 2's whole
    run.
    """
    foreign = runs.local_foreign()
    chains = {name: IscChain(recipe, assets, lambda i: foreign[i % 8]) for name, recipe in PUBLISHED.items()}
    for run in runs.read("trace.json")["runs"] + runs.read("more_seeds.json")["runs"]:
        chains[run["dataset"]](runs.picture("inputs/" + run["input"]), Draws(run["seed"]))
    for recipe in PUBLISHED.values():
        IscChain(runs.forced(recipe), assets, chains["isc_100k_256"].foreign)(
            runs.picture("inputs/" + runs.INPUTS[0]), Draws(11)
        )
    for case in runs.read("ops.json")["cases"]:
        if case["op"] == "overlay_text":
            overlay_text(runs.picture("inputs/" + runs.INPUTS[0]), font=assets.font, **case["params"])
    draws = Draws(1)
    for name in runs.INPUTS:
        for _ in range(19):
            chains["isc_100k_256"](runs.picture("inputs/" + name), draws)


def main():
    if PIL.__version__ != "8.3.2":
        raise SystemExit("expected Pillow 8.3.2, found {}".format(PIL.__version__))
    assets = runs.assets("raqm", RecordingFont)
    draw_all(assets)
    kept = sorted(assets.font.kept.items())
    folder = golden("isc_generate/trace.json").parent
    np.savez_compressed(
        str(folder / "glyphs.npz"),
        keys=np.array([key for key, _ in kept]),
        shapes=np.array([mask.shape for _, (mask, _) in kept]),
        offsets=np.array([offset for _, (_, offset) in kept]),
        masks=np.concatenate([mask.ravel() for _, (mask, _) in kept]),
    )
    for name in runs.FOREIGN:
        if name.endswith(".jpg"):
            decoded = folder / "foreign" / name.replace(".jpg", ".decoded.png")
            runs.picture("foreign/" + name).save(str(decoded), optimize=True)


if __name__ == "__main__":
    main()
