"""Glyphs of a font in AugLy's assets, as Pillow 8.3.2 places them."""

from __future__ import annotations

import pickle
from functools import lru_cache

from PIL import ImageFont, features

from encore.runtime.refusal import Refusal

LAYOUTS = ("raqm", "basic")


class TextFont:
    """A font file with AugLy's character table beside it (`<font>.pkl`), in one text layout.

    layout: "raqm" shapes Arabic and needs the host's fribidi library, "basic" does not shape; Pillow would
    fall back from the one to the other without a word, so "raqm" is refused where it is absent.
    """

    def __init__(self, path, layout):
        self.path = str(path)
        self.layout = layout
        self._engine = _layout_engine(layout)
        self.characters = _characters(self.path[: -len(".ttf")] + ".pkl")

    def string(self, text):
        """The characters of `text`, which are indices into the table, taken modulo its length."""
        count = len(self.characters)
        return "".join([self.characters[index % count] for index in text])

    def extent(self, string, pixels):
        """(width, height) in pixels of one line of `string`; the height counts from the text's position.

        Pillow 8.3.2's `getsize`, which later ones no longer have.
        """
        face = _face(self.path, max(1, pixels), self._engine)
        left, _, right, bottom = face.getbbox(string)
        return right - left, bottom

    def line_height(self, pixels):
        """Height in pixels of a line of "A", counted as in `extent`, whatever a text's own letters."""
        return _line_height(self.path, max(1, pixels), self._engine)

    def glyphs(self, string, pixels):
        """The 8-bit mask of `string` at a font size in pixels, and its (x, y) offset from the text's
        position.

        Size 0 renders like size 1: FreeType does so under Pillow 8.3.2, later Pillow refuses 0.
        """
        return _face(self.path, max(1, pixels), self._engine).getmask2(string, "L")


@lru_cache(maxsize=512)
def _face(path, pixels, engine):
    return ImageFont.truetype(path, pixels, layout_engine=engine)


@lru_cache(maxsize=8192)
def _line_height(path, pixels, engine):
    return _face(path, pixels, engine).getbbox("A")[3]


def _layout_engine(layout):
    if layout not in LAYOUTS:
        raise Refusal(
            "text_layout must be one of {}, found {!r}: correct the parameter".format(LAYOUTS, layout)
        )
    if layout == "raqm" and not features.check("raqm"):
        raise Refusal(
            "text_layout 'raqm' needs Pillow with raqm and the host's fribidi library, found none: install "
            "libfribidi0 (Debian's name), or set text_layout to 'basic' (other pixels wherever text is drawn)"
        )
    engines = getattr(ImageFont, "Layout", None)
    if engines is None:
        return ImageFont.LAYOUT_RAQM if layout == "raqm" else ImageFont.LAYOUT_BASIC
    return engines.RAQM if layout == "raqm" else engines.BASIC


class _PlainUnpickler(pickle.Unpickler):
    """Loads containers, strings and numbers; a pickle that names any class or function is refused."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError("it names {}.{}".format(module, name))


def _characters(path):
    """The characters of a font: its table is a pickled list of code points."""
    try:
        with open(path, "rb") as file:
            table = _PlainUnpickler(file).load()
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise Refusal(
            "expected a pickled list of code points at {}: {}; reinstall augly".format(path, error)
        ) from error
    if not isinstance(table, list) or not table or not all(type(code) is int for code in table):
        raise Refusal(
            "expected a list of code points in {}, found other content; reinstall augly".format(path)
        )
    return [chr(code) for code in table]
