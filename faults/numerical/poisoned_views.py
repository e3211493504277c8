"""A batch of the drip, whose views are made numbers only on the device, with a NaN in one of them."""

from __future__ import annotations


class PoisonedViews:
    """A ViewBatch whose first augmented view holds a NaN."""

    def __init__(self, batch):
        self._batch = batch

    def on(self, device):
        batch = self._batch.on(device)
        augmented = batch.augmented.clone()
        augmented[0, 0, 0, 0] = float("nan")
        return batch._replace(augmented=augmented)
