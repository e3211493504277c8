"""A picture in the frame of a detector: scaled until its long side fits, padded with grey (YOLOv5's
letterbox)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GREY = 114


@dataclass(frozen=True)
class Letterbox:
    """Where a picture lies in its frame, in pixels."""

    width: int
    """Of the scaled picture."""
    height: int
    left: int
    top: int
    frame_width: int
    frame_height: int

    def to_frame(self, boxes, size):
        """Boxes float (n, 4) of a picture of `size` (width, height) in frame coordinates, float64."""
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        x, y = self.width / size[0], self.height / size[1]
        return boxes * [x, y, x, y] + [self.left, self.top, self.left, self.top]


def letterbox_of(width, height, size, multiple=32):
    """The Letterbox of a picture of width x height pixels in a frame of at most size x size.

    The picture is enlarged too where it is smaller. multiple: each side is padded only up to the next size
    that differs from `size` by a multiple of it (published inference: 32); None: to size x size (published
    training).
    """
    ratio = min(size / height, size / width)
    new_width, new_height = max(1, round(width * ratio)), max(1, round(height * ratio))
    pad_x, pad_y = size - new_width, size - new_height
    if multiple is not None:
        pad_x, pad_y = pad_x % multiple, pad_y % multiple
    # Of an odd number the smaller half goes first.
    left, top = round(pad_x / 2 - 0.1), round(pad_y / 2 - 0.1)
    return Letterbox(new_width, new_height, left, top, new_width + pad_x, new_height + pad_y)


def letterboxed(image, size, multiple=32):
    """A PIL RGB image in its frame -> (uint8 array (frame height, frame width, 3), its Letterbox).

    Bilinear between the four nearest pixels, not smoothed where it reduces, as cv2 does in the published run;
    cv2 rounds its weights to 11 bits, so that some pixels there differ by one grey level.
    """
    place = letterbox_of(image.width, image.height, size, multiple)
    frame = np.full((place.frame_height, place.frame_width, 3), GREY, dtype=np.uint8)
    rows = slice(place.top, place.top + place.height)
    frame[rows, place.left : place.left + place.width] = _scaled(image, place.width, place.height)
    return frame, place


def _scaled(image, width, height):
    pixels = np.array(image)
    if image.size == (width, height):
        return pixels
    import torch

    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    scaled = torch.nn.functional.interpolate(planes, (height, width), mode="bilinear", align_corners=False)
    return scaled[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
