"""Batches of letterboxed pictures with their boxes, each addressed by (epoch, step)."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset

from encore.data.images import RejectedImage, decode_image
from encore.data.loader_processes import loader
from encore.detection.letterbox import GREY, letterboxed
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed

SYSTEM = "isc_overlays"


class TrainingFrames(Dataset):
    """Item (epoch, step) -> (frames uint8 (batch, 3, size, size), [boxes float32 (m, 4)], [labels int64
    (m,)]).

    An epoch is a permutation of the part's pictures, the incomplete batch at its end dropped; each frame is
    mirrored with probability 1/2 and shrunk by a draw, all from (seed, system, what, epoch, step, row). rows:
    the slice of each batch that this process of several makes.
    """

    def __init__(self, labelled, recipe, rows=slice(None)):
        self.labelled, self.recipe, self.rows = labelled, recipe, rows
        self.iterations = len(labelled.rows) // recipe.batch
        if self.iterations == 0:
            raise Refusal(
                "training needs one batch of {} pictures at least, found {}: lower batch or add "
                "pictures".format(recipe.batch, len(labelled.rows))
            )
        self._kept, self._room = {}, recipe.keep_bytes

    def __len__(self):
        return self.iterations

    def __getitem__(self, address):
        epoch, step = address
        frames, boxes, labels = [], [], []
        for row, picture in list(enumerate(self._chosen(epoch, step)))[self.rows]:
            seed = derive_seed(self.recipe.seed, SYSTEM, "frame", epoch, step, row)
            draws = torch.Generator().manual_seed(seed)
            pixels, found = self._augmented(*self._frame(int(picture)), draws)
            frames.append(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))))
            boxes.append(torch.from_numpy(found[:, :4].astype(np.float32)))
            labels.append(torch.from_numpy(found[:, 4].astype(np.int64)))
        return torch.stack(frames), boxes, labels

    def _chosen(self, epoch, step):
        """Numbers of the pictures of the whole batch."""
        recipe = self.recipe
        order = np.random.RandomState(derive_seed(recipe.seed, SYSTEM, "order", epoch) % 2**32)
        return order.permutation(len(self.labelled.rows))[step * recipe.batch : (step + 1) * recipe.batch]

    def pictures(self, epoch, step):
        """Names of the pictures of the whole batch, a list."""
        names, rows = self.labelled.source.names, self.labelled.rows
        return [names[rows[picture]] for picture in self._chosen(epoch, step)]

    def batches(self, epoch, first):
        """Iterate over the batches of an epoch from step `first` on."""
        addresses = [(epoch, step) for step in range(first, self.iterations)]
        return loader(self, addresses, self.recipe.workers)

    def _frame(self, picture):
        if picture not in self._kept:
            frame = framed(self.labelled, picture, self.recipe.shape.size)
            if frame[0].nbytes > self._room:
                return frame
            self._room -= frame[0].nbytes
            self._kept[picture] = frame
        return self._kept[picture]

    def _augmented(self, pixels, boxes, draws):
        mirror, zoom, x, y = torch.rand(4, generator=draws).tolist()
        size = self.recipe.shape.size
        if mirror < 0.5:
            pixels = pixels[:, ::-1]
            boxes = np.column_stack([size - boxes[:, 2], boxes[:, 1], size - boxes[:, 0], boxes[:, 3:]])
        small = int(round(size * (1 - self.recipe.zoom * zoom)))
        if small == size:
            return pixels, boxes
        left, top = int(x * (size - small + 1)), int(y * (size - small + 1))
        planes = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float()
        planes = torch.nn.functional.interpolate(planes, (small, small), mode="bilinear", align_corners=False)
        frame = np.full_like(pixels, GREY)
        shrunk = planes[0].round().byte().permute(1, 2, 0).numpy()
        frame[top : top + small, left : left + small] = shrunk
        scale = np.array([small / size] * 4 + [1.0])
        return frame, boxes * scale + np.array([left, top, left, top, 0.0])


def framed(labelled, picture, size, multiple=None):
    """Picture number `picture` of a part in its frame: (uint8 (h, w, 3), boxes (n, 5) in frame pixels)."""
    row = labelled.rows[picture]
    image = rgb(labelled.source, row)
    pixels, place = letterboxed(image, size, multiple)
    boxes = labelled.boxes[picture]
    return pixels, np.column_stack([place.to_frame(boxes[:, :4], image.size), boxes[:, 4:]])


def rgb(source, row):
    """Picture `row` of an image source as PIL RGB image; Refusal, naming it, where it cannot be read."""
    try:
        return decode_image(source.read(row)).convert("RGB")
    except (RejectedImage, ValueError) as error:
        raise Refusal(
            "picture {} cannot be read ({}): make it again or leave it out".format(source.names[row], error)
        ) from error
