"""How fast relabelled batches reach a training step, and in how much memory, against the published way.

PICTURES synthetic JPEG files of 224 pixels, labels of 1000 classes in float16 in the published layout,
batches of 1024, 2 loader processes. Published: PyTorch's batch fetcher is replaced, each picture becomes a
float32 tensor of its own, processes hand over collated float32 batches and are started again for every epoch.
Both sides read the same files and end in the same float32 batches. `python -m benchmarks.distilled_loading
[pictures]` prints JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, RandomSampler, _utils

from encore.data.class_folders import ClassFolders
from encore.data.images import decode_image
from encore.data.training_transform import IMAGENET_MEAN, IMAGENET_STD
from encore.systems.fkd.batch_order import BatchOrder
from encore.systems.fkd.crops import draw_crop, draw_flip, stored
from encore.systems.fkd.distilled_batches import DistilledBatches, mixed_inputs
from encore.systems.fkd.label_batch import LabelBatch
from encore.systems.fkd.labels import open_labels
from encore.systems.fkd.mixing import draw_mix
from encore.systems.fkd.published_labels import write_batch

PICTURES, CLASS_FOLDERS, CLASSES, SIZE, BATCH, EPOCHS, WORKERS = 6144, 16, 1000, 224, 1024, 3, 2
CHUNKS = 4
"""Pieces in which a training step takes a batch (gradient accumulation on a 24 GB card)."""
SAMPLE_SECONDS = 0.1
ONE_SIDE = """
import json, sys
from benchmarks import distilled_loading
print(json.dumps(distilled_loading.measure(*sys.argv[1:])))
"""


def write_set(folder, pictures, batch):
    """Write `pictures` JPEG files into folder/pictures, and labels of EPOCHS epochs into folder/labels."""
    random = np.random.RandomState(0)
    waves = random.randint(0, 256, (64, 9, 9, 3), dtype=np.uint8)
    noise = random.normal(0, 20, (8, SIZE, SIZE, 3))
    for number in range(pictures):
        smooth = Image.fromarray(waves[number % 64]).resize((SIZE, SIZE), Image.BILINEAR)
        pixels = np.asarray(smooth) + np.roll(noise[number % 8], random.randint(SIZE), axis=0)
        place = os.path.join(folder, "pictures", "new%03d" % (number % CLASS_FOLDERS))
        os.makedirs(place, exist_ok=True)
        name = "class%03d_id%03d.jpg" % (number % CLASS_FOLDERS, number // CLASS_FOLDERS)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(os.path.join(place, name))
    order, generator = BatchOrder(pictures, batch), torch.Generator().manual_seed(0)
    for epoch in range(EPOCHS):
        for number in range(order.batches):
            rows = len(order.indices(epoch, number))
            boxes = [draw_crop(SIZE, SIZE, (0.08, 1.0), generator) for _ in range(rows)]
            coords = torch.from_numpy(np.stack([stored(box, SIZE, SIZE) for box in boxes]))
            flips = torch.tensor([draw_flip(generator) for _ in range(rows)])
            mix = draw_mix("cutmix", rows, SIZE, 1.0, 0, epoch, number)
            logits = torch.randn(rows, CLASSES, generator=generator).half()
            write_batch(
                os.path.join(folder, "labels"), epoch, number, LabelBatch(None, coords, flips, mix, logits)
            )


class PublishedDataset(Dataset):
    """The published training set in its loading mode, as the specification describes it."""

    mode = "fkd_load"

    def __init__(self, folder, batch):
        images = ClassFolders(os.path.join(folder, "pictures"))
        self.paths = [os.path.join(images.spec, name) for name in images.names]
        self.targets = images.labels.tolist()
        self.labels, self.epoch, self.config, self.cursor = os.path.join(folder, "labels"), 0, None, 0
        sampler = RandomSampler(self.paths, generator=torch.Generator().manual_seed(42))
        self.numbers = [
            {index: place // batch for place, index in enumerate(sampler) if place % batch == 0}
            for _ in range(EPOCHS)
        ]

    def load_batch_config(self, first):
        path = "epoch_%d/batch_%d.tar" % (self.epoch, self.numbers[self.epoch][first])
        coords, flips, order, share, box, logits = torch.load(os.path.join(self.labels, path))
        self.config, self.cursor = (coords, flips), 0
        return order, share, box, logits

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        coords, flip = self.config[0][self.cursor], self.config[1][self.cursor]
        self.cursor += 1
        with open(self.paths[index], "rb") as file:
            image = Image.open(file).convert("RGB")
        top, height = coords[0].item() * image.height, coords[2].item() * image.height
        left, width = coords[1].item() * image.width, coords[3].item() * image.width
        image = image.crop((left, top, left + width, top + height)).resize((SIZE, SIZE), Image.BILINEAR)
        if flip:
            image = image.transpose(Image.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image, np.uint8)).permute(2, 0, 1).contiguous()
        pixels = pixels.to(torch.float32).div(255)
        mean = torch.as_tensor(IMAGENET_MEAN).view(-1, 1, 1)
        deviation = torch.as_tensor(IMAGENET_STD).view(-1, 1, 1)
        pixels = pixels.clone().sub_(mean).div_(deviation)
        return pixels, self.targets[index], flip, coords


_FETCHER = _utils.fetch._MapDatasetFetcher
_fetch_as_it_was = _FETCHER.fetch


def _fetch(self, indices):
    if getattr(self.dataset, "mode", None) != "fkd_load":
        return _fetch_as_it_was(self, indices)
    config = self.dataset.load_batch_config(indices[0])
    return (self.collate_fn([self.dataset[index] for index in indices]),) + config


def _replace_fetcher(worker=None):
    _FETCHER.fetch = _fetch


def published_batches(folder, batch, workers, start_method):
    """Unmixed float32 batches with how they are mixed: ((pixels, …), order, share, box, logits)."""
    _replace_fetcher()
    dataset = PublishedDataset(folder, batch)
    sampler = RandomSampler(dataset, generator=torch.Generator().manual_seed(42))
    loader = DataLoader(
        dataset,
        batch,
        sampler=sampler,
        num_workers=workers,
        worker_init_fn=_replace_fetcher,
        multiprocessing_context=start_method if workers else None,
    )
    for epoch in range(EPOCHS):
        dataset.epoch = epoch
        yield from loader


def published_inputs(delivered):
    """Mix a batch as the published training step does (CutMix), on this device."""
    pixels, order, box = delivered[0][0], delivered[1], delivered[3]
    pixels[:, :, box[0] : box[2], box[1] : box[3]] = pixels[order, :, box[0] : box[2], box[1] : box[3]]
    return pixels


def encore_batches(folder, workers, start_method):
    """DistilledBatch after DistilledBatch of all epochs."""
    images = ClassFolders(os.path.join(folder, "pictures"))
    batches = DistilledBatches(images, open_labels(os.path.join(folder, "labels")), SIZE)
    for epoch in range(EPOCHS):
        yield from batches.loader(epoch, 0, workers, True, start_method)


def encore_inputs(batch):
    """Normalise and mix a batch, a piece at a time."""
    rows = -(-len(batch.pixels) // CHUNKS)
    for start in range(0, len(batch.pixels), rows):
        yield mixed_inputs(batch.pixels, batch.mix, rows=slice(start, start + rows))


def measure(folder, side, start_method, batch, mix):
    """{first_batch_seconds, images, seconds} of one side, run in this process: the time to the first batch,
    and the second of three epochs, as any epoch of a long run is.

    mix "yes": this process also makes the float32 inputs, as training on the CPU does; else it takes what is
    handed over, which leaves the rest to a GPU.
    """
    began, ends = time.perf_counter(), []
    if side == "published":
        batches = published_batches(folder, int(batch), WORKERS, start_method)
    else:
        batches = encore_batches(folder, WORKERS, start_method)
    per_epoch = -(-len(ClassFolders(os.path.join(folder, "pictures"))) // int(batch))
    images = 0
    for number, delivered in zip(range(2 * per_epoch), batches):
        if mix == "yes" and side == "published":
            published_inputs(delivered)
        elif mix == "yes":
            for _ in encore_inputs(delivered):
                pass
        ends.append(time.perf_counter() - began)
        images += (len(delivered[0][0]) if side == "published" else len(delivered.pixels)) * (
            number >= per_epoch
        )
    seconds = ends[-1] - ends[per_epoch - 1]
    return {"images": images, "seconds": seconds, "first_batch_seconds": ends[0]}


def measured(*arguments):
    """What `measure` returns, run in a process of its own, and the most memory (proportional set size, bytes)
    that it and its loader processes held."""
    process = subprocess.Popen(
        [sys.executable, "-c", ONE_SIDE] + [str(argument) for argument in arguments], stdout=subprocess.PIPE
    )
    peak, ended = [0], threading.Event()

    def watch():
        while not ended.wait(SAMPLE_SECONDS):
            peak[0] = max(peak[0], sum(map(_memory, _family(process.pid))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output = process.communicate()[0]
    ended.set()
    watcher.join()
    if process.returncode:
        raise RuntimeError("%s ended with status %d" % (arguments[1:], process.returncode))
    return dict(json.loads(output.decode("utf-8")), peak_memory_bytes=peak[0])


def _family(process):
    """The numbers of a process and of all that it started."""
    with contextlib.suppress(OSError):
        with open("/proc/%d/task/%d/children" % (process, process)) as file:
            return [process] + [each for child in file.read().split() for each in _family(int(child))]
    return []


def _memory(process):
    with contextlib.suppress(OSError):
        with open("/proc/%d/smaps_rollup" % process) as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    return 0


def differing_values(folder, batch):
    """How many values of the first float32 batch differ between the two sides."""
    expected = published_inputs(next(published_batches(folder, batch, 0, None)))
    made = next(encore_batches(folder, 0, "fork"))
    return int((torch.cat(list(encore_inputs(made))) != expected).sum())


def least_seconds(folder):
    """Seconds a picture takes one core to be decoded and resized, and nothing else: what no loader that uses
    Pillow gets below."""
    images = ClassFolders(os.path.join(folder, "pictures"))
    files = [images.read(i) for i in range(min(len(images), 256))]
    generator = torch.Generator().manual_seed(0)
    boxes = [draw_crop(SIZE, SIZE, (0.08, 1.0), generator) for _ in files]
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        for data, (top, left, height, width) in zip(files, boxes):
            image = decode_image(data).crop((left, top, left + width, top + height))
            image.resize((SIZE, SIZE), Image.BILINEAR)
        best = min(best, time.perf_counter() - began)
    return best / len(files)


def run(pictures=PICTURES):
    """Flat dict: images per second, seconds to the first batch and peak memory of both sides for each way of
    starting processes; what bounds them; ratios to the published way."""
    batch = min(BATCH, max(1, pictures // 6))
    values = {"pictures": pictures, "batch": batch, "epochs": EPOCHS, "workers": WORKERS}
    with tempfile.TemporaryDirectory() as folder:
        write_set(folder, pictures, batch)
        for side in ("encore", "published"):
            for start_method in ("fork", "spawn"):
                for mix in ("yes", "no"):
                    found = measured(folder, side, start_method, batch, mix)
                    name = "%s_%s%s" % (side, start_method, "_mixed" if mix == "yes" else "")
                    values["images_per_second_" + name] = found["images"] / found["seconds"]
                    values["first_batch_seconds_" + name] = found["first_batch_seconds"]
                    values["peak_memory_bytes_" + name] = found["peak_memory_bytes"]
        values["differing_values"] = differing_values(folder, batch)
        values["bound_images_per_second_a_core"] = 1 / least_seconds(folder)
    for what in ("", "_mixed"):
        for start_method in ("fork", "spawn"):
            ours, theirs = (
                values["images_per_second_%s_%s%s" % (side, start_method, what)]
                for side in ("encore", "published")
            )
            values["ratio_%s%s" % (start_method, what)] = ours / theirs
    values["spawn_over_fork"] = (
        values["images_per_second_encore_spawn"] / values["images_per_second_encore_fork"]
    )
    values["memory_ratio"] = (
        values["peak_memory_bytes_encore_spawn_mixed"] / values["peak_memory_bytes_published_fork_mixed"]
    )
    return values


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:2])), indent=1, sort_keys=True))
