"""AugLy 0.1.10's overlay_stripes on Pillow images."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from encore.runtime.refusal import Refusal

LINE_TYPES = ("solid", "dotted", "dashed")
DASH_WIDTH = 0.7
"""Width of the perpendicular stripes that cut lines into dashes."""

_PERIOD = 1 << 32
_DOUBTFUL = 1 << 10


def overlay_stripes(image, line_width, line_color, line_angle, line_density, line_type, line_opacity):
    """Draw parallel stripes over a picture; returns a new picture of the same mode.

    line_width: 0 to 1, share of a period that is stripe; line_color: RGB; line_angle in degrees;
    line_density: 0 to below 1, the period is (1 - density) x the shorter side; line_opacity: 0 to 1,
    truncated to 8 bits. line_type: "solid", "dotted" (times stripes of the same width in the perpendicular
    direction) or "dashed" (times perpendicular ones of width 0.7). Raises Refusal for another line_type.
    """
    if line_type not in LINE_TYPES:
        raise Refusal("line_type must be one of {}, found {!r}: correct it".format(LINE_TYPES, line_type))
    mask = stripe_mask(image.size, line_width, line_angle, line_density)
    if line_type != "solid":
        across = line_width if line_type == "dotted" else DASH_WIDTH
        mask &= stripe_mask(image.size, across, line_angle + 90, line_density)
    level = np.uint8(int(line_opacity * 255))
    result = image.copy()
    # Pillow pastes a picture several times faster than a flat colour.
    foreground = Image.new("RGB", image.size, tuple(line_color))
    result.paste(foreground, (0, 0), Image.fromarray(mask.view(np.uint8) * level))
    return result


def stripe_mask(size, width, angle, density):
    """Which pixels lie on a stripe: bool (height, width), coordinates from the picture's centre.

    Published: (cos(2 pi t) + 1) / 2 > (cos(pi width) + 1) / 2, where t counts periods. That is: t lies less
    than width / 2 from a whole number; the cosine is only taken within 2^-22 of a stripe's border, where
    rounding could decide.
    """
    columns, rows = size
    radians = angle * (math.pi / 180)
    distance = (1 - density) * min(columns, rows)
    y_period, x_period = math.cos(radians) / distance, math.sin(radians) / distance
    if abs(radians) in (math.pi / 2, 3 * math.pi / 2):
        y_period = 0.0
    elif abs(radians) in (0, math.pi):
        x_period = 0.0
    x = x_period * (np.arange(columns) - columns / 2)
    y = y_period * (np.arange(rows) - rows / 2)
    # A period is 2^32, so whole periods drop out of sums by themselves; the stripe starts at 0.
    stripe = min(int(width * _PERIOD), _PERIOD - 1)
    phase = (_phase(x) + np.uint32(stripe // 2))[None, :] + _phase(y)[:, None]
    mask = phase < np.uint32(stripe)
    for border in (0, stripe):
        near = phase + np.uint32((_DOUBTFUL - border) % _PERIOD) < np.uint32(2 * _DOUBTFUL)
        if near.any():
            at_y, at_x = np.nonzero(near)
            level = (np.cos(2 * math.pi * (x[at_x] + y[at_y])) + 1) / 2
            mask[at_y, at_x] = level > (math.cos(math.pi * width) + 1) / 2
    return mask


def _phase(periods):
    """The fraction of a number of periods in units of 2^-32, uint32."""
    return ((periods - np.floor(periods)) * _PERIOD).astype(np.uint64).astype(np.uint32)
