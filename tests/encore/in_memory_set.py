"""A small training set held in memory, with what a shard set offers."""

import io

import numpy as np
from PIL import Image


class InMemorySet:
    """`classes` x `copies` PNG pictures: one random pattern a class, with noise."""

    def __init__(self, classes=16, copies=6, size=32, seed=0):
        draw = np.random.RandomState(seed)
        self.names, self.labels, self._data = [], [], []
        for number in range(classes):
            pattern = Image.fromarray(draw.randint(0, 256, (4, 4, 3)).astype(np.uint8)).resize((size, size))
            for copy in range(copies):
                noisy = np.asarray(pattern).astype(int) + draw.randint(-20, 21, (size, size, 3))
                file = io.BytesIO()
                Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(file, "PNG")
                self.names.append("%d_%d.jpg" % (number, copy))
                self.labels.append(number)
                self._data.append(file.getvalue())

    def __len__(self):
        return len(self.names)

    def read(self, i):
        return self._data[i]

    def damage(self, i):
        self._data[i] = self._data[i][:60]
