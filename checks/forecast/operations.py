"""Multiply-adds and parameters of the ISC 2021 network, counted from its shape, without building it.

`shape`: mapping with layers, width, hidden, embedding and matrix (null: no such head), as in params.yaml.
"""

from __future__ import annotations


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


def _convolutions(shape, side):
    """(weights, output channels, output positions) of every convolution; layer4 keeps its stride of 1."""
    width = shape["width"]
    side = _halved(side)
    yield 3 * width * 49, width, side**2
    side, channels = _halved(side), width
    for stage, blocks in enumerate(shape["layers"]):
        inner = width * 2**stage
        for block in range(blocks):
            before = side
            if block == 0 and stage in (1, 2):
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
