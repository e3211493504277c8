"""Which pictures are made together, and which of these batches a machine makes."""

from __future__ import annotations

from typing import NamedTuple, Tuple

from encore.runtime.refusal import Refusal


class PictureBatch(NamedTuple):
    """Pictures that are made together, and the batch's address: what its random numbers depend on."""

    address: Tuple[int, int]
    """(slot, place of the batch) or, by class, (rank, place of the batch)."""
    classes: Tuple[int, ...]
    slots: Tuple[int, ...]
    """Number of each picture within its class."""
    kept: Tuple[bool, ...]
    """Whether a picture is written; False: another batch writes this one, see `by_class`."""

    @property
    def name(self):
        return "%03d_%04d" % self.address


def planned(recipe, ipc_start=0, ipc_end=None, rank=None):
    """The batches of pictures `ipc_start` up to (not including) `ipc_end` of each class, in order.

    ipc_end: None stands for recipe.images_per_class. rank: by class only, that of one machine; None: all. Any
    division into ranges gives the same pictures. Raises Refusal for an empty range, one that goes beyond
    images_per_class, and a range by class.
    """
    ipc_end = recipe.images_per_class if ipc_end is None else ipc_end
    if not 0 <= ipc_start < ipc_end <= recipe.images_per_class:
        raise Refusal(
            "pictures %d to %d of each class: expected a range within 0 to %d (images_per_class)"
            % (ipc_start, ipc_end, recipe.images_per_class)
        )
    if recipe.batching == "class":
        if (ipc_start, ipc_end) != (0, recipe.images_per_class):
            raise Refusal("batching: class mixes all pictures of a class: divide the work by rank instead")
        return by_class(recipe, rank)
    if rank is not None:
        raise Refusal("a rank was given, but batching: slot divides the work by ipc_start and ipc_end")
    return by_slot(recipe, range(ipc_start, ipc_end))


def by_slot(recipe, slots):
    """One picture of each class, consecutive classes to a batch, slot after slot."""
    found = []
    for slot in slots:
        for place, first in enumerate(range(0, recipe.classes, recipe.batch)):
            classes = tuple(range(first, min(first + recipe.batch, recipe.classes)))
            found.append(PictureBatch((slot, place), classes, (slot,) * len(classes), (True,) * len(classes)))
    return found


def by_class(recipe, rank=None):
    """The published variant for several GPUs: picture i is number i % images_per_class of its class, and rank
    r of W takes pictures r, r + W, r + 2W, …, consecutive ones of which make a batch.

    Where W does not divide the number of pictures, the first ones are repeated at the end, as published;
    there whichever is written last stays, here the first.
    """
    ranks = recipe.ranks
    if rank is not None and not 0 <= rank < ranks:
        raise Refusal("rank %d: expected 0 to %d (batching has ranks: %d)" % (rank, ranks - 1, ranks))
    total = recipe.classes * recipe.images_per_class
    length = -(-total // ranks)
    found = []
    for own in range(ranks) if rank is None else (rank,):
        numbers = [own + ranks * k for k in range(length)]
        for place, first in enumerate(range(0, length, recipe.batch)):
            chosen = numbers[first : first + recipe.batch]
            pairs = [divmod(number % total, recipe.images_per_class) for number in chosen]
            classes, slots = zip(*pairs)
            found.append(PictureBatch((own, place), classes, slots, tuple(n < total for n in chosen)))
    return found
