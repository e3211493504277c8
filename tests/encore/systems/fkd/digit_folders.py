"""Class folders of small pictures, written to disk."""

import numpy as np
from PIL import Image

from encore.data.class_folders import ClassFolders


def write_class_folders(folder, classes=3, copies=6, size=8, seed=0):
    """Write `copies` noisy pictures of one random pattern a class -> their ClassFolders."""
    draw = np.random.RandomState(seed)
    patterns = np.random.RandomState(99).randint(40, 216, (classes, size, size, 3))
    for number in range(classes):
        place = folder / ("class%d" % number)
        place.mkdir(parents=True)
        for copy in range(copies):
            noisy = patterns[number] + draw.randint(-20, 21, (size, size, 3))
            Image.fromarray(noisy.astype(np.uint8)).save(str(place / ("%02d.png" % copy)))
    return ClassFolders(str(folder))
