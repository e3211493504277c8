"""Images per second of Track 2's ResNet-50 in training and extraction, against the device's measured peak."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace

import torch

from benchmarks.gpu_check.arithmetic import MODES, arithmetic, missing_unit
from benchmarks.gpu_check.check import Found, NotRun
from benchmarks.gpu_check.multiply_adds import multiply_adds
from encore.data.training_transform import normalised
from encore.models.isc_network import IscNetwork, IscShape
from encore.systems.isc.extraction import network_input
from encore.systems.isc.recipe import TrainingRecipe
from encore.systems.isc.start_weights import build_network
from encore.systems.isc.training import IscTraining
from encore.training.distributed import ALONE

IMAGES_PER_CLASS = 4


@dataclass(frozen=True)
class Size:
    """What is measured: the published training step, or a tiny one that only shows that all runs."""

    recipe: TrainingRecipe = TrainingRecipe(instances=0)  # 0: no sampler, the batch is given
    classes: int = 100000
    square: int = 8192
    """Side of the matrices whose product measures the peak."""
    warm_up: int = 3
    repeats: int = 10


PUBLISHED = Size()
TINY = Size(
    replace(PUBLISHED.recipe, shape=IscShape((1, 1, 1, 1), 2, 16, 32, 8), height=32, width=32, batch=16),
    classes=16,
    square=128,
    warm_up=1,
    repeats=3,
)


class Names:
    """A training set of one picture a class, of which nothing but the names is read."""

    def __init__(self, classes):
        self.names = ["{}_0.jpg".format(i) for i in range(classes)]

    def __len__(self):
        return len(self.names)


def training_call(size, device):
    """The real training step on a batch that lies on the device, as a function without arguments."""
    recipe = size.recipe
    training = IscTraining(recipe, Names(size.classes), ALONE, device)
    training.to_device()
    images = normalised(random_pictures(recipe)).to(device)
    labels = (torch.arange(recipe.batch) // IMAGES_PER_CLASS).to(device)
    return lambda: training.step(0, 0, (images, labels))


def extraction_call(size, device):
    """Descriptors of a batch of uint8 pictures that lies on the device, as a function without arguments."""
    network = build_network(size.recipe).to(device).eval()
    network.fix_gem()
    pictures = random_pictures(size.recipe).to(device)

    def call():
        with torch.no_grad():
            return torch.nn.functional.normalize(network.descriptor(network_input(pictures)))

    return call


def random_pictures(recipe):
    draw = torch.Generator().manual_seed(recipe.seed)
    shape = (recipe.batch, 3, recipe.height, recipe.width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)


def flops(size):
    """{what: floating-point operations per image}: a multiply-add is 2; backward is twice the forward."""
    recipe = size.recipe
    forward = multiply_adds(lambda: IscNetwork(recipe.shape, size.classes), recipe.height, recipe.width)
    descriptor = multiply_adds(
        lambda: IscNetwork(recipe.shape), recipe.height, recipe.width, IscNetwork.descriptor
    )
    return {"training": 3 * 2 * forward, "extraction": 2 * descriptor}


def seconds(call, size, device):
    """Seconds of `call`, one entry a repeat, after the warm-up, each from idle device to idle device."""
    taken = []
    for _ in range(size.warm_up + size.repeats):
        synchronise(device)
        began = time.perf_counter()
        call()
        synchronise(device)
        taken.append(time.perf_counter() - began)
    return taken[size.warm_up :]


def synchronise(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak(mode, size, device):
    """Floating-point operations a second of a large matrix product in `mode`."""
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size.square, size.square, generator=draw).to(device) for _ in range(2))
    if mode.autocast:
        a, b = a.bfloat16(), b.bfloat16()
    with arithmetic(mode, device):
        return 2 * size.square**3 / statistics.median(seconds(lambda: a @ b, size, device))


def measure(device, size=PUBLISHED):
    """Found with the figures of each task and mode; not run is what the device has no unit or memory for."""
    not_run = [NotRun("throughput in " + mode.name, missing_unit(mode, device)) for mode in MODES]
    not_run = [reason for reason in not_run if reason.why]
    peaks = {mode: peak(mode, size, device) for mode in MODES if not missing_unit(mode, device)}
    per_image = flops(size)
    figures = []
    for task, make in (("training", training_call), ("extraction", extraction_call)):
        try:
            call = make(size, device)
            for mode in peaks:
                figures.append(figures_of(task, call, mode, per_image[task], peaks[mode], size, device))
        except torch.cuda.OutOfMemoryError:
            why = "the GPU's memory cannot hold a batch of {}".format(size.recipe.batch)
            not_run.append(NotRun("throughput of {}".format(task), why))
        call = None  # its memory is the next task's
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return Found(not_run=tuple(not_run), figures={"throughput": figures})


def figures_of(task, call, mode, flops_per_image, peak_flops, size, device):
    """The figures of one task in one mode, units in their names."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with arithmetic(mode, device):
        taken = seconds(call, size, device)
    rate = size.recipe.batch / statistics.median(taken)
    return {
        "task": task,
        "mode": mode.name,
        "for_claims": mode.for_claims,
        "batch": size.recipe.batch,
        "classes": size.classes if task == "training" else None,
        "replicas": size.recipe.replicas if task == "training" else 1,
        "pixels": size.recipe.height,
        "images_per_second": rate,
        "images_per_second_lowest": size.recipe.batch / max(taken),
        "images_per_second_highest": size.recipe.batch / min(taken),
        "repeats": len(taken),
        "gflop_per_image": flops_per_image / 1e9,
        "tflop_per_second": rate * flops_per_image / 1e12,
        "peak_tflop_per_second": peak_flops / 1e12,
        "share_of_peak": rate * flops_per_image / peak_flops,
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }
