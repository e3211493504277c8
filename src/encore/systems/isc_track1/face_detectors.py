"""Face detectors: the one that ships with scikit-image, and the one of the published test.

Which detector chose the training pictures with faces is not published; the published test finds the
references with faces by the convolutional detector of face_recognition (test 1.3).
"""

from __future__ import annotations

import ctypes
import dataclasses
import importlib.util

from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal

DETECTORS = ("cascade", "face_recognition")


@dataclasses.dataclass(frozen=True)
class CascadeParameters:
    """Local binary patterns in a cascade (scikit-image's Cascade with its frontal-face file)."""

    scale_factor: float = limited(low=1.001)
    """How much the searched window grows from one scale to the next."""
    step_ratio: float = limited(low=1.0)
    """Step of the searched window; 1 is the exhaustive search."""
    min_size: int = limited(low=24)
    """Side of the smallest searched window in pixels; the file's own window has 24."""
    max_size: int = limited(low=24)
    """Side of the largest one."""
    neighbours: int = limited(low=0)
    """Overlapping windows that must agree."""


@dataclasses.dataclass(frozen=True)
class FaceRecognitionParameters:
    """The convolutional detector of the face_recognition package."""

    upsample: int = limited(low=0)
    """How often the picture is doubled before the search (the package's own value: 1)."""


class CascadeDetector:
    """PIL picture -> boxes (left, top, right, bottom) in pixels of the faces found, in its own order."""

    library = "scikit-image"

    def __init__(self, parameters: CascadeParameters):
        import skimage
        from skimage import data
        from skimage.feature import Cascade, _cascade

        # Builds with OpenMP list the windows in the order in which threads find them, and how windows are
        # joined depends on that order. The number of threads is that of this library's own OpenMP.
        openmp = ctypes.CDLL(_cascade.__file__)
        if hasattr(openmp, "omp_set_num_threads"):
            openmp.omp_set_num_threads(1)
        self.version = skimage.__version__
        self._parameters = parameters
        self._cascade = Cascade(data.lbp_frontal_face_cascade_filename())

    def boxes(self, image):
        import numpy

        p = self._parameters
        found = self._cascade.detect_multi_scale(
            numpy.asarray(image.convert("L")),
            p.scale_factor,
            p.step_ratio,
            (p.min_size, p.min_size),
            (p.max_size, p.max_size),
            p.neighbours,
        )
        return [
            [int(v) for v in (face["c"], face["r"], face["c"] + face["width"], face["r"] + face["height"])]
            for face in found
        ]


class FaceRecognitionDetector:
    """PIL picture -> boxes (left, top, right, bottom) in pixels of the faces found, in its own order."""

    library = "face_recognition"

    def __init__(self, parameters: FaceRecognitionParameters):
        refuse_unless_installed()
        import face_recognition

        self.version = str(getattr(face_recognition, "__version__", ""))
        self._upsample = parameters.upsample
        self._locations = face_recognition.face_locations

    def boxes(self, image):
        import numpy

        found = self._locations(numpy.array(image.convert("RGB")), self._upsample, "cnn")
        # The package gives (top, right, bottom, left).
        return [[int(v) for v in (left, top, right, bottom)] for top, right, bottom, left in found]


def refuse_unless_installed():
    """Raise Refusal where the face_recognition package is not installed."""
    if importlib.util.find_spec("face_recognition") is None:
        raise Refusal(
            "detector face_recognition: the package is not installed in this interpreter: run `pip install "
            "face-recognition==1.3.0` (it builds dlib), give the published face_del.npy and choose the "
            "detector cascade"
        )


def make_detector(name, cascade, face_recognition):
    """The detector called `name`, made in the process that uses it; the other one's parameters are unused."""
    if name == "cascade":
        return CascadeDetector(cascade)
    if name == "face_recognition":
        return FaceRecognitionDetector(face_recognition)
    raise Refusal("detector {}: expected one of {}".format(name, ", ".join(DETECTORS)))
