"""Emojis and fonts that AugLy ships, read from the installed package without importing it."""

from __future__ import annotations

import hashlib
import importlib.util
import os

from PIL import Image

from encore.data.augment.text import TextFont
from encore.runtime.refusal import Refusal

EMOJI_FOLDER = os.path.join("twemojis", "smileys")
FONT_FILE = os.path.join("fonts", "NotoNaskhArabic-Regular.ttf")


class Assets:
    """The 92 smileys and the font of the ISC-2021 generators.

    text_layout: "raqm" or "basic", see TextFont. emoji_names: sorted file names; the published scripts took
    the operating system's order, which differs between file systems. Raises Refusal where augly is not
    installed.
    """

    def __init__(self, text_layout, folder=None):
        self.folder = installed_folder() if folder is None else str(folder)
        self.emoji_names = sorted(os.listdir(os.path.join(self.folder, EMOJI_FOLDER)))
        self.font = TextFont(os.path.join(self.folder, FONT_FILE), text_layout)
        self._emojis = {}

    def emoji(self, name):
        """A decoded emoji (mode P, 72x72), loaded once."""
        if name not in self._emojis:
            with Image.open(os.path.join(self.folder, EMOJI_FOLDER, name)) as image:
                image.load()
                self._emojis[name] = image.copy()
        return self._emojis[name]

    def digest(self):
        """SHA-256 over names and content of all files that can reach a picture, as hex."""
        paths = [os.path.join(EMOJI_FOLDER, name) for name in self.emoji_names]
        paths += [FONT_FILE, FONT_FILE[: -len(".ttf")] + ".pkl"]
        return files_digest(self.folder, paths)


def files_digest(folder, paths):
    """SHA-256 over names and content of the files `paths` below `folder`, in their order, as hex."""
    total = hashlib.sha256()
    for path in paths:
        with open(os.path.join(folder, path), "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
        total.update("{} {}\n".format(path.replace(os.sep, "/"), content).encode("utf-8"))
    return total.hexdigest()


def installed_folder():
    """The `assets` folder of the installed augly package; nothing of augly is imported."""
    found = importlib.util.find_spec("augly")
    for place in (found.submodule_search_locations or []) if found is not None else []:
        folder = os.path.join(place, "assets")
        if os.path.isdir(os.path.join(folder, EMOJI_FOLDER)) and os.path.isfile(
            os.path.join(folder, FONT_FILE)
        ):
            return folder
    raise Refusal(
        "expected the augly package with its emojis and fonts, found none in this interpreter: "
        "run `pip install --no-deps augly==0.1.4`"
    )
