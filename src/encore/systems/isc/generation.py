"""The training sets of ISC 2021: one class a source picture, copy 0 resized, the others augmented."""

from __future__ import annotations

import io

from encore.data.augment.draws import Draws
from encore.data.images import RejectedImage, decode_image
from encore.runtime.seeds import derive_seed

JPEG_MODES = ("1", "L", "RGB", "CMYK", "YCbCr")
"""The modes that Pillow writes as JPEG."""


def generate_class(source, class_id, copies, chain, address, size, quality):
    """All copies of one class as [(name, JPEG bytes)], named `<class>_<copy>.jpg`, copies 0 to `copies` - 1.

    source: the bytes of one picture, decoded once. Copy 0 is the resized source, the others are augmented by
    `chain` (an IscChain whose recipe has this `size` in pixels), each from its own seed: any copy can be
    made again alone. address: (seed, system, ...). quality: 1 to 100; subsampling is Pillow's default 4:2:0,
    published also for quality 100. Raises RejectedImage for a source that cannot be decoded or whose copy 0
    JPEG cannot hold (ISC-2021 Track 2 spec, section 1), ValueError for another size than the recipe's or no
    copies.
    """
    if size != chain.recipe.size:
        raise ValueError("size {} differs from the recipe's {}".format(size, chain.recipe.size))
    if copies < 1:
        raise ValueError("copies must be at least 1, found {}".format(copies))
    image = decode_image(source)
    files = [jpeg(_first_copy(image, chain, copy_draws(address, class_id, 0)), quality)]
    # Step 1 of the chain, done once for all copies.
    image = image if image.mode == "RGB" else image.convert("RGB")
    for copy in range(1, copies):
        files.append(augment_once(image, chain, copy_draws(address, class_id, copy), quality))
    return [("{}_{}.jpg".format(class_id, copy), file) for copy, file in enumerate(files)]


def copy_draws(address, class_id, copy):
    """The random streams of one copy, addressed by (seed, system, ...), class and copy."""
    return Draws(derive_seed(*tuple(address) + ("generate", int(class_id), int(copy))))


def augment_once(image, chain, draws, quality):
    """One augmented copy of a decoded image as JPEG bytes; held-out queries are made so too, from their own
    draws.
    """
    return jpeg(chain(image, draws), quality)


def jpeg(image, quality):
    """A picture as the bytes of a JPEG file, default subsampling, without the source's metadata.

    Newer Pillow would copy the source's comment and XMP into the file; the published one (8.3.2) does not.
    """
    bare = image.copy()
    bare.info = {}
    file = io.BytesIO()
    bare.save(file, "JPEG", quality=quality)
    return file.getvalue()


def _first_copy(image, chain, draws):
    if chain.recipe.grey_first_copy:
        if image.mode.startswith("I;16"):
            raise RejectedImage(
                "mode {} has no conversion to RGB: the published run stops here".format(image.mode)
            )
    elif image.mode not in JPEG_MODES:
        raise RejectedImage(
            "mode {} cannot be written as JPEG without a conversion that the published script does not make: "
            "the published run stops here".format(image.mode)
        )
    return chain.first_copy(image, draws)
