"""Multiply-adds by formula, against counts by hand."""

import torch.nn as nn

from benchmarks.gpu_check import (
    throughput,
)
from benchmarks.gpu_check.multiply_adds import multiply_adds
from encore.models.resnet import ResNet


def test_multiply_adds_by_hand():
    def network():
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),  # 4 x 4 x 8 outputs of 3 x 3 x 3
            nn.BatchNorm2d(8),
            nn.Conv2d(8, 8, (1, 3), padding=(0, 1), groups=4),  # 4 x 4 x 8 outputs of 1 x 3 x 2
            nn.Flatten(),
            nn.Linear(128, 10),
        )

    assert multiply_adds(network, 8, 8) == 128 * 27 + 128 * 6 + 1280


def test_multiply_adds_of_resnet50():
    # 4.09 billion, as reported for 224 x 224: the first layer alone is 112 x 112 x 64 x 147
    assert multiply_adds(ResNet, 224, 224) == 4089184256


def test_multiply_adds_of_one_stage_by_hand():
    # sides: 8, 4 after the first layer, 2 after pooling and layer1, 1 from layer2 on
    def conv(inputs, outputs, kernel, side):
        return inputs * outputs * kernel**2 * side**2

    stages = ((4, 4, 16, 2, 2), (16, 8, 32, 2, 1), (32, 16, 64, 1, 1), (64, 32, 128, 1, 1))
    total = conv(3, 4, 7, 4)
    for inputs, width, outputs, before, after in stages:
        total += conv(inputs, width, 1, before) + conv(width, width, 3, after)
        total += conv(width, outputs, 1, after) + conv(inputs, outputs, 1, after)
    assert multiply_adds(lambda: ResNet((1, 1, 1, 1), 4, 1, None), 8, 8) == total


def test_operations_of_the_published_training_step():
    found = throughput.flops(throughput.PUBLISHED)
    backbone = multiply_adds(lambda: ResNet(last_stride=1, classes=None), 256, 256)
    heads = 2048 * 4096 + 4096 * 8192 + 8192 * 256
    assert found["extraction"] == 2 * (backbone + heads)
    assert found["training"] == 6 * (backbone + heads + (8192 + 256) * 100000)
