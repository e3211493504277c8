"""Whether this torch may run on the device: the verdict of the hardware rule."""

from __future__ import annotations

import torch

from encore.runtime import hardware
from encore.runtime.refusal import Refusal


def rule(device):
    """{architectures, capability, covered, verdict}; Refusal where this torch must not run on the device.

    The environment variable ENCORE_ACCEPT_HARDWARE=1 runs anyway, and the record says so.
    """
    architectures, capability, objection = [], None, None
    if device.type == "cuda":
        architectures = hardware.compiled(torch)
        capability = tuple(torch.cuda.get_device_capability(device))
        objection = hardware.objection(architectures, capability, torch.version.cuda)
        if objection and not hardware.accepted():
            raise Refusal("{}: {}".format(torch.cuda.get_device_name(device), objection))
    return {
        "architectures": architectures,
        "capability": capability and hardware.architecture_name(capability),
        "covered": objection is None,
        "verdict": verdict(capability, architectures, objection),
    }


def verdict(capability, architectures, objection):
    """The hardware rule's answer as one line."""
    if capability is None:
        return "the CPU, for which there is no rule"
    if objection:
        return "accepted by the user against the rule: {}".format(objection)
    return "torch, compiled for {}, runs on {}".format(
        " ".join(architectures), hardware.architecture_name(capability)
    )
