"""Adam with one group per tensor, and its state in the published layout, whole or spread over processes."""

from __future__ import annotations

from collections import OrderedDict

import torch

from encore.models.isc_network import CLASSIFIER_BLOCKS, CLASSIFIER_KEYS
from encore.runtime.refusal import Refusal


def adam(network, learning_rate):
    """Adam without weight decay, one parameter group per trainable tensor in the order of
    `named_parameters`."""
    groups = [{"params": [parameter]} for parameter in trainable(network).values()]
    return torch.optim.Adam(groups, lr=learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)


def trainable(network):
    """Name -> parameter of what is trained, in order."""
    return OrderedDict(
        (name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad
    )


def gather_named(own, processes):
    """Name -> tensor of the whole network on the first process, from those of each (collective; others get no
    blocks).

    own: this process's tensors in the network's order; classifier blocks are taken from whoever carries them.
    """
    whole = OrderedDict()
    per_process = CLASSIFIER_BLOCKS // processes.count
    first_block = processes.rank * per_process
    for name, tensor in own.items():
        if name not in CLASSIFIER_KEYS:
            whole[name] = tensor
            continue
        head, block = divmod(CLASSIFIER_KEYS.index(name), CLASSIFIER_BLOCKS)
        if block != first_block:
            continue
        for other in range(CLASSIFIER_BLOCKS):
            key = CLASSIFIER_KEYS[head * CLASSIFIER_BLOCKS + other]
            owner = other // per_process
            value = own[key] if owner == processes.rank else torch.empty_like(tensor)
            processes.broadcast(value, owner)
            if processes.is_first:
                whole[key] = value if processes.count == 1 else value.cpu()
    return whole


def published_adam_state(network, optimizer, processes, learning_rate, base_learning_rate):
    """The optimizer's state dict of the whole network as torch 1.7.1 writes it (collective).

    learning_rate: that of every group when the checkpoint is used, base_learning_rate: its `initial_lr`.
    """
    own = trainable(network)
    moments = {
        moment: gather_named(
            OrderedDict(
                (name, optimizer.state[parameter][moment])
                for name, parameter in own.items()
                if parameter in optimizer.state
            ),
            processes,
        )
        for moment in ("exp_avg", "exp_avg_sq")
    }
    names = whole_names(own)
    steps = {
        int(optimizer.state[parameter]["step"]) for parameter in own.values() if parameter in optimizer.state
    }
    state = {}
    if steps:
        (step,) = steps
        state = {
            i: dict({moment: moments[moment][name] for moment in ("exp_avg", "exp_avg_sq")}, step=step)
            for i, name in enumerate(names)
            if name in moments["exp_avg"]
        }
    groups = [
        {
            "lr": learning_rate,
            "betas": (0.9, 0.999),
            "eps": 1e-08,
            "weight_decay": 0.0,
            "amsgrad": False,
            "initial_lr": base_learning_rate,
            "params": [i],
        }
        for i in range(len(names))
    ]
    return {"state": state, "param_groups": groups}


def load_adam_state(network, optimizer, published):
    """Give `optimizer` its share of a published state dict, whose groups are those of the whole network."""
    own = trainable(network)
    names = whole_names(own)
    if len(published["param_groups"]) != len(names):
        raise Refusal(
            "the checkpoint's optimizer has %d parameter groups, expected %d, one per trainable "
            "tensor: it "
            "belongs to another network" % (len(published["param_groups"]), len(names))
        )
    place = {name: published["param_groups"][i]["params"][0] for i, name in enumerate(names)}
    state = {
        i: dict(published["state"][place[name]])
        for i, name in enumerate(own)
        if place[name] in published["state"]
    }
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def whole_names(own):
    """Names of the whole network, in order, from those of one process: each head's blocks are completed to
    four."""
    names = []
    for name in own:
        if name not in CLASSIFIER_KEYS:
            names.append(name)
            continue
        head = CLASSIFIER_KEYS.index(name) // CLASSIFIER_BLOCKS
        names.extend(
            key
            for key in CLASSIFIER_KEYS[head * CLASSIFIER_BLOCKS : (head + 1) * CLASSIFIER_BLOCKS]
            if key not in names
        )
    return names
