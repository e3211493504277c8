"""Multiply-adds and parameters of the ISC 2021 network and of the overlay detector, counted from their
shapes, without building them.

`shape`: mapping with layers, width, hidden, embedding and matrix (null: no such head), as in params.yaml; of
the detector one with layers, width, channels, anchors and size.
"""

from __future__ import annotations

LAST_STRIDE = 1
"""Of layer4 in the ISC 2021 network; the detector's has the usual 2."""
DETECTOR_LAST_STRIDE = 2
DETECTED_CLASSES = 2
ANCHORS_A_PLACE = 9
TOWER = 4
"""Convolutions of each of the detector's two heads before their last one."""


def multiply_adds(shape, side, classes=0):
    """Multiply-adds of one picture of `side` x `side` pixels, forward; `classes` 0: a descriptor."""
    convolved = sum(weights * positions for weights, _, positions in _convolutions(shape, side))
    return (
        convolved + sum(inputs * outputs for inputs, outputs in _linear(shape)) + classes * _classified(shape)
    )


def parameters(shape, classes=0):
    """Parameters with those of every BatchNorm (the IBN-a variant has as many); no running statistics."""
    convolved = sum(weights + 2 * outputs for weights, outputs, _ in _convolutions(shape, 1))
    linear = sum(inputs * outputs + outputs for inputs, outputs in _linear(shape))
    norms = 2 * (shape["hidden"] + shape["embedding"])
    if shape.get("matrix"):
        norms += 2 * (shape["embedding"] + shape["matrix"])
    return convolved + 1 + linear + norms + classes * _classified(shape)


def detector_multiply_adds(shape):
    """Multiply-adds of one square frame through the detector: backbone, feature pyramid and heads."""
    convolved = _convolutions(shape, shape["size"], DETECTOR_LAST_STRIDE)
    return sum(weights * positions for weights, _, positions in convolved) + sum(
        weights * positions for weights, _, positions in _pyramid(shape)
    )


def detector_parameters(shape):
    """Parameters of the overlay detector; no running statistics."""
    convolved = _convolutions(shape, shape["size"], DETECTOR_LAST_STRIDE)
    backbone = sum(weights + 2 * outputs for weights, outputs, _ in convolved)
    return backbone + sum(weights + outputs for weights, outputs, _ in _pyramid(shape))


def _pyramid(shape):
    """(weights, output channels, output positions) of the convolutions of feature pyramid and heads; those of
    the heads once, with the positions of all levels together."""
    width, channels = 4 * shape["width"], shape["channels"]
    sides = _level_sides(shape)
    for stage, side in zip((1, 2, 3), sides):
        yield width * 2**stage * channels, channels, side**2
        yield 9 * channels**2, channels, side**2
    for side in sides[3:]:
        yield 9 * channels**2, channels, side**2
    places = sum(side**2 for side in sides)
    for outputs in (DETECTED_CLASSES * ANCHORS_A_PLACE, 4 * ANCHORS_A_PLACE):
        for _ in range(TOWER):
            yield 9 * channels**2, channels, places
        yield 9 * channels * outputs, outputs, places


def _level_sides(shape):
    """Sides of the maps, from stride 8 on, each half of the one before."""
    side, sides = _halved(_halved(shape["size"])), []
    for _ in shape["anchors"]:
        side = _halved(side)
        sides.append(side)
    return sides


def _convolutions(shape, side, last_stride=LAST_STRIDE):
    """(weights, output channels, output positions) of every convolution of the backbone."""
    width = shape["width"]
    side = _halved(side)
    yield 3 * width * 49, width, side**2
    side, channels = _halved(side), width
    for stage, blocks in enumerate(shape["layers"]):
        inner = width * 2**stage
        for block in range(blocks):
            before = side
            if block == 0 and (stage in (1, 2) or stage == 3 and last_stride == 2):
                side = _halved(side)
            yield channels * inner, inner, before**2
            yield 9 * inner * inner, inner, side**2
            yield 4 * inner * inner, 4 * inner, side**2
            if block == 0:
                yield 4 * channels * inner, 4 * inner, side**2
            channels = 4 * inner


def _linear(shape):
    yield 32 * shape["width"], shape["hidden"]
    yield shape["hidden"], shape["embedding"]
    if shape.get("matrix"):
        yield shape["embedding"], shape["matrix"]


def _classified(shape):
    return shape["embedding"] + (shape.get("matrix") or 0)


def _halved(side):
    return -(-side // 2)
