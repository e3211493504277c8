"""Emojis, the font and its character table."""

from __future__ import annotations

import pickle
import sys

import pytest
from PIL import features

from encore.data.augment import assets, text
from encore.runtime.refusal import Refusal
from tests.encore.data.augment import published_runs as runs


def test_emojis_are_those_of_the_published_runs_in_order():
    assert assets.Assets("basic").emoji_names == runs.read("trace.json")["emoji_listing"]


def test_an_emoji_is_decoded_once():
    installed = assets.Assets("basic")
    assert installed.emoji("alien.png") is installed.emoji("alien.png")


def test_augly_is_not_imported():
    imported = "augly" in sys.modules
    assets.Assets("basic")
    assert ("augly" in sys.modules) == imported


def test_the_character_table():
    characters = assets.Assets("basic").font.characters
    # The first 100 code points and the length as listed in the specification.
    listed = [0, 33, 44, 46] + list(range(48, 59)) + [171, 187]
    listed += list(range(1536, 1541)) + list(range(1542, 1564)) + list(range(1566, 1622))
    assert [ord(c) for c in characters[:100]] == listed and len(characters) == 1020
    assert assets.Assets("basic").font.string([1, 1021]) == "!!"


def test_the_digest_covers_names_and_content(tmp_path):
    installed = assets.Assets("basic")
    for path in [assets.EMOJI_FOLDER, "fonts"]:
        (tmp_path / path).mkdir(parents=True)
    for path in [
        assets.EMOJI_FOLDER + "/alien.png",
        assets.FONT_FILE,
        assets.FONT_FILE.replace(".ttf", ".pkl"),
    ]:
        with open("{}/{}".format(installed.folder, path), "rb") as file:
            (tmp_path / path).write_bytes(file.read())
    first = assets.Assets("basic", tmp_path).digest()
    assert len(first) == 64 and first != installed.digest()
    (tmp_path / assets.EMOJI_FOLDER / "alien.png").write_bytes(b"other")
    second = assets.Assets("basic", tmp_path).digest()
    (tmp_path / assets.EMOJI_FOLDER / "alien.png").rename(tmp_path / assets.EMOJI_FOLDER / "beta.png")
    assert len({first, second, assets.Assets("basic", tmp_path).digest()}) == 3


def test_without_augly_the_refusal_says_what_to_install(monkeypatch):
    monkeypatch.setattr(assets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Refusal, match="pip install --no-deps augly==0.1.4"):
        assets.Assets("basic")


def test_raqm_is_refused_where_pillow_would_fall_back(monkeypatch):
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(Refusal, match="fribidi") as refusal:
        assets.Assets("raqm")
    assert "\n" not in str(refusal.value)
    assets.Assets("basic")
    with pytest.raises(Refusal, match="'fancy'"):
        assets.Assets("fancy")


@pytest.mark.parametrize(
    "table",
    [b"", b"garbage", pickle.dumps(print), pickle.dumps([1, "a"]), pickle.dumps({1: 2}), pickle.dumps([])],
)
def test_a_character_table_that_is_no_list_of_numbers_is_refused_and_runs_nothing(tmp_path, table):
    (tmp_path / "font.pkl").write_bytes(table)
    with pytest.raises(Refusal, match="augly"):
        text.TextFont(tmp_path / "font.ttf", "basic")


def test_the_layouts_differ_where_letters_join():
    if not features.check("raqm"):
        pytest.skip("needs raqm")
    joined = "\u0628\u0628\u0628"
    basic, raqm = (
        runs.mask_array(assets.Assets(name).font.glyphs(joined, 40)[0]) for name in ("basic", "raqm")
    )
    assert basic.shape != raqm.shape or (basic != raqm).any()
