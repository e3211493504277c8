"""AugLy's rotate on Pillow images: turn, then keep the largest rectangle without black corners."""

from __future__ import annotations

import math


def rotate(image, degrees):
    """Turn counter-clockwise by `degrees` (nearest pixel) and cut the largest upright rectangle inside."""
    turned = image.rotate(degrees, expand=True)
    return turned.crop(inscribed_box(turned.size, image.size, degrees))


def rotated_size(size, degrees):
    """(width, height) of what `rotate` returns for a picture of `size`."""
    # The box's borders are truncated, so its width depends on the turned picture's, which Pillow knows.
    left, top, right, bottom = inscribed_box(_turned_size(size, degrees), size, degrees)
    return right - left, bottom - top


def inscribed_box(turned, size, degrees):
    """The box (left, top, right, bottom), in pixels of the turned picture of size `turned`."""
    width, height = inscribed_rectangle(size, degrees)
    x, y = turned[0] / 2, turned[1] / 2
    return int(x - width / 2), int(y - height / 2), int(x + width / 2), int(y + height / 2)


def inscribed_rectangle(size, degrees):
    """Width and height (floats) of the largest upright rectangle inside a turned one of `size`.

    Either two of its corners touch the long sides' middle (a narrow picture or a turn near 45 degrees), or
    all four touch one side each.
    """
    width, height = size
    sine, cosine = abs(math.sin(math.radians(degrees))), abs(math.cos(math.radians(degrees)))
    short, long = min(size), max(size)
    if short <= 2.0 * sine * cosine * long or abs(sine - cosine) < 1e-10:
        half = 0.5 * short
        return (half / sine, half / cosine) if width >= height else (half / cosine, half / sine)
    double = cosine * cosine - sine * sine
    return (width * cosine - height * sine) / double, (height * cosine - width * sine) / double


def _turned_size(size, degrees):
    """The size of Pillow's `rotate(degrees, expand=True)`, by its own arithmetic."""
    width, height = size
    angle = degrees % 360.0
    if angle in (0, 180):
        return size
    if angle in (90, 270):
        return height, width
    radians = -math.radians(angle)
    cosine, sine = round(math.cos(radians), 15), round(math.sin(radians), 15)
    x, y = width / 2.0, height / 2.0
    offset_x, offset_y = cosine * -x + sine * -y + x, -sine * -x + cosine * -y + y
    corners = ((0, 0), (width, 0), (width, height), (0, height))
    xs = [cosine * a + sine * b + offset_x for a, b in corners]
    ys = [-sine * a + cosine * b + offset_y for a, b in corners]
    return math.ceil(max(xs)) - math.floor(min(xs)), math.ceil(max(ys)) - math.floor(min(ys))
