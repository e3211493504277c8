"""Updates shared by processes: their gradients by one process, BatchNorm over a team, statistics in order."""

import copy
import os
import socket

import pytest
import torch
import torch.nn.functional as F

from encore.runtime.refusal import Refusal
from encore.systems.fkd.classification import replica_parts
from encore.systems.fkd.classifier_batches import LabelledBatch
from encore.systems.fkd.first_process import batches_of_first, done_by_first
from encore.systems.fkd.shared_update import Part, SharedUpdate, draws_numbers
from encore.training.distributed import ALONE, Processes, join_processes
from tests.encore import killed_run


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 5, 3),
            torch.nn.BatchNorm2d(5),
            torch.nn.ReLU(),
            torch.nn.Conv2d(5, 6, 3),
            torch.nn.BatchNorm2d(6),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(6, 4),
        )


def pictures(rows, dtype):
    draws = torch.Generator().manual_seed(1)
    return torch.randn(rows, 3, 8, 8, generator=draws).to(dtype), torch.randint(
        0, 4, (rows,), generator=draws
    )


def update(processes, cut, most, dtype):
    """(gradients, running statistics, values) of one update."""
    made = network().to(dtype)
    x, classes = pictures(cut[-1].last, dtype)

    def work(number, rows):
        logits = made(x[rows])
        loss = F.cross_entropy(logits, classes[rows], reduction="sum") / len(x)
        return loss, logits, classes[rows]

    values = SharedUpdate(made, most, processes).gradients(cut, work)
    gradients = [parameter.grad.clone() for parameter in made.parameters()]
    return gradients, [buffer.clone() for buffer in made.buffers()], values


PARTS = {
    "chunks": [Part(0, 5), Part(5, 10), Part(10, 14), Part(14, 17)],
    "replicas": replica_parts(17, 9, 2),
    "fewer than at other times": [Part(0, 5), Part(5, 9), Part(9, 12)],
    "one": [Part(0, 7)],
    "fewer rows than processes": [Part(0, 3)],
}


def in_process(rank, count, port, name, most, dtype, folder):
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(count), LOCAL_RANK=str(rank))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    processes, _ = join_processes("cpu")
    found = {key: update(processes, PARTS[key], most, dtype) for key in name.split("/")}
    found["batches"] = [tuple(batch) for batch in batches_of_first(processes, "cpu", labelled(rank))]
    try:
        done_by_first(processes, "cpu", lambda: refuse("of process %d" % rank))
    except Refusal as refusal:
        found["refused"] = str(refusal)
    torch.save(found, os.path.join(str(folder), "found.%d" % rank))


def refuse(text):
    raise Refusal(text)


def labelled(rank):
    if rank:
        raise AssertionError("only the first process makes batches")
    for rows in (3, 2):
        yield LabelledBatch(torch.full((rows, 3, 2, 2), rows, dtype=torch.uint8), torch.arange(rows))


def by(count, name, most, dtype, folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = (count, port, name, most, dtype, folder)
    started = [killed_run.start(in_process, rank, *arguments) for rank in range(count)]
    assert [killed_run.finish(process) for process in started] == [0] * count
    return [torch.load(str(folder / ("found.%d" % rank)), weights_only=False) for rank in range(count)]


def test_parts_of_their_own_give_the_bits_of_one_process(tmp_path):
    torch.set_num_threads(1)
    names = "chunks/replicas/fewer than at other times"
    for found in by(2, names, 4, torch.float32, tmp_path):
        for name in names.split("/"):
            gradients, buffers, values = update(ALONE, PARTS[name], 4, torch.float32)
            assert all(map(torch.equal, found[name][0], gradients))
            assert [tuple(value) for value in found[name][2]] == [tuple(value) for value in values]
            assert all(map(torch.equal, found[name][1], buffers))
        assert [int(batch[0].flatten()[0]) for batch in found["batches"]] == [3, 2]
        assert found["refused"] == "of process 0"


@pytest.mark.parametrize("dtype, bound", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_a_shared_part_gives_the_gradients_of_one_process_to_rounding(tmp_path, dtype, bound):
    torch.set_num_threads(1)
    names = "one/chunks" if dtype is torch.float32 else "one/fewer rows than processes"
    most = 1 if dtype is torch.float64 else 2
    found = by(4, names, most, dtype, tmp_path)
    for name in names.split("/"):
        gradients, buffers, values = update(ALONE, PARTS[name], most, dtype)
        for rank in range(4):
            for one, other in zip(found[rank][name][0] + found[rank][name][1], gradients + buffers):
                assert torch.allclose(one, other, rtol=0, atol=bound * max(1.0, float(other.abs().max())))
            assert [value.rows for value in found[rank][name][2]] == [value.rows for value in values]
            assert [value.top1 for value in found[rank][name][2]] == [value.top1 for value in values]
        first = found[0][name]
        assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(first[0], other[name][0]))


def test_replicas_are_cut_as_torch_cuts_them():
    for total, size, replicas in ((17, 9, 2), (32, 8, 4), (5, 8, 4), (3, 8, 4)):
        rows, cut = torch.arange(total), replica_parts(total, size, replicas)
        expected = [
            (int(part[0]), int(part[-1]) + 1, number == 0)
            for batch in rows.split(size)
            for number, part in enumerate(batch.chunk(replicas))
        ]
        assert [tuple(part) for part in cut] == expected


def test_a_network_that_draws_cannot_be_shared_within_a_part():
    assert not draws_numbers(network())
    dropping = torch.nn.Sequential(network(), torch.nn.Dropout(0.1))
    assert draws_numbers(dropping)
    assert draws_numbers(torch.nn.MultiheadAttention(4, 2, dropout=0.2))
    assert not draws_numbers(torch.nn.Sequential(torch.nn.Dropout(0.0)))
    with pytest.raises(Refusal, match="2 cannot be shared by 4 processes, since this network draws"):
        SharedUpdate(copy.deepcopy(dropping), 2, Processes(0, 4))
