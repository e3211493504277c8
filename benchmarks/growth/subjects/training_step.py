"""A step of Track 2's training on the CPU, one thread, by the multiply-adds of its forward pass.

The networks are bottleneck ResNets of growing width, depth and picture, so that a step grows by decades;
batch and classes stay. What a GPU does, `make gpu-check` measures.
"""

from __future__ import annotations

OF = "multiply-adds of a forward pass"
NETWORKS = {
    # multiply-adds of a batch of 16 (counted by checks.forecast.operations): (layers, width, side)
    (1, 1, 1, 1): ((4, 16), (4, 32), (8, 32), (8, 64), (16, 64), (16, 128), (32, 128), (64, 128)),
    (3, 4, 6, 3): ((64, 128),),
}
BATCH, CLASSES, REPLICAS = 16, 200, 1
OUTPUT, PER_OBJECT = False, None


def shapes():
    """{multiply-adds of the forward pass of a batch: (section `network` of params.yaml, side)}."""
    from checks.forecast.operations import multiply_adds

    found = {}
    for layers, sizes in NETWORKS.items():
        for width, side in sizes:
            shape = dict(layers=list(layers), width=width, hidden=32 * width, embedding=64 * width, matrix=64)
            found[BATCH * multiply_adds(shape, side, CLASSES)] = shape, side
    return found


SIZES = tuple(sorted(shapes()))
SHORT = SIZES[:3]


def size_of(n):
    """The Size, as `make gpu-check` measures it, of the network whose forward pass has n multiply-adds."""
    from dataclasses import replace

    import torch

    from benchmarks.gpu_check.throughput import PUBLISHED
    from encore.models.isc_network import IscShape

    torch.set_num_threads(1)
    shape, side = shapes()[n]
    built = IscShape(**dict(shape, layers=tuple(shape["layers"])))
    recipe = replace(PUBLISHED.recipe, shape=built, height=side, width=side, batch=BATCH, replicas=REPLICAS)
    return replace(PUBLISHED, recipe=recipe, classes=CLASSES)


def ready(folder, n):
    import torch

    from benchmarks.gpu_check.throughput import training_call

    return training_call(size_of(n), torch.device("cpu"))
