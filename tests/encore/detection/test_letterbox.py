import numpy as np
import pytest
from PIL import Image

from encore.detection.letterbox import GREY, letterbox_of, letterboxed


def frame_of(width, height, size, multiple=32):
    place = letterbox_of(width, height, size, multiple)
    return place.width, place.height, place.left, place.top, place.frame_width, place.frame_height


def test_hand_worked_places():
    # 500x333 at 640: r = 1.28, 640 x 426.24 -> 426; 214 pixels short, 214 mod 32 = 22, half of it on top.
    assert frame_of(500, 333, 640) == (640, 426, 0, 11, 640, 448)
    # 333x500 is the same on its side.
    assert frame_of(333, 500, 640) == (426, 640, 11, 0, 448, 640)
    assert frame_of(640, 640, 640) == (640, 640, 0, 0, 640, 640)
    # 1024x301: r = 0.625, 188.125 -> 188; 452 mod 32 = 4.
    assert frame_of(1024, 301, 640) == (640, 188, 0, 2, 640, 192)
    # A small picture is enlarged: 77x61, r = 8.3117, 507.01 -> 507; 133 mod 32 = 5: round(2.4) first, 3 last.
    assert frame_of(77, 61, 640) == (640, 507, 0, 2, 640, 512)
    # A whole frame for training: 96 - 64 = 32 pixels, 16 on each side.
    assert frame_of(96, 64, 96, None) == (96, 64, 0, 16, 96, 96)


def test_a_line_of_pixels_keeps_one_row():
    assert frame_of(2000, 1, 640) == (640, 1, 0, 15, 640, 32)


def test_every_side_is_a_multiple_and_the_picture_lies_inside():
    draws = np.random.RandomState(0)
    for width, height in draws.randint(1, 900, (300, 2)):
        place = letterbox_of(int(width), int(height), 640)
        assert place.frame_width % 32 == place.frame_height % 32 == 0
        assert max(place.frame_width, place.frame_height) == 640
        below = place.frame_height - place.top - place.height
        right = place.frame_width - place.left - place.width
        assert 0 <= below - place.top <= 1 and 0 <= right - place.left <= 1


def test_the_padding_is_grey_and_a_fitting_picture_keeps_its_pixels():
    pixels = np.random.RandomState(1).randint(0, 256, (60, 96, 3)).astype(np.uint8)
    frame, place = letterboxed(Image.fromarray(pixels), 96)
    assert frame.shape == (64, 96, 3) and place.top == 2
    assert (frame[2:62] == pixels).all()
    assert (frame[:2] == GREY).all() and (frame[62:] == GREY).all()


def literal_bilinear(pixels, width, height):
    """Value by value between the four nearest pixels, centres on centres, clamped at the border."""
    source_h, source_w = pixels.shape
    result = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            v = min(max((y + 0.5) * source_h / height - 0.5, 0), source_h - 1)
            u = min(max((x + 0.5) * source_w / width - 0.5, 0), source_w - 1)
            top, left = int(v), int(u)
            down, right = min(top + 1, source_h - 1), min(left + 1, source_w - 1)
            a, b = v - top, u - left
            result[y, x] = (1 - a) * ((1 - b) * pixels[top, left] + b * pixels[top, right]) + a * (
                (1 - b) * pixels[down, left] + b * pixels[down, right]
            )
    return result


@pytest.mark.parametrize("size", [(13, 9), (50, 70)])
def test_scaling_is_bilinear_without_smoothing(size):
    pixels = np.random.RandomState(2).randint(0, 256, size[::-1]).astype(np.uint8)
    frame, place = letterboxed(Image.fromarray(pixels).convert("RGB"), 32)
    inside = frame[place.top : place.top + place.height, place.left : place.left + place.width]
    expected = literal_bilinear(pixels.astype(float), place.width, place.height)
    assert np.abs(inside[..., 0] - expected).max() <= 0.501
    assert (inside[..., 0] == inside[..., 2]).all()


def test_boxes_follow_the_picture():
    place = letterbox_of(500, 333, 640)
    boxes = place.to_frame([[0, 0, 500, 333], [250, 0, 500, 333]], (500, 333))
    assert np.allclose(boxes, [[0, 11, 640, 437], [320, 11, 640, 437]])
    assert place.to_frame(np.zeros((0, 4)), (500, 333)).shape == (0, 4)
