"""BatchNorm over processes, which are threads here, beside torch's own on the whole batch."""

import copy
import threading

import pytest
import torch
from torch import nn

from encore.training.distributed import ALONE, tree_sum
from encore.training.whole_batch_norm import WholeBatchNorm, over_whole_batch


class Together:
    """What the threads of one run share."""

    def __init__(self, count):
        self.count, self.parts, self.barrier = count, [None] * count, threading.Barrier(count, timeout=20)


class Threads:
    """Stands for Processes: `sum` over threads."""

    def __init__(self, rank, together):
        self.rank, self.count, self._together = rank, together.count, together

    def sum(self, tensor):
        self._together.parts[self.rank] = tensor.detach().clone()
        self._together.barrier.wait()
        summed = tree_sum(self._together.parts)
        self._together.barrier.wait()
        return summed


def network():
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, momentum=0.3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5)
    )
    made = nn.Sequential(made, nn.BatchNorm1d(5, momentum=None))
    with torch.no_grad():
        made[0][1].weight.uniform_(0.5, 2)
        made[0][1].bias.uniform_(-1, 1)
    return made.double().train()


def shared(whole, batch, weights, cuts):
    """The networks of the threads after a forward and a backward pass over their rows of `batch`, and their
    outputs; the loss is the sum of outputs times `weights`."""
    together, found = Together(len(cuts)), {}

    def work(rank):
        own = over_whole_batch(copy.deepcopy(whole), Threads(rank, together))
        out = own(batch[cuts[rank]])
        (out * weights[cuts[rank]]).sum().backward()
        found[rank] = own, out.detach()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(len(cuts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[rank][0] for rank in range(len(cuts))], torch.cat([found[r][1] for r in range(len(cuts))])


@pytest.mark.parametrize("cuts", [[slice(0, 4), slice(4, 8)], [slice(0, 1), slice(1, 6), slice(6, 8)]])
def test_outputs_gradients_and_statistics_are_those_of_the_whole_batch(cuts):
    whole = network()
    batch, weights = torch.randn(8, 3, 6, 6).double(), torch.randn(8, 5).double()
    parts, out = shared(whole, batch, weights, cuts)
    expected = whole(batch)
    (expected * weights).sum().backward()
    assert torch.allclose(out, expected, rtol=1e-11, atol=1e-12)
    assert sum(isinstance(module, WholeBatchNorm) for module in parts[0].modules()) == 2
    assert list(parts[0].state_dict()) == list(whole.state_dict())
    for name, parameter in whole.named_parameters():
        summed = tree_sum([dict(part.named_parameters())[name].grad for part in parts])
        assert torch.allclose(summed, parameter.grad, rtol=1e-9, atol=1e-10), name
    for part in parts:
        own = dict(part.named_buffers())
        for name, buffer in whole.named_buffers():
            assert torch.allclose(own[name].double(), buffer.double(), rtol=1e-11), name


def test_rows_of_another_process_count():
    """Else the test above could pass without any exchange: alone, rows have another mean."""
    whole, batch = network(), torch.randn(8, 3, 6, 6).double()
    alone = copy.deepcopy(whole)(batch[:4])
    _, out = shared(whole, batch, torch.zeros(8, 5).double(), [slice(0, 4), slice(4, 8)])
    assert (out[:4] - alone).abs().max() > 0.1


def test_float32_differs_by_rounding_alone_and_half_precision_stays_half():
    norm, batch = nn.BatchNorm2d(4).train(), 50 + torch.randn(6, 4, 5, 5)
    exact = copy.deepcopy(norm).double()(batch.double())
    parts, out = shared(norm, batch, torch.zeros(6, 4, 5, 5), [slice(0, 6)] * 1)
    assert isinstance(parts[0], nn.BatchNorm2d)  # one process: as it was
    pair = Together(2)
    found = []

    def work(rank):
        made = WholeBatchNorm(copy.deepcopy(norm), Threads(rank, pair))
        rows = batch[3 * rank : 3 * rank + 3]
        found.append((rank, made(rows), made(rows.half())))

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [row[1:] for row in sorted(found, key=lambda row: row[0])]
    assert (torch.cat([row[0] for row in found]) - exact).abs().max() < 2e-5  # 50 is known to 4e-6
    assert all(row[1].dtype == torch.float16 for row in found)


def test_evaluation_takes_the_running_statistics_without_an_exchange():
    class Fails:
        count = 2

        def sum(self, tensor):
            raise AssertionError("an exchange in evaluation mode")

    whole = network().eval()
    batch = torch.randn(3, 3, 6, 6).double()
    assert torch.equal(over_whole_batch(copy.deepcopy(whole), Fails())(batch), whole(batch))
    assert over_whole_batch(whole, ALONE) is whole
    assert not any(isinstance(module, WholeBatchNorm) for module in whole.modules())
