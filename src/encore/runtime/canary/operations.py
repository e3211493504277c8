"""Each operation on its own, large enough that the blocked kernels of the libraries are in use."""

from __future__ import annotations

from encore.runtime.canary.formula import uniform

BATCH, CHANNELS, SIDE, FILTERS = 8, 16, 16, 32
ROWS, INNER, COLUMNS = 128, 256, 64
MOMENTUM, EPSILON = 0.1, 1e-5


def operations(device):
    """{name: float32 tensor}: convolution, BatchNorm, matrix product and softmax, forward and backward."""
    results = {}
    for part in (_convolution, _batch_norm, _matrix_product, _softmax):
        results.update(part(device))
    return results


def tensor(values, device):
    """A float32 tensor on `device` with the values of a NumPy array."""
    import torch

    return torch.from_numpy(values).to(device)


def _convolution(device):
    import torch

    images = tensor(uniform(1, BATCH, CHANNELS, SIDE, SIDE), device).requires_grad_()
    weight = tensor(uniform(2, FILTERS, CHANNELS, 3, 3), device).requires_grad_()
    gradient = tensor(uniform(3, BATCH, FILTERS, SIDE, SIDE), device)
    output = torch.nn.functional.conv2d(images, weight, padding=1)
    output.backward(gradient)
    return {
        "convolution forward": output,
        "convolution backward to input": images.grad,
        "convolution backward to weight": weight.grad,
    }


def _batch_norm(device):
    """The variance is small (1/192), so that a wrong epsilon shows; the mean is about one deviation."""
    import torch

    images = tensor(uniform(4, BATCH, CHANNELS, SIDE, SIDE) / 8 + 1 / 16, device).requires_grad_()
    weight = tensor(uniform(5, CHANNELS), device).requires_grad_()
    bias = tensor(uniform(6, CHANNELS), device).requires_grad_()
    mean, variance = torch.zeros(CHANNELS, device=device), torch.zeros(CHANNELS, device=device)
    output = torch.nn.functional.batch_norm(
        images, mean, variance, weight, bias, training=True, momentum=MOMENTUM, eps=EPSILON
    )
    output.backward(tensor(uniform(7, BATCH, CHANNELS, SIDE, SIDE), device))
    return {
        "BatchNorm forward": output,
        "BatchNorm running mean": mean,
        "BatchNorm running variance": variance,
        "BatchNorm backward to input": images.grad,
        "BatchNorm backward to weight and bias": torch.cat((weight.grad, bias.grad)),
    }


def _matrix_product(device):
    import torch

    left = tensor(uniform(8, ROWS, INNER), device)
    right = tensor(uniform(9, INNER, COLUMNS), device)
    return {"matrix product": torch.matmul(left, right)}


def _softmax(device):
    import torch

    return {"softmax": torch.nn.functional.softmax(4 * tensor(uniform(10, ROWS, INNER), device), dim=1)}
