"""One training step of a network whose replicas and classifier blocks are spread over processes."""

from __future__ import annotations

import torch

from encore.models.isc_network import CLASSIFIER_BLOCKS, Outputs
from encore.training.distributed import ALONE, tree_sum
from encore.training.replicas import GradientSum, leaf, rows_of, run_replicas

COUNTS = (1, 2, 4)
"""Numbers of processes that the classifier's blocks can be spread over."""
BLOCKS_OVER = "the classifier's %d blocks are spread over" % CLASSIFIER_BLOCKS
"""Why, for `Processes.refuse_unless`."""


class ClassParallelStep:
    """Gradients of one batch, with the same bits on 1, 2 and 4 processes.

    Each process runs its share of the replicas and carries its share of the four classifier blocks. The step
    is cut where data cross between them: pooled features and head outputs are gathered along the batch,
    logits along the classes, and every process computes the whole loss on the whole batch. Going back,
    gradients of the head outputs are summed over blocks and those of the parameters over replicas, both in
    tree order (see `Processes`).

    network: IscNetwork with the classifier blocks `processes.share(4)`. loss(Outputs, labels) -> (total,
    terms): total a tensor, terms a dict of name to tensor.
    """

    def __init__(self, network, loss, replicas, processes=ALONE):
        self.network = network
        self.loss = loss
        self.replicas = replicas
        self.processes = processes
        self.own = processes.share(replicas)
        self.blocks = processes.share(CLASSIFIER_BLOCKS)
        self._body = [
            parameter
            for name, parameter in network.named_parameters()
            if parameter.requires_grad and not name.startswith("classifier_")
        ]

    def gradients(self, images, labels, rngs):
        """Set `.grad` of every trainable parameter -> (total, terms), detached.

        images: float (own replicas * chunk, 3, h, w), the rows of this process; labels: int64 (batch,) of the
        whole batch; rngs: one random.Random per own replica, for WaveBlock.
        """
        features, embedding, matrix = self._bodies(torch.chunk(images, len(self.own)), rngs)
        all_features = leaf(self.processes.gather(torch.cat(features).detach()))
        logits, to_embedding = self._logits(embedding, False)
        logits_matrix, to_matrix = self._logits(matrix, True) if matrix else (None, None)
        total, terms = self.loss(Outputs(all_features, logits, logits_matrix), labels)
        heads = [all_features, logits] + ([logits_matrix] if matrix else [])
        gradients = torch.autograd.grad(total, heads)
        into_body = [gradients[0], to_embedding(gradients[1])] + ([to_matrix(gradients[2])] if matrix else [])
        self._body_gradients([features, embedding] + ([matrix] if matrix else []), into_body)
        return total.detach(), {name: term.detach() for name, term in terms.items()}

    def _bodies(self, chunks, rngs):
        network = self.network
        features = [maps.flatten(1) for maps in run_replicas(network.base, chunks, self.own, rngs)]
        embedding = run_replicas(network.projector_feat_bn, features, self.own)
        if network.matrix_feat_bn is None:
            return features, embedding, None
        return features, embedding, run_replicas(network.matrix_feat_bn, embedding, self.own)

    def _logits(self, parts, matrix):
        """Logits of all classes as a leaf, and the function that takes their gradient back to the head's
        output."""
        whole = self.processes.gather(torch.cat(parts).detach())
        inputs = [leaf(whole) for _ in self.blocks]
        layers = [self.network.classifier(block, matrix) for block in self.blocks]
        own = [layer(values) for layer, values in zip(layers, inputs)]
        logits = leaf(self.processes.gather(torch.cat(own, 1).detach(), dim=1))

        def back(gradient):
            to_inputs = []
            for block, layer, values, part in zip(self.blocks, layers, inputs, own):
                of_block = torch.chunk(gradient, CLASSIFIER_BLOCKS, 1)[block].contiguous()
                to_input, layer.weight.grad = torch.autograd.grad(part, [values, layer.weight], of_block)
                to_inputs.append(to_input)
            return self.processes.sum(tree_sum(to_inputs))

        return logits, back

    def _body_gradients(self, outputs, gradients):
        summed = GradientSum()
        for i, replica in enumerate(self.own):
            of_replica = [rows_of(gradient, self.replicas, replica) for gradient in gradients]
            summed.add(torch.autograd.grad([output[i] for output in outputs], self._body, of_replica))
        for parameter, gradient in zip(self._body, self.processes.sum_many(summed.total())):
            parameter.grad = gradient
