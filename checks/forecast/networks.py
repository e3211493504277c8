"""Multiply-adds of a picture through the networks of fkd, drip and reid, counted from their shapes.

Convolutions and linear layers count, as in `operations`; normalisation, activation and the products of
attention do not.
"""

from __future__ import annotations

BLOCKS = {
    "resnet18": (False, (2, 2, 2, 2)),
    "resnet34": (False, (3, 4, 6, 3)),
    "resnet50": (True, (3, 4, 6, 3)),
    "resnet101": (True, (3, 4, 23, 3)),
    "resnet152": (True, (3, 8, 36, 3)),
}
"""Of each name: whether its blocks are bottlenecks, and how many there are in the four stages."""
WIDTH = 64
ECA_NFNET_L1_A_PIXEL = 143850
"""eca_nfnet_l1 with the 256-d neck of drip, a pixel of the picture, counted at 160 x 160."""
HIDDEN_RATIO = 4
VIT_TINY = {"width": 192, "patch": 16, "depth": 12}


def resnet(name, height, breadth, layers=None, width=None, small_stem=False, last_stride=2, classes=0):
    """Multiply-adds of one picture of `height` x `breadth` pixels through a ResNet by its name; None for a
    name that is none of BLOCKS. classes 0: no classifier."""
    if name not in BLOCKS:
        return None
    bottleneck, usual = BLOCKS[name]
    width, sides = width or WIDTH, (height, breadth)
    if not small_stem:
        sides = _halved(sides)
    counted = 3 * width * (9 if small_stem else 49) * _area(sides)
    if not small_stem:
        sides = _halved(sides)
    expansion, channels = 4 if bottleneck else 1, width
    for stage, blocks in enumerate(layers or usual):
        inner = width * 2**stage
        for block in range(blocks):
            before = sides
            if block == 0 and stage and (stage < 3 or last_stride == 2):
                sides = _halved(sides)
            counted += _block(bottleneck, channels, inner, _area(before), _area(sides))
            if block == 0 and (channels != expansion * inner or before != sides):
                counted += channels * expansion * inner * _area(sides)
            channels = expansion * inner
    return counted + channels * classes


def transformer(side, width, patch, depth, classes):
    """Multiply-adds of one square picture through a Vision Transformer, products of attention left out."""
    patches = (side // patch) ** 2
    of_token = (4 + 2 * HIDDEN_RATIO) * width**2
    return patches * 3 * patch**2 * width + (patches + 1) * depth * of_token + width * classes


def of_section(section, side):
    """Multiply-adds of a network as a section `network` or `students` of fkd names it, or None."""
    if section["name"] in ("vit_tiny", "vit"):
        values = {key: section.get(key) or VIT_TINY[key] for key in VIT_TINY}
        return transformer(side, classes=section["classes"], **values)
    return resnet(
        section["name"],
        side,
        side,
        section.get("layers"),
        section.get("width"),
        section.get("small_stem", False),
        classes=section["classes"],
    )


def of_drip(section, side):
    """Multiply-adds of the network of drip, without the classes' columns; None for a backbone that is not
    counted."""
    if section["backbone"] == "eca_nfnet_l1":
        return ECA_NFNET_L1_A_PIXEL * side**2
    if section["backbone"] == "resnet":
        width = section.get("width") or WIDTH
        body = resnet("resnet18", side, side, section.get("layers"), width)
        return body + 8 * width * section["embedding"]
    return None


def _block(bottleneck, channels, inner, before, after):
    if bottleneck:
        return channels * inner * before + 9 * inner**2 * after + 4 * inner**2 * after
    return 9 * channels * inner * after + 9 * inner**2 * after


def _halved(sides):
    return tuple(-(-side // 2) for side in sides)


def _area(sides):
    return sides[0] * sides[1]
