"""One step of a network whose batch is cut in replicas, carried by one process or shared by several."""

from __future__ import annotations

import torch

from encore.runtime.seeds import derive_seed
from encore.systems.reid import SYSTEM
from encore.systems.reid.network import Outputs
from encore.training.replicas import GradientSum, leaf, running_statistics_kept


class ReplicaStep:
    """What nn.DataParallel does on GPUs, with the same bits on any number of processes that share the
    replicas.

    Each replica runs its rows with BatchNorm statistics of its own; the running statistics come from replica
    0 alone. Its dropout draws from the address (seed, "reid", "dropout", iteration, replica). What the
    replicas put out is gathered, so that every process has the loss of the whole batch; gradients of the
    parameters are summed over replicas in tree order (see `Processes`). network: a ReidNetwork in training
    mode. shares: the ReplicaShares of this process. teaching: a Distillation or None.
    """

    def __init__(self, network, shares, seed, teaching=None):
        self.network, self.shares, self.seed, self.teaching = network, shares, seed, teaching
        self._parts, self._leaves = [], []

    def outputs(self, images, labels, accuracy, iteration):
        """(Outputs, the teacher's Outputs or None) of the whole batch, the start of a graph for `backward`.

        images: the rows of this process; labels: int64 of the whole batch. The rest as in `ReidNetwork`.
        """
        size, self._parts = len(labels), []
        shift, blocks, forms = self.shares.rows(size).start, [], None
        for replica, rows in self.shares.parts(size):
            seen = images[rows.start - shift : rows.stop - shift]
            torch.manual_seed(derive_seed(self.seed, SYSTEM, "dropout", iteration, replica))
            found = [self._run(replica, seen, labels[rows], accuracy, iteration)] + self._taught(seen)
            forms = [_Form(outputs) for outputs in found]
            columns = [_columns(outputs, len(seen)) for outputs in found]
            self._parts.append((columns[0], rows))
            blocks.append(torch.cat([column.detach() for some in columns for column in some], 1))
        forms = forms or self._forms(images, labels)
        columns = self._gathered(blocks, sum((form.widths for form in forms), []), size)
        heads = forms[0].heads
        self._leaves = [leaf(column) for column in columns[:heads]]
        firsts = [rows.start for rows in self.shares.all_parts(size)]
        outputs = forms[0].outputs(self._leaves + columns[heads:], firsts)
        if self.teaching is None:
            return outputs, None
        return outputs, forms[1].outputs(columns[len(forms[0].widths) :], firsts)

    def backward(self, total):
        """Set `.grad` of every parameter that the loss `total`, of what `outputs` gave, depends on."""
        into = torch.autograd.grad(total, self._leaves, allow_unused=True)
        parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        summed, used = GradientSum(), [False] * len(parameters)
        for columns, rows in self._parts:
            kept = [(column, part[rows]) for column, part in zip(columns, into) if part is not None]
            heads, parts = zip(*kept)
            found = torch.autograd.grad(heads, parameters, parts, allow_unused=True)
            used = [gradient is not None for gradient in found]
            summed.add([gradient for gradient in found if gradient is not None])
        self._give(parameters, used, summed.total() if self._parts else [])

    def _give(self, parameters, used, gradients):
        """Give the parameters the sum of all processes' gradients; `gradients`: those of the ones `used`."""
        processes = self.shares.processes
        if processes.count > 1:
            mask = torch.tensor([used], dtype=torch.uint8, device=parameters[0].device)
            used = processes.gather(mask).max(0)[0].tolist()
            if not gradients:  # a short batch leaves this process without a picture
                gradients = [torch.zeros_like(each) for each, wanted in zip(parameters, used) if wanted]
            gradients = processes.sum_many(gradients)
        left = iter(gradients)
        for parameter, wanted in zip(parameters, used):
            parameter.grad = next(left).contiguous() if wanted else None

    def _run(self, replica, images, labels, accuracy, iteration):
        given = dict(labels=labels, accuracy=accuracy, global_step=iteration)
        if replica == 0:
            return self.network(images, **given)
        with running_statistics_kept(self.network):
            return self.network(images, **given)

    def _taught(self, images):
        return [] if self.teaching is None else [self.teaching.taught(images)]

    def _forms(self, images, labels):
        """The forms of the outputs for a process without a picture of its own: read off a blank one."""
        blank = images.new_zeros((1,) + tuple(images.shape[1:]))
        self.network.eval()
        with torch.no_grad():
            found = self.network.outputs(blank, labels[:1])
        self.network.train()
        return [_Form(outputs) for outputs in [found] + self._taught(blank)]

    def _gathered(self, blocks, widths, size):
        """Columns of these widths of the whole batch, from the rows that this process has."""
        counts = self.shares.of_processes(size)
        device = next(self.network.parameters()).device
        padded = torch.zeros(max(counts), sum(widths), device=device)
        if blocks:
            padded[: counts[self.shares.processes.rank]] = torch.cat(blocks)
        gathered = self.shares.processes.gather(padded).split(max(counts))
        whole = torch.cat([rows[:count] for rows, count in zip(gathered, counts)])
        return [column.contiguous() for column in whole.split(widths, 1)]


class _Form:
    """How the columns of a batch's outputs, side by side, become Outputs again: widths of all columns, and
    how many of them (`heads`) are logits and features."""

    def __init__(self, outputs):
        self.logits, self.heads = len(outputs.logits), len(outputs.logits) + len(outputs.features)
        self.widths = [part.shape[1] for part in outputs.logits + outputs.features]
        self.widths += [] if outputs.st_mean is None else [1]

    def outputs(self, columns, firsts):
        """Outputs of the whole batch; st_mean float (replicas,), read off each replica's first row."""
        mean = columns[self.heads][firsts, 0] if len(self.widths) > self.heads else None
        return Outputs(columns[: self.logits], columns[self.logits : self.heads], mean)


def _columns(outputs, rows):
    """Logits, features and st_mean, where there is one, as float (rows, ...) each."""
    columns = outputs.logits + outputs.features
    if outputs.st_mean is None:
        return columns
    return columns + [columns[0].new_full((rows, 1), float(outputs.st_mean))]
