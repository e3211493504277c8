"""Pictures with faces: more classes for two training sets, and references left out of the multi-part list.

Published are only the rule (training pictures with human faces, augmented as data set 1, are added to it) and
the list of 47,687 references with a face, `face_del.npy`; neither which training pictures were chosen nor how
many (training 1.1, test 1.3).
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from typing import NamedTuple, Optional, Tuple

import numpy

from encore.data.image_source import open_source
from encore.data.images import RejectedImage, decode_image
from encore.runtime.atomic import replacing, write_json
from encore.runtime.parameters import limited
from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.runtime.shard_map import map_units
from encore.systems.isc_track1.face_detectors import (
    DETECTORS,
    CascadeParameters,
    FaceRecognitionParameters,
    make_detector,
    refuse_unless_installed,
)

CHOSEN = "faces.json"
REFERENCES = "face_del.npy"
CROPS = "reference_images_exp_face"
FIRST_CROP = 20
"""Published number of a reference's first face crop; 0 to 18 are its parts."""
ID = "<U7"


@dataclasses.dataclass(frozen=True)
class FaceParameters:
    """Parameters of the stage `faces`."""

    candidates: str = limited()
    """Pictures among which those with faces become classes (published: the training pictures)."""
    except_every: Optional[int] = limited(low=1)
    """Candidates at positions that this divides are classes already and left out; null: none is."""
    most: Optional[int] = limited(low=1)
    """Pictures with faces that are chosen at most, the first by name; null: all. The published number is not
    known."""
    references: str = limited()
    face_del: Optional[str] = limited()
    """The published list of references with a face, used instead of a search; null: search."""
    detector: str = limited(choices=DETECTORS)
    cascade: CascadeParameters
    face_recognition: FaceRecognitionParameters
    crops: bool = limited()
    """Whether to write each face of a reference as a picture too, as the published script does; nothing uses
    them."""
    workers: int = limited(low=1, high=1024)
    pictures_per_chunk: int = limited(low=1)
    """With `most`, the search ends with the chunk in which the last chosen picture is."""
    max_rejected: int = limited(low=0)

    def recipe(self):
        """What decides the result: everything but how the work is spread and what is tolerated."""
        free = ("workers", "max_rejected") + tuple(set(DETECTORS) - {self.detector})
        return {key: value for key, value in dataclasses.asdict(self).items() if key not in free}


class FacesFound(NamedTuple):
    """How many pictures were searched and found."""

    candidates: int
    """Candidates that were searched."""
    found: int
    """Candidates with a face."""
    chosen: int
    references_with_face: int


def write_faces(folder, parameters):
    """Write faces.json and face_del.npy into `folder` -> FacesFound.

    faces.json: {detector, source, candidates, found, pictures: [{name, boxes}], rejected}; boxes are (left,
    top, right, bottom) in pixels. face_del.npy: <U7 (n,), the ids of the references with at least one face,
    sorted. A chunk that a killed run finished is kept. Raises Refusal for no candidates, more rejected
    pictures than allowed, and a given face_del.npy that is not one of these references.
    """
    candidates, references = open_source(parameters.candidates), open_source(parameters.references)
    skip = parameters.except_every
    positions = [i for i in range(len(candidates)) if skip is None or i % skip]
    if not positions:
        raise Refusal("{}: no candidates for classes with faces there".format(parameters.candidates))
    if parameters.face_del is not None:
        read_face_del(parameters.face_del, references.names)
    if parameters.detector == "face_recognition":
        refuse_unless_installed()
    found = _search(folder, "candidates", candidates, positions, parameters, parameters.most)
    with_face = _write_references(folder, references, parameters)
    chosen = found.faces[: parameters.most]
    write_json(
        os.path.join(str(folder), CHOSEN),
        {
            "source": parameters.candidates,
            "detector": dict(found.detector, parameters=_detector_values(parameters)),
            "candidates": found.searched,
            "found": len(found.faces),
            "pictures": [{"name": name, "boxes": boxes} for name, boxes in chosen],
            "rejected": found.rejected,
        },
    )
    _forget_chunks(folder)
    return FacesFound(found.searched, len(found.faces), len(chosen), with_face)


class ChosenPictures(NamedTuple):
    """The pictures with faces that faces.json lists."""

    source: str
    names: Tuple[str, ...]


def read_chosen(folder):
    """ChosenPictures of `<folder>/faces.json`; Refusal where it is missing or something else."""
    path = os.path.join(str(folder), CHOSEN)
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        return ChosenPictures(
            str(content["source"]), tuple(str(picture["name"]) for picture in content["pictures"])
        )
    except FileNotFoundError:
        raise Refusal("{}: missing: run the stage `faces` first".format(path)) from None
    except (ValueError, KeyError, TypeError) as error:
        raise Refusal(
            "{}: no list of pictures with faces ({!r}): run `faces` again".format(path, error)
        ) from None


def read_face_del(path, reference_names):
    """The ids in a face_del.npy, <U7 (n,); Refusal unless they are sorted, unique and among the references.

    reference_names: file names of the references.
    """
    try:
        ids = numpy.load(str(path), allow_pickle=False)
    except FileNotFoundError:
        raise Refusal(
            "{}: missing: give the published face_del.npy, or null to search".format(path)
        ) from None
    except (ValueError, OSError, EOFError) as error:
        raise Refusal("{}: not a .npy file ({})".format(path, " ".join(str(error).split()))) from None
    if ids.dtype != numpy.dtype(ID) or ids.ndim != 1:
        raise Refusal(
            "{}: expected one dimension of dtype {}, found {} of {}".format(path, ID, ids.shape, ids.dtype)
        )
    unordered = numpy.flatnonzero(ids[1:] <= ids[:-1])
    if len(unordered):
        raise Refusal(
            "{}: row {}: {} after {}, expected sorted ids that come once".format(
                path, unordered[0] + 1, ids[unordered[0] + 1], ids[unordered[0]]
            )
        )
    unknown = sorted(set(ids.tolist()) - {_id(name) for name in reference_names})
    if unknown:
        raise Refusal("{}: {} is not among the references: take their own list".format(path, unknown[0]))
    return ids


def _write_references(folder, references, parameters):
    target = os.path.join(str(folder), REFERENCES)
    if parameters.face_del is not None:
        shutil.copyfile(parameters.face_del, target)
        return len(read_face_del(target, references.names))
    too_long = [name for name in references.names if len(_id(name)) > 7]
    if too_long:
        raise Refusal(
            "{}: the id has more than 7 characters: {} holds {}".format(too_long[0], REFERENCES, ID)
        )
    found = _search(folder, "references", references, list(range(len(references))), parameters, None)
    ids = sorted(_id(name) for name, _ in found.faces)
    with replacing(target) as file:
        numpy.save(file, numpy.array(ids, dtype=ID), allow_pickle=False)
    return len(ids)


class _Search(NamedTuple):
    faces: list
    """(name, boxes) of each picture with a face, in the source's order."""
    rejected: list
    searched: int
    detector: dict


def _search(folder, kind, source, positions, parameters, most):
    size = parameters.pictures_per_chunk
    chunks = [positions[start : start + size] for start in range(0, len(positions), size)]
    done = {number: _finished(_chunk_path(folder, kind, number, size)) for number in range(len(chunks))}
    missing = [number for number in range(len(chunks)) if done[number] is None]

    def make_worker():
        detector = make_detector(parameters.detector, parameters.cascade, parameters.face_recognition)
        crops = os.path.join(str(folder), CROPS) if parameters.crops and kind == "references" else None
        return lambda number: _search_chunk(
            _chunk_path(folder, kind, number, size), source, chunks[number], detector, crops
        )

    runs = map_units(make_worker, missing, parameters.workers, folders=[folder])
    new = iter(progress(runs, len(missing), "faces in " + kind))
    faces, rejected, searched, detector = [], [], 0, {}
    for number, chunk in enumerate(chunks):
        result = next(new) if done[number] is None else done[number]
        faces += result["faces"]
        rejected += result["rejected"]
        searched += len(chunk)
        detector = result["detector"]
        if most is not None and len(faces) >= most:
            break
    new.close()
    runs.close()
    _refuse_rejected(rejected, parameters.max_rejected, kind)
    return _Search(faces, rejected, searched, detector)


def _search_chunk(path, source, positions, detector, crops):
    faces, rejected = [], []
    for position in positions:
        try:
            image = decode_image(source.read(position))
        except RejectedImage as error:
            rejected.append({"name": source.names[position], "reason": error.reason})
            continue
        boxes = detector.boxes(image)
        if boxes:
            faces.append([source.names[position], boxes])
            if crops is not None:
                write_crops(crops, _id(source.names[position]), image, boxes)
    about = {"name": type(detector).__name__, "library": detector.library, "version": detector.version}
    result = {"faces": faces, "rejected": rejected, "detector": about}
    write_json(path, result)
    return result


def enlarged(box, size):
    """A face's box (left, top, right, bottom) in a picture of `size` (W, H), made larger by W // 8 to both
    sides and H // 8 up and down, within the picture."""
    width, height = size
    left, top, right, bottom = box
    return (
        max(left - width // 8, 0),
        max(top - height // 8, 0),
        min(right + width // 8, width),
        min(bottom + height // 8, height),
    )


def write_crops(folder, reference, image, boxes):
    """Write the enlarged faces of one reference as `<reference>_<20 + j>.jpg`, quality 100."""
    os.makedirs(folder, exist_ok=True)
    image = image.convert("RGB")
    for number, box in enumerate(boxes, FIRST_CROP):
        with replacing(os.path.join(folder, "{}_{}.jpg".format(reference, number))) as file:
            image.crop(enlarged(box, image.size)).save(file, "JPEG", quality=100)


def _refuse_rejected(rejected, most, kind):
    if len(rejected) > most:
        raise Refusal(
            "{} of the {} cannot be read (allowed: {}); the first is {}: {}: mend or remove them, or raise "
            "max_rejected".format(len(rejected), kind, most, rejected[0]["name"], rejected[0]["reason"])
        )


def _detector_values(parameters):
    return dataclasses.asdict(getattr(parameters, parameters.detector))


def _finished(path):
    try:
        with open(path, encoding="utf-8") as file:
            result = json.load(file)
    except FileNotFoundError:
        return None
    return None if result["rejected"] else result  # rejected pictures may have been mended since


def _chunk_path(folder, kind, number, size):
    return os.path.join(str(folder), "{}-{}-{:05d}.chunk.json".format(kind, size, number))


def _forget_chunks(folder):
    for name in os.listdir(str(folder)):
        if name.endswith(".chunk.json"):
            os.unlink(os.path.join(str(folder), name))


def _id(name):
    return os.path.splitext(name)[0]
