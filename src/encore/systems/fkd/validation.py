"""Top-1, top-5 and cross entropy of a network on class folders."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import Dataset

from encore.data.augment.resample import resize
from encore.data.images import RejectedImage, decode_image
from encore.data.loader_processes import loader
from encore.data.training_transform import IMAGENET_MEAN, IMAGENET_STD, normalised
from encore.metrics.evidence.classified_pictures import ClassifiedPictures
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.runtime.refusal import Refusal
from encore.systems.fkd.top_k import largest

ANSWERS = "validation.npz"
"""File in the folder of a run: the evidence of its last validation."""


class Answers:
    """The classes that a network finds, taken batch by batch."""

    def __init__(self):
        self._batches = []

    def add(self, targets, first, five):
        """targets int64 (n,); first (n, 1), five (n, k): classes of the largest logits."""
        self._batches.append([places.cpu().numpy() for places in (targets, first[:, 0], five)])

    def evidence(self):
        """The ClassifiedPictures of all batches, as a file."""
        return EvidenceFile(ClassifiedPictures(*map(np.concatenate, zip(*self._batches))))


def resized(image, shorter):
    """PIL image with its shorter side resized to `shorter` pixels, bilinear, the longer one cut to a whole
    number (torchvision's Resize); None: as it is."""
    width, height = image.size
    if shorter is None or min(width, height) == shorter:
        return image
    if width <= height:
        size = (shorter, int(shorter * height / width))
    else:
        size = (int(shorter * width / height), shorter)
    return resize(image, size, Image.BILINEAR)


def centre_crop(image, side):
    """The middle `side` x `side` pixels of a PIL image, black where it is smaller (torchvision's
    CenterCrop)."""
    left, top = (_offset(length, side) for length in image.size)
    return image.crop((left, top, left + side, top + side))


def _offset(length, side):
    return -((side - length) // 2) if side > length else int(round((length - side) / 2.0))


class ValidationBatches(Dataset):
    """Item: numbers of pictures -> (uint8 (n, 3, size, size), int64 targets (n,)), or the text of a Refusal,
    which a loader process would wrap in its traceback.

    images: ClassFolders. resize: pixels of the shorter side before the centre crop; None: not resized.
    """

    def __init__(self, images, size, resize):
        self.images, self.size, self.resize = images, size, resize

    def __getitem__(self, rows):
        try:
            pixels = np.stack([self._pixels(int(row)) for row in rows])
        except Refusal as refusal:
            return str(refusal)
        return torch.from_numpy(pixels), torch.as_tensor(self.images.labels)[rows].to(torch.int64)

    def _pixels(self, row):
        try:
            image = decode_image(self.images.read(row)).convert("RGB")
        except RejectedImage as rejected:
            raise Refusal(
                "validation picture %s cannot be read (%s): replace it or leave it out"
                % (self.images.name(row), rejected.reason)
            ) from rejected
        return np.asarray(centre_crop(resized(image, self.resize), self.size)).transpose(2, 0, 1)


def evaluate(
    network,
    images,
    size=224,
    resize=256,
    batch=256,
    workers=0,
    device="cpu",
    mean=IMAGENET_MEAN,
    deviation=IMAGENET_STD,
    limit=None,
    answers=None,
):
    """{top1, top5 (percent), loss (mean cross entropy)} of `network` on `images` (ClassFolders), as floats.

    Pictures are resized to `resize` (shorter side; None: not) and cropped to `size` in the middle, then
    normalised by channel; published: 256 and 224, a quarter of the training batch. limit: at most so many
    pictures, spread evenly over the sorted list. answers: Answers, which gets what is found. The network
    evaluates with its running statistics, and is left in the mode in which it came; no random numbers are
    drawn. Raises Refusal for an unreadable picture
    and for classes that the network does not have.
    """
    rows = spread(len(images), limit)
    batches = [rows[first : first + batch] for first in range(0, len(rows), batch)]
    prepared_batches = loader(
        ValidationBatches(images, size, resize),
        batches,
        workers,
        generator=torch.Generator(),  # its own, since a loader draws a seed for its workers
    )
    training = network.training
    network.eval()
    totals = np.zeros(3)
    try:
        with torch.no_grad():
            for made in prepared_batches:
                if isinstance(made, str):
                    raise Refusal(made)
                prepared = normalised(made[0].to(device), mean, deviation)
                totals += _scores(network(prepared), made[1].to(device), answers)
    finally:
        network.train(training)
    top1, top5, loss = (float(total) / len(rows) for total in totals)
    return {"top1": 100.0 * top1, "top5": 100.0 * top5, "loss": loss}


def check_classes(images, classes, training=None):
    """Refuse the validation pictures `images` (ClassFolders) for a network of `classes` outputs, or where
    they share some of their class names, but not all, with the pictures `training`."""
    if len(images.classes) != classes:
        raise Refusal(
            "%s: %d class folders of validation pictures, expected %d as the network and its labels: give a "
            "folder of the same classes" % (images.spec, len(images.classes), classes)
        )
    if training is not None and len(training.classes) == classes and not may_share_classes(images, training):
        raise Refusal(
            "%s: validation pictures of other classes than %s, for one %s: give folders of the same classes"
            % (images.spec, training.spec, min(set(images.classes) ^ set(training.classes)))
        )


def may_share_classes(images, others):
    """Whether two ClassFolders may be of the same classes in the same order: as many, of the same names or of
    none in common (distilled pictures have new000 and so on)."""
    names, other_names = set(images.classes), set(others.classes)
    return len(names) == len(other_names) and (names == other_names or not names & other_names)


def _scores(logits, targets, answers):
    if int(targets.max()) >= logits.shape[1]:
        raise Refusal(
            "the validation folder has %d classes or more, the network %d: give a folder of the same classes"
            % (int(targets.max()) + 1, logits.shape[1])
        )
    loss = F.cross_entropy(logits.float(), targets)
    found = [largest(logits, k) for k in (1, 5)]
    if answers is not None:
        answers.add(targets, *found)
    hits = [int((places == targets.view(-1, 1)).sum()) for places in found]
    return np.array(hits + [loss.item() * len(targets)])


def spread(count, limit=None):
    """At most `limit` of the numbers below `count`, in order and evenly spaced: int64 tensor."""
    if limit is None or limit >= count:
        return torch.arange(count)
    return torch.from_numpy(np.arange(limit, dtype=np.int64) * count // limit)
