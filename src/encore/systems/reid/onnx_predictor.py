"""Features from an ONNX file by onnxruntime (the published evaluation imports such a module,
which was never published; its interface is kept)."""

from __future__ import annotations

import os

import numpy as np

from encore.runtime.bounded_file import read_bounded
from encore.runtime.refusal import Refusal
from encore.systems.reid.evaluation_input import input_of_bgr

LARGEST = 1 << 31
"""Bytes: what the format holds at most."""
EXTERNAL = b"\x0a\x08location\x12"
"""In a file where a tensor says in which other file its numbers are."""


class ONNXPredictor:
    """An ONNX file that maps images float32 (n, 3, h, w), normalised, to features (n, D), un-normalised.

    path: the file; gpu: number of the GPU, which is used where onnxruntime can use one; batch_size: pictures
    at once, replaced by the file's own where that is fixed. `input_size` is (width, height) in pixels.
    Refusal for a file that is missing, is no ONNX file, or has another input.
    """

    def __init__(self, path, gpu=0, batch_size=64):
        _refuse_other_files(path)
        self._session = onnx_session(path, gpu)
        inputs = self._session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 else None
        if shape is None or len(shape) != 4 or shape[1] != 3 or not _whole(shape[2:]):
            raise Refusal(
                "{}: expected one input (batch, 3, height, width) with a fixed size, found {}: export the "
                "network by stages.reid.export".format(path, [entry.shape for entry in inputs])
            )
        self._name = inputs[0].name
        self._fixed = shape[0] if _whole(shape[:1]) else None
        self.input_size = (shape[3], shape[2])
        self.batch_size = self._fixed or batch_size

    def predict(self, images):
        """Features float32 (n, D) of a list of decoded pictures, each uint8 (h, w, 3) in the order blue,
        green, red, of any size: resized and normalised as the published evaluation does."""
        width, height = self.input_size
        if not len(images):
            raise Refusal("predict: expected at least one picture, found none")
        return self(np.stack([input_of_bgr(image, (height, width)) for image in images]))

    def __call__(self, images):
        """Features float32 (n, D) of images float32 (n, 3, h, w), normalised (an array or a CPU tensor)."""
        images = np.ascontiguousarray(images, dtype=np.float32)
        starts = range(0, len(images), self.batch_size)
        return np.concatenate([self._run(images[at : at + self.batch_size]) for at in starts])

    def _run(self, images):
        count = len(images)
        if self._fixed and count < self._fixed:  # a file of one batch size: filled up by the last picture
            images = np.concatenate([images, np.repeat(images[-1:], self._fixed - count, axis=0)])
        return self._session.run(None, {self._name: images})[0][:count]


def _refuse_other_files(path):
    """Refusal for a missing file, and for one that keeps numbers in files beside it, or anywhere."""
    try:
        data = read_bounded(path, LARGEST)
    except OSError as error:
        raise Refusal(
            "{}: no such file ({}), expected an ONNX model: export one first".format(path, error.strerror)
        ) from None
    if EXTERNAL in data:
        raise Refusal("{}: its numbers lie in other files: export the network into one file".format(path))


def onnx_session(model, gpu=0):
    """onnxruntime's session of a path or of the bytes of a file, on GPU number `gpu` where it can use one.

    On the CPU it takes OMP_NUM_THREADS threads where that is set. Refusal for what is no ONNX model.
    """
    try:
        import onnxruntime
    except ImportError:
        raise Refusal("onnxruntime is not installed, expected it for ONNX files: install it") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": gpu}))
    try:
        return onnxruntime.InferenceSession(model, sess_options=options, providers=providers)
    except Exception as error:  # onnxruntime's classes share no public base
        what = model if isinstance(model, str) else "the exported network"
        reason = " ".join(str(error).split())[:200]
        raise Refusal("{}: not an ONNX model that onnxruntime runs ({})".format(what, reason)) from error


def _whole(sizes):
    return all(isinstance(size, int) for size in sizes)
