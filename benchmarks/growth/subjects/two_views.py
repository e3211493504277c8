"""Pictures of 256 x 256 decoded and distorted into two views of 64 x 64, as for pre-training; one process."""

from __future__ import annotations

import random

OF = "pictures"
SIZES, SHORT = (3, 10, 32, 100, 316, 1000, 3162), (2, 4, 8)
OUTPUT, PER_OBJECT, SIDE, VIEW = False, None, 256, 64


def ready(folder, n):
    import numpy as np
    from PIL import Image

    from encore.data.two_views import published_views
    from encore.data.view_batches import TwoViewBatches
    from encore.systems.isc.generation import jpeg

    pixels = np.random.RandomState(0).randint(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
    file = jpeg(Image.fromarray(pixels).resize((SIDE, SIDE), Image.BICUBIC), 100)

    class Pictures:
        names = ["{}.jpg".format(i) for i in range(n)]

        def __len__(self):
            return n

        def read(self, i):
            return file

    def seeded(view):
        return lambda image, seed: view(image, random.Random(seed))

    views = [seeded(view) for view in published_views(VIEW)]
    batches = TwoViewBatches(Pictures(), views, lambda epoch, step: [step], n, 0, "growth")

    def work():
        for step in range(n):
            batches[0, step]

    return work
