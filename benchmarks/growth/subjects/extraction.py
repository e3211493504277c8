"""Pictures decoded, batched, put through a network of one layer, and written as descriptor files in chunks of
5,000: the machinery of the extraction, whose network the GPU benchmark measures."""

from __future__ import annotations

import os

from benchmarks.growth.subjects import half_decades

OF = "pictures"
SIZES, SHORT = half_decades(3, 6), (100, 300, 1000)
OUTPUT, PER_OBJECT, WIDTH, SIDE, BATCH = True, 5000, 64, 8, 500


class Pictures:
    """`n` times the same file, by names of their own."""

    def __init__(self, n):
        from PIL import Image

        from encore.systems.isc.generation import jpeg

        self.names = ["R{:07d}.jpg".format(i) for i in range(n)]
        self._file = jpeg(Image.new("RGB", (SIDE, SIDE), (10, 200, 90)), 90)

    def __len__(self):
        return len(self.names)

    def read(self, i):
        return self._file


def ready(folder, n):
    import torch

    from encore.systems.isc.extraction import ExtractionRecipe, Extractor
    from encore.systems.isc.prepared_pictures import Preparation

    class OneLayer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3 * SIDE * SIDE, WIDTH)

        def descriptor(self, inputs):
            return self.layer(inputs.flatten(1))

    recipe = ExtractionRecipe((SIDE,), BATCH, PER_OBJECT // BATCH, None)
    extractor, pictures = Extractor(OneLayer(), recipe), Pictures(n)

    def work():
        extractor.to_files(pictures, Preparation(SIDE), os.path.join(folder, "output", "reference_8.hdf5"))

    return work
