"""A network as an ONNX file, checked against torch by onnxruntime before it is there (spec reid 6; the
published code has no export)."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import sys
import warnings

import numpy as np
import torch

from encore.data.training_transform import IMAGENET_MEAN, IMAGENET_STD
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal
from encore.systems.reid.onnx_predictor import onnx_session

OPSET = 13
INPUT, OUTPUT = "images", "features"
TOLERANCE = 1e-4
"""Largest difference that is accepted, relative to the largest magnitude of torch's features if above 1."""


def export_onnx(net, path, images, opset=OPSET, tolerance=TOLERANCE, showings=None):
    """Write `net` as the ONNX file `path` -> largest absolute difference of its features from torch's.

    net: a module that answers features (n, D), un-normalised, in evaluation mode; it is moved to the CPU.
    images: float32 (n, 3, h, w), n >= 2, real inputs (`evaluation_input`) that both are shown, all at once
    and the first one alone; h and w become the file's, the batch stays free. Refusal, and no file, where the
    two differ by more than `tolerance` x max(1, largest magnitude of torch's features). showings: a list that
    gets the features (torch's, onnxruntime's) of each of the two times.
    """
    images = np.ascontiguousarray(images, dtype=np.float32)
    if images.ndim != 4 or images.shape[1] != 3 or len(images) < 2:
        raise Refusal(
            "export to {}: expected at least 2 pictures to check the file with, as (n, 3, h, w), found shape "
            "{}: give more pictures".format(path, images.shape)
        )
    net = net.to("cpu").eval()
    content = _with_metadata(_exported(net, torch.from_numpy(images), opset), images.shape[2:])
    difference, largest = _difference(net, content, images, [] if showings is None else showings)
    if not difference <= tolerance * max(1.0, largest):
        raise Refusal(
            "export to {}: onnxruntime's features differ from torch's by {:.3g} (largest {:.3g}), expected "
            "at most {:g} relative: nothing is written; try another opset".format(
                path, difference, largest, tolerance
            )
        )
    with replacing(path) as file:
        file.write(content)
    return difference


def _exported(net, images, opset):
    """The bytes of the ONNX file of `net`."""
    options = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    file, log = io.BytesIO(), logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        # Warnings of shapes that become constants: the check decides. torch 2.0 prints a table of its own.
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                net,
                (images[:2],),
                file,
                opset_version=opset,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
                **options,
            )
    finally:
        log.setLevel(level)
    return file.getvalue()


def _with_metadata(content, size):
    """The file with what its inputs must be, after ONNX's own check."""
    import onnx

    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model)
    values = {"size": list(size), "mean": IMAGENET_MEAN, "deviation": IMAGENET_STD}
    for name, numbers in values.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = "encore." + name, ",".join(str(number) for number in numbers)
    return model.SerializeToString()


def _difference(net, content, images, showings):
    """(largest difference of onnxruntime's features from torch's, largest magnitude of torch's)."""
    session, largest, magnitude = onnx_session(content), 0.0, 0.0
    for shown in (images, images[:1]):
        with torch.no_grad():
            expected = net(torch.from_numpy(shown)).numpy()
        found = session.run(None, {session.get_inputs()[0].name: shown})[0]
        if found.shape != expected.shape:
            raise Refusal(
                "export: onnxruntime answers features of shape {}, torch {}: the network depends on the "
                "batch size".format(found.shape, expected.shape)
            )
        showings.append((expected, found))
        largest = max(largest, float(np.abs(found - expected).max()))  # NaN stays NaN below: refused
        if not np.isfinite(found).all():
            largest = float("nan")
        magnitude = max(magnitude, float(np.abs(expected).max()))
    return largest, magnitude
