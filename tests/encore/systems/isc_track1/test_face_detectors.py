"""Both detectors: one on a photograph, one as a made-up package that records how it is called."""

import sys

import pytest
from PIL import Image

from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.face_detectors import (
    CascadeParameters,
    FaceRecognitionParameters,
    make_detector,
    refuse_unless_installed,
)

CASCADE = CascadeParameters(scale_factor=1.15, step_ratio=1.0, min_size=36, max_size=96, neighbours=1)
PACKAGE = """
__version__ = "1.2.3"
calls = []
def face_locations(image, number_of_times_to_upsample=1, model="hog"):
    calls.append((image.shape, image.dtype.name, number_of_times_to_upsample, model))
    return [(10, 40, 30, 20), (1, 2, 3, 4)] if image.any() else []
"""


def face():
    skimage_data = pytest.importorskip("skimage.data")
    return Image.fromarray(skimage_data.astronaut()).crop((152, 22, 296, 166)).resize((96, 96))


def test_the_cascade_finds_the_astronauts_face_and_none_in_flat_or_tiny_pictures():
    picture = face()
    detector = make_detector("cascade", CASCADE, None)
    boxes = detector.boxes(picture)
    assert boxes == detector.boxes(picture) and boxes
    left, top, right, bottom = boxes[0]
    assert 0 <= left < 48 < right <= 96 and 0 <= top < 48 < bottom <= 96
    assert all(type(value) is int for value in boxes[0])
    for size in ((96, 96), (5, 5), (1, 1), (30, 200)):
        assert detector.boxes(Image.new("L", size, 90)) == []
    assert detector.version and detector.library == "scikit-image"


def test_the_other_package_is_called_as_published(tmp_path, monkeypatch):
    (tmp_path / "face_recognition.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "face_recognition", raising=False)
    detector = make_detector("face_recognition", CASCADE, FaceRecognitionParameters(upsample=1))
    # (top, right, bottom, left) of the package become (left, top, right, bottom), in its order
    assert detector.boxes(Image.new("L", (50, 40), 200)) == [[20, 10, 40, 30], [4, 1, 2, 3]]
    assert detector.boxes(Image.new("RGB", (50, 40))) == []
    calls = sys.modules["face_recognition"].calls
    assert calls[0] == ((40, 50, 3), "uint8", 1, "cnn")
    assert (detector.library, detector.version) == ("face_recognition", "1.2.3")
    del sys.modules["face_recognition"]


def test_without_the_package_it_is_said_what_to_install():
    if "face_recognition" in sys.modules:
        pytest.skip("face_recognition is installed")
    with pytest.raises(Refusal, match="pip install face-recognition==1.3.0"):
        refuse_unless_installed()


def test_other_names_are_refused():
    with pytest.raises(Refusal, match="detector dlib: expected one of cascade, face_recognition"):
        make_detector("dlib", CASCADE, None)
