"""A trained network as evaluation and export need it: every tensor from its file."""

from __future__ import annotations

import os

from encore.runtime.refusal import Refusal
from encore.systems.reid.network import NetworkShape, ReidNetwork
from encore.systems.reid.params_json import read_params_json
from encore.systems.reid.run_folder import BEST, MODEL, PARAMS
from encore.systems.reid.weights import COUNTER, load_weights


def load_trained(shape, path, classes=0, margins=None):
    """The ReidNetwork of a NetworkShape with the weights in `path` (a model.pth), in evaluation mode, on the
    CPU.

    classes: identities of its classifiers, 0: leave them out; margins: their AngularSoftmax. Refusal, naming
    the first, for tensors that the file lacks (published: they stay random).
    """
    network = ReidNetwork(shape, classes, classes > 0, margins)
    missing = [key for key in load_weights(network, path).missing if not key.endswith(COUNTER)]
    if missing:
        raise Refusal(
            "{}: lacks {} tensors of the network, the first is {}: give the model_params, and the state, "
            "that it was trained with".format(path, len(missing), missing[0])
        )
    return network.eval()


def load_run(folder, weights=None):
    """(ReidParams, ReidNetwork, path of the weights) of the folder of a run, by `load_trained`.

    weights: name of a file in it, by default model_best.pth, or model.pth where nothing was evaluated.
    """
    names = [weights] if weights else [BEST, MODEL]
    found = [path for path in (os.path.join(folder, name) for name in names) if os.path.isfile(path)]
    if not found or not os.path.isfile(os.path.join(folder, PARAMS)):
        raise Refusal(
            "{}: expected the folder of a run with {} and {}: name one that stages.reid.train wrote".format(
                folder, PARAMS, " or ".join(names)
            )
        )
    params, _ = read_params_json(os.path.join(folder, PARAMS))
    return params, load_trained(NetworkShape.of(params), found[0]), found[0]
