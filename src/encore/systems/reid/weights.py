"""Weights of a re-identification network from a file: of a run, published or ours, or of ImageNet."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, Tuple

from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import is_state_dict, safe_load
from encore.training.published_weights import check_named_digest, checked_digest

PREFIX = "module."
"""Before every key of a network that was saved from several GPUs."""
COUNTER = "num_batches_tracked"
"""Files from before torch 0.4.1 have no such entries; evaluation does not need them."""
CLASSIFIER = "fc."
"""ImageNet's own classifier, which no network here has."""


class Loaded(NamedTuple):
    """What of a file fitted."""

    missing: Tuple[str, ...]
    """Keys of the network that the file lacks; they keep their values."""
    unexpected: Tuple[str, ...]
    """Keys of the file that the network lacks; they are left out."""


def read_weights(path):
    """The state dict in a file -> OrderedDict of name -> tensor on the CPU; Refusal where it holds none."""
    found = safe_load(path)
    if not is_state_dict(found) or not found:
        raise Refusal(
            "%s holds no weights: expected a state dict, names and tensors: give a run's model.pth" % path
        )
    return OrderedDict(found)


def with_prefix_of(state, keys):
    """`state` with the prefix `module.` taken from its keys, or put before them, as `keys` have it.

    As published the first key alone decides, on either side; only a leading `module.` counts, so that names
    such as se_module stay.
    """
    has, wants = (next(iter(names), "").startswith(PREFIX) for names in (state, keys))
    if has == wants:
        return state
    if wants:
        return OrderedDict((PREFIX + key, value) for key, value in state.items())
    return OrderedDict(
        (key[len(PREFIX) :] if key.startswith(PREFIX) else key, value) for key, value in state.items()
    )


def load_weights(network, path):
    """Load a model.pth, published or ours, into a network -> Loaded.

    Not strict, as published: missing keys are named, unexpected ones left out. Refusal, naming file and key,
    for a tensor of another shape (another number of identities, say) and for a file none of whose keys fit.
    """
    state = with_prefix_of(read_weights(path), network.state_dict())
    return _load(network, state, path, "a model.pth of this network")


def load_imagenet(network, path, sha256=None):
    """Load torchvision's ImageNet weights of a ResNet into the backbone of a ReidNetwork -> Loaded.

    The classifier in the file is left out. The digest is checked: against `sha256` (64 hex digits), else the
    8 digits in the file's name. Refusal also where anything of the backbone is missing in the file.
    """
    digest = checked_digest(path, sha256)
    if sha256 is None:
        check_named_digest(path, digest)
    state = with_prefix_of(read_weights(path), network.model.state_dict())
    state = OrderedDict((key, value) for key, value in state.items() if not key.startswith(CLASSIFIER))
    loaded = _load(network.model, state, path, "torchvision's weights of this ResNet")
    missing = [key for key in loaded.missing if not key.endswith(COUNTER)]
    if missing:
        raise Refusal(
            "%s lacks %d tensors of the backbone, the first is %s: give torchvision's weights of this ResNet"
            % (path, len(missing), missing[0])
        )
    return loaded


def _load(module, state, path, what):
    own = module.state_dict()
    for key, value in state.items():
        if key in own and tuple(value.shape) != tuple(own[key].shape):
            raise Refusal(
                "%s: %s has the shape %s, expected %s: give %s"
                % (path, key, tuple(value.shape), tuple(own[key].shape), what)
            )
    if not set(own) & set(state):
        raise Refusal(
            "%s: none of its %d tensors belongs to the network, the first is %s: give %s"
            % (path, len(state), next(iter(state), "none"), what)
        )
    module.load_state_dict(state, strict=False)
    missing = tuple(key for key in own if key not in state)
    return Loaded(missing, tuple(key for key in state if key not in own))
