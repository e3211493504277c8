"""WaveBlock: in training, all rows of the feature maps but one random band are amplified."""

import random

import torch.nn as nn


class WaveBlock(nn.Module):
    """Feature maps (n, c, h, w) -> the same shape: rows [s, s + round(0.3 h)) keep their value, others times
    1.5.

    One band per forward for all images and channels; s = rng.randint(0, h - round(0.3 h)), both ends
    included. `rng` (a random.Random) is set by whoever runs the forward, so that the draw belongs to its step
    and replica. In evaluation mode the input passes unchanged (Wang et al., arXiv 2006.06525; ISC 2021 Track
    2, "WaveBlock").
    """

    def __init__(self, band=0.3, gain=1.5):
        super().__init__()
        self.band = band
        self.gain = gain
        self.rng = random.Random(0)

    def forward(self, x):
        if not self.training:
            return x
        height = x.size(2)
        band_height = round(self.band * height)
        start = self.rng.randint(0, height - band_height)
        weight = x.new_full((1, 1, height, 1), self.gain)
        weight[:, :, start : start + band_height] = 1.0
        return x * weight
