"""ResNet with basic or bottleneck blocks, with torchvision's names, module order and initial weights."""

import torch.nn as nn

from encore.models.instance_batch_norm import InstanceBatchNorm

RESNET18_LAYERS = (2, 2, 2, 2)
"""With BasicBlock, as RESNET34_LAYERS; those from 50 on with Bottleneck."""
RESNET34_LAYERS = (3, 4, 6, 3)
RESNET50_LAYERS = (3, 4, 6, 3)
RESNET101_LAYERS = (3, 4, 23, 3)
RESNET152_LAYERS = (3, 8, 36, 3)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, the first of which carries the stride, around a shortcut (He et al. 2016,
    section 4.1).

    norm: channels -> a normalisation. ibn: whether the first one is half an instance norm.
    """

    expansion = 1

    def __init__(self, channels_in, channels, stride=1, downsample=None, norm=nn.BatchNorm2d, ibn=False):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = InstanceBatchNorm(channels, norm) if ibn else norm(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = norm(channels)
        self.downsample = downsample

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x += shortcut
        return self.relu(x)


class Bottleneck(nn.Module):
    """1x1, 3x3 (carries the stride) and 1x1 convolution around a shortcut (He et al. 2016, section 4.1).

    norm: channels -> a normalisation. ibn: whether the first one is half an instance norm.
    """

    expansion = 4

    def __init__(self, channels_in, channels, stride=1, downsample=None, norm=nn.BatchNorm2d, ibn=False):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = InstanceBatchNorm(channels, norm) if ibn else norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = norm(channels)
        self.conv3 = nn.Conv2d(channels, channels * self.expansion, 1, bias=False)
        self.bn3 = norm(channels * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        x += shortcut
        return self.relu(x)


def _stage(block, channels_in, channels, blocks, stride, norm, ibn=False):
    channels_out = channels * block.expansion
    downsample = None
    if stride != 1 or channels_in != channels_out:
        downsample = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False), norm(channels_out)
        )
    first = block(channels_in, channels, stride, downsample, norm, ibn)
    others = [block(channels_out, channels, norm=norm, ibn=ibn) for _ in range(blocks - 1)]
    return nn.Sequential(first, *others)


class ResNet(nn.Module):
    """Images float (n, 3, h, w) -> logits (n, classes), or pooled features (n, `features`) where `classes` is
    None; `features` is 8 * width * block.expansion.

    layers: blocks of the four stages. width: channels after the first convolution (64 as published), so that
    a narrow network is a value. last_stride: stride of the first block of layer4 (2; the ISC 2021 recipe uses
    1). ibn: IBN-a, that is, the first normalisation of each block of layer1 to layer3 is an
    InstanceBatchNorm. norm: channels -> the normalisation everywhere else. block: Bottleneck, or BasicBlock
    for ResNet-18 and -34. small_stem: the first convolution is 3x3 with stride 1 and there is no max-pool,
    for pictures of 32 or 64 pixels; it is drawn last, with nn.Conv2d's own initial weights, as where it
    replaces that of a torchvision network.
    """

    def __init__(
        self,
        layers=RESNET50_LAYERS,
        width=64,
        last_stride=2,
        classes=1000,
        ibn=False,
        norm=nn.BatchNorm2d,
        block=Bottleneck,
        small_stem=False,
    ):
        super().__init__()
        expansion = block.expansion
        self.features = 8 * width * expansion
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(block, width, width, layers[0], 1, norm, ibn)
        self.layer2 = _stage(block, width * expansion, 2 * width, layers[1], 2, norm, ibn)
        self.layer3 = _stage(block, 2 * width * expansion, 4 * width, layers[2], 2, norm, ibn)
        self.layer4 = _stage(block, 4 * width * expansion, 8 * width, layers[3], last_stride, norm)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = None if classes is None else nn.Linear(self.features, classes)
        self._initialise()
        if small_stem:
            self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
            self.maxpool = nn.Identity()

    def _initialise(self):
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = self.avgpool(x).flatten(1)
        return x if self.fc is None else self.fc(x)
