"""Sample ids, and which of them are classes of a training stage and which are pasted on them.

Spec drip 1.1, 1.4 and 2. One picture is one class. The published class order of ImageNet and face pictures is
that of two stored id lists that are not obtainable; without them it is a recorded permutation here, so class
numbers, and which pictures a stage that takes a part of them trains on, differ from the authors'.
"""

from __future__ import annotations

import collections.abc
import hashlib
import re
from dataclasses import dataclass

import numpy as np

from encore.metrics.predictions import PairIds, read_ground_truth
from encore.runtime.atomic import replacing
from encore.runtime.bounded_file import file_size
from encore.runtime.refusal import Refusal, brief
from encore.runtime.safe_load import PICKLE_STARTS, safe_load
from encore.runtime.seeds import derive_seed


@dataclass(frozen=True)
class IdSpace:
    """All ids of one letter, and the folder that their pictures `<id>.jpg` lie in."""

    letter: str
    digits: int
    folder: str
    published_count: int

    def sample_id(self, number):
        """The id of picture `number`: 7 -> "T000007"."""
        return "{}{:0{}d}".format(self.letter, number, self.digits)

    def holds(self, text):
        """Whether `text` is an id of this space."""
        return re.fullmatch("{}[0-9]{{{}}}".format(self.letter, self.digits), text) is not None


ID_SPACES = {
    space.letter: space
    for space in (
        IdSpace("T", 6, "training_images", 1000000),
        IdSpace("I", 7, "imagenet_images", 1431167),
        IdSpace("F", 6, "face_frames", 476584),
        IdSpace("Q", 5, "query_images", 100000),
        IdSpace("R", 6, "reference_images", 1000000),
    )
}
"""By first letter. Q: 50,000 a phase. F: frames of DFDC videos, which no published model uses."""

LARGEST_LIST = 1 << 26
"""Bytes of a list of ids: 64 MiB, four times the longest published one."""
SYNTHETIC = "_SYN"
"""Behind the id of an augmented view: T000000_SYN."""


def id_space(sample_id):
    """The IdSpace of `sample_id`, by its first letter (published rule); Refusal for what is no id of it."""
    space = ID_SPACES.get(sample_id[:1]) if isinstance(sample_id, str) else None
    if space is None:
        raise Refusal(
            "{!r}: expected a sample id that starts with one of {}: correct the list that holds it".format(
                sample_id, ", ".join(ID_SPACES)
            )
        )
    if not space.holds(sample_id):
        raise Refusal(
            "{!r}: expected a sample id like {}: correct the list that holds it".format(
                sample_id, space.sample_id(0)
            )
        )
    return space


class SampleIds(collections.abc.Sequence):
    """An immutable sequence of sample ids in eight bytes each: 1.5 million fit in 12 MB, shared by workers.

    Indexing gives str, slicing and `+` give SampleIds; `random.choice` takes it. ids: an iterable of str;
    Refusal, naming it, for one that is no sample id.
    """

    def __init__(self, ids=()):
        ids = list(ids)
        for sample_id in ids:
            id_space(sample_id)
        self._texts = np.array(ids, dtype="S8")

    @classmethod
    def _of(cls, texts):
        ids = object.__new__(cls)
        ids._texts = texts
        return ids

    @classmethod
    def numbered(cls, letter, numbers):
        """The ids of `letter` with these `numbers`, in their order; Refusal for one with too many digits."""
        space, numbers = ID_SPACES[letter], np.asarray(numbers, dtype=np.int64)
        wrong = numbers[(numbers < 0) | (numbers >= 10**space.digits)]
        if len(wrong):
            raise Refusal(
                "{}: no number of an id like {}: ask for fewer".format(wrong[0], space.sample_id(0))
            )
        characters = np.zeros((len(numbers), 8), dtype=np.uint8)
        characters[:, 0] = ord(letter)
        for place in range(space.digits, 0, -1):
            numbers, characters[:, place] = numbers // 10, ord("0") + numbers % 10
        return cls._of(characters.view("S8").ravel())

    def __len__(self):
        return len(self._texts)

    def __getitem__(self, place):
        found = self._texts[place]
        return SampleIds._of(found) if isinstance(place, slice) else found.decode("ascii")

    def __add__(self, other):
        return SampleIds._of(np.concatenate([self._texts, other._texts]))

    def __eq__(self, other):
        return isinstance(other, SampleIds) and np.array_equal(self._texts, other._texts)

    __hash__ = None

    def texts(self):
        """The ids as a bytes array, dtype "S8", (n,)."""
        return self._texts.copy()

    @property
    def digest(self):
        """SHA-256 over the ids in order, one a line, 64 hex digits."""
        return hashlib.sha256(b"".join(text + b"\n" for text in self._texts.tolist())).hexdigest()


def read_id_list(path, letter):
    """The ids of a published list (a pickle of a list, tuple or 1-D array of str) or of `write_id_list`.

    letter: the id space they must be of. A pickle that asks for code is refused unread, and so are an entry
    that is no id of this space and one that stands twice, each by name.
    """
    with _opened(path) as file:
        pickled = file.read(2) in PICKLE_STARTS
    entries = _entries(safe_load(path), path) if pickled else _lines(path)
    space = ID_SPACES[letter]
    for row, entry in enumerate(entries):
        if not isinstance(entry, str) or not space.holds(entry):
            raise Refusal(
                "{}: entry {}: expected an id like {}, found {}: give the list of {}".format(
                    path, row, space.sample_id(0), brief(entry), space.folder
                )
            )
    ids = SampleIds(entries)
    values, counts = np.unique(ids.texts(), return_counts=True)
    if len(values) != len(ids):
        raise Refusal(
            "{}: the id {} stands {} times: one picture is one class, remove the repetition".format(
                path, values[counts > 1][0].decode("ascii"), counts[counts > 1][0]
            )
        )
    return ids


def _opened(path):
    try:
        file_size(str(path), LARGEST_LIST)
        return open(str(path), "rb")
    except OSError as error:
        raise Refusal(
            "{}: cannot be read ({}): mend the path, or give none for a seeded order".format(
                path, error.strerror
            )
        ) from None


def _entries(content, path):
    if isinstance(content, np.ndarray) and content.ndim == 1:
        return content.tolist()
    if isinstance(content, (list, tuple)):
        return list(content)
    raise Refusal(
        "{}: expected a pickled list or 1-D array of ids, found {}: give the published list".format(
            path, type(content).__name__
        )
    )


def _lines(path):
    with _opened(path) as file:
        return file.read().decode("utf-8", "backslashreplace").splitlines()


def write_id_list(path, ids):
    """Record `ids` (SampleIds) as text, one a line, atomically; `read_id_list` reads it."""
    with replacing(path) as file:
        file.write(b"".join(text + b"\n" for text in ids.texts().tolist()))


def seeded_order(letter, numbers, seed):
    """The ids `numbers` of `letter` (a count n: 0 to n - 1) in an order that depends on these, `seed` and
    `letter` only (SampleIds).

    In place of a published list. From numpy's legacy generator, whose numbers stay the same in all versions.
    """
    generator = np.random.RandomState(derive_seed(seed, "drip", "samples", letter) % 2**32)
    numbers = np.arange(numbers) if isinstance(numbers, int) else np.asarray(numbers)
    return SampleIds.numbered(letter, numbers[generator.permutation(len(numbers))])


@dataclass(frozen=True, eq=False)
class TrainingSamples:
    """The samples of one training stage."""

    classes: SampleIds
    """The class of a picture is its place here."""
    overlay_pool: SampleIds
    """Pictures that are no class, from which overlay steps draw."""


def training_samples(facebook, imagenet, face_frames, available_facebook, imagenet_list, face_list=()):
    """The TrainingSamples of a stage with so many classes of each kind (published: `--n-...-samples`).

    available_facebook: how many training pictures there are, T000000 on (published: 1,000,000).
    imagenet_list: SampleIds, needed even without ImageNet classes, for the pool. face_list: the same, read
    only where `face_frames` > 0. Published quirk: without Facebook classes the pool holds none of their
    pictures. Faces are never in it. Refusal for too few pictures of a kind (the published slices pass that
    over and count classes that do not exist), for no class, and for an empty pool (where the published run
    stops at its first overlay).
    """
    kinds = (
        ("n_facebook_samples", facebook, available_facebook),
        ("n_imagenet_samples", imagenet, len(imagenet_list)),
        ("n_frm_face_samples", face_frames, len(face_list) if face_frames else 0),
    )
    for name, wanted, found in kinds:
        if not 0 <= wanted <= found:
            raise Refusal(
                "{}: expected 0 to {}, as many pictures as there are, found {}: ask for fewer, or add "
                "pictures".format(name, found, wanted)
            )
    training = SampleIds.numbered("T", np.arange(available_facebook))
    imagenet_list, face_list = _all_of("I", imagenet_list), _all_of("F", face_list)
    classes = training[:facebook] + imagenet_list[:imagenet] + face_list[:face_frames]
    if not len(classes):
        raise Refusal("n_facebook_samples, n_imagenet_samples and n_frm_face_samples: all 0: ask for classes")
    pool = (training[facebook:] if facebook else SampleIds()) + imagenet_list[imagenet:]
    if not len(pool):
        raise Refusal(
            "overlay pool: empty: all {} training and {} ImageNet pictures are classes: leave one out".format(
                facebook, imagenet
            )
        )
    return TrainingSamples(classes, pool)


def _all_of(letter, ids):
    ids = ids if isinstance(ids, SampleIds) else SampleIds(ids)
    foreign = np.flatnonzero(ids.texts().astype("S1") != letter.encode("ascii"))
    if len(foreign):
        raise Refusal(
            "{}: expected ids of {} only: give the right list".format(
                ids[foreign[0]], ID_SPACES[letter].folder
            )
        )
    return ids


PUBLISHED_TRUTH = (25000, 4991)
"""Labelled queries of public_ground_truth.csv, and those with a reference."""


def check_ground_truth(path):
    """(labelled queries, true pairs) of a ground truth CSV; Refusal for one that is none or of other ids."""
    ids = PairIds()
    try:
        truth = read_ground_truth(str(path), ids)
    except OSError as error:
        raise Refusal("{}: cannot be read ({}): mend the path".format(path, error.strerror)) from None
    for table, letter in ((ids.queries, "Q"), (ids.references, "R")):
        for name in table.names:
            if not ID_SPACES[letter].holds(name):
                raise Refusal(
                    "{}: expected an id like {}, found {!r}: give the challenge's ground truth".format(
                        path, ID_SPACES[letter].sample_id(0), name
                    )
                )
    return len(truth.labelled), len(truth)
