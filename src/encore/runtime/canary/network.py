"""The fixed small network: convolution, BatchNorm, ReLU and pooling twice, a linear layer, cross entropy."""

from __future__ import annotations

from encore.runtime.canary.formula import uniform
from encore.runtime.canary.operations import tensor

BATCH, SIDE, CLASSES, STEPS = 16, 12, 10, 10
RATE, MOMENTUM = 0.5, 0.9
# stream of the formula, shape, scale (a power of two near the deviation that keeps activations at one)
WEIGHTS = (
    (21, (16, 3, 3, 3), 0.5),
    (22, (32, 16, 3, 3), 0.25),
    (23, (CLASSES, 32), 0.25),
)


def network(device):
    """{name: float32 tensor}: log-probabilities, gradient of the first convolution, losses of ten steps."""
    import torch

    images, labels = batch(device)
    parameters = initial(device)
    optimizer = torch.optim.SGD(parameters, lr=RATE, momentum=MOMENTUM)
    results, losses = {}, []
    for step in range(STEPS):
        output = forward(images, parameters)
        loss = torch.nn.functional.cross_entropy(output, labels)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            results["network forward"] = torch.nn.functional.log_softmax(output.detach(), dim=1)
            results["network gradient"] = parameters[0].grad.clone()
        losses.append(loss.detach())
        optimizer.step()
    results["losses of ten steps"] = torch.stack(losses)
    return results


def batch(device):
    """(images [16, 3, 12, 12], labels [16])"""
    import torch

    images = tensor(uniform(20, BATCH, 3, SIDE, SIDE), device)
    return images, torch.arange(BATCH, device=device) * 7 % CLASSES


def initial(device):
    """The parameters in the order of the forward pass; BatchNorm starts at weight one and bias zero."""
    import torch

    first, second, last = (
        tensor(uniform(stream, *shape) * scale, device).requires_grad_() for stream, shape, scale in WEIGHTS
    )
    norms = []
    for width in (first.shape[0], second.shape[0]):
        norms.append(torch.ones(width, device=device, requires_grad=True))
        norms.append(torch.zeros(width, device=device, requires_grad=True))
    bias = torch.zeros(CLASSES, device=device, requires_grad=True)
    return [first, norms[0], norms[1], second, norms[2], norms[3], last, bias]


def forward(images, parameters):
    """Logits [16, 10]."""
    import torch

    functional = torch.nn.functional
    first, weight1, bias1, second, weight2, bias2, last, bias = parameters
    maps = functional.conv2d(images, first, padding=1)
    maps = functional.relu(functional.batch_norm(maps, None, None, weight1, bias1, training=True))
    maps = functional.conv2d(functional.avg_pool2d(maps, 2), second, padding=1)
    maps = functional.relu(functional.batch_norm(maps, None, None, weight2, bias2, training=True))
    return functional.linear(maps.mean((2, 3)), last, bias)
