"""The 872 emojis and 113 fonts of the drip training, read from the installed AugLy without importing it."""

from __future__ import annotations

import glob
import os

from PIL import Image

from encore.data.augment.assets import files_digest, installed_folder
from encore.data.augment.drip_fonts import DRIP_FONTS
from encore.data.augment.text import TextFont
from encore.runtime.refusal import Refusal

EMOJI_COUNT = 872
"""Emojis of AugLy 0.1.4 to 0.1.10, which are the same files."""


class DripAssets:
    """All emojis and the published 113 fonts of AugLy's assets.

    text_layout: "raqm" or "basic", see `encore.data.augment.text.TextFont`. emoji_names: "<folder>/<file>" in
    sorted order; the published code took the file system's order, which differs from one to the other.
    font_names: the published order. Raises Refusal where augly is not installed or lacks a file.
    """

    def __init__(self, text_layout, folder=None):
        self.folder = installed_folder() if folder is None else str(folder)
        emojis = os.path.join(self.folder, "twemojis")
        paths = glob.glob(os.path.join(glob.escape(emojis), "*", "*.png"))
        self.emoji_names = sorted(os.path.relpath(path, emojis).replace(os.sep, "/") for path in paths)
        self.font_names = list(DRIP_FONTS)
        self._check()
        self._fonts = {name: TextFont(self._font_path(name), text_layout) for name in self.font_names}
        self._emojis = {}

    def emoji(self, name):
        """A decoded emoji (modes P, RGBA or LA, 72x72), loaded once; not to be changed."""
        if name not in self._emojis:
            with Image.open(os.path.join(self.folder, "twemojis", name)) as image:
                image.load()
                self._emojis[name] = image.copy()
        return self._emojis[name]

    def font(self, name):
        """The TextFont of a name in font_names."""
        return self._fonts[name]

    def digest(self):
        """SHA-256 over names and content of all files that can reach a picture, as hex."""
        paths = [os.path.join("twemojis", *name.split("/")) for name in self.emoji_names]
        for name in self.font_names:
            paths += [os.path.join("fonts", name + ending) for ending in (".ttf", ".pkl")]
        return files_digest(self.folder, paths)

    def _font_path(self, name):
        return os.path.join(self.folder, "fonts", name + ".ttf")

    def _check(self):
        if len(self.emoji_names) != EMOJI_COUNT:
            raise Refusal(
                "expected {} emojis in {}, found {}: run `pip install --no-deps augly==0.1.4`".format(
                    EMOJI_COUNT, os.path.join(self.folder, "twemojis"), len(self.emoji_names)
                )
            )
        for name in self.font_names:
            if not os.path.isfile(self._font_path(name)):
                raise Refusal(
                    "expected the font {}, found none: run `pip install --no-deps augly==0.1.4`".format(
                        self._font_path(name)
                    )
                )
