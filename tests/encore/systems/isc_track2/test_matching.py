import csv
import json

import numpy as np
import pytest

from encore.data.image_source import open_source
from encore.runtime.refusal import Refusal
from encore.systems.isc.extraction import ExtractionRecipe, Extractor
from encore.systems.isc.prepared_pictures import Preparation
from encore.systems.isc_track2.matching import Match, MatchResult, Skipped, match_sources
from tests.encore.systems.isc.pictures import Pictures, png, small_network

RECIPE = ExtractionRecipe(scales=(24, 32), batch_size=4)


@pytest.fixture(scope="module")
def extractor():
    return Extractor(small_network(), RECIPE)


def test_copies_are_found_first_and_unreadable_pictures_listed(tmp_path, extractor):
    for folder, seeds in (("queries", (3, 1)), ("references", (0, 1, 2, 3))):
        (tmp_path / folder).mkdir()
        for seed in seeds:
            (tmp_path / folder / "{}, {}.png".format(folder, seed)).write_bytes(png(seed))
    (tmp_path / "references" / "notes.txt").write_text("no picture")
    result = match_sources(
        open_source(tmp_path / "queries"), open_source(tmp_path / "references"), extractor, top=2
    )
    first = [match for match in result.matches if match.rank == 1]
    assert [(match.query, match.reference) for match in first] == [
        ("queries, 1.png", "references, 1.png"),
        ("queries, 3.png", "references, 3.png"),
    ]
    assert all(match.score == pytest.approx(1, abs=1e-5) for match in first)
    assert [match.rank for match in result.matches] == [1, 2, 1, 2]
    assert [(skipped.collection, skipped.name) for skipped in result.skipped] == [("references", "notes.txt")]
    assert "not a readable picture" in result.skipped[0].reason


def test_scores_are_products_of_the_mean_descriptors(extractor):
    queries = Pictures({"a": png(0), "b": png(1)})
    references = Pictures({"c": png(2), "d": png(3), "e": png(4)})

    def described(images):
        scales = [extractor.in_memory(images, Preparation(size))[1].astype(np.float64) for size in (24, 32)]
        mean = sum(scales) / 2
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    products = described(queries) @ described(references).T
    for match in match_sources(queries, references, extractor, top=10).matches:
        row, column = "ab".index(match.query), "cde".index(match.reference)
        assert match.score == pytest.approx(products[row, column], abs=1e-5)
        assert match.rank == 1 + (products[row] > products[row, column]).sum()


def test_collections_without_pictures_are_refused(extractor):
    some, none, broken = Pictures({"a": png(0)}), Pictures({}), Pictures({"b": b""})
    with pytest.raises(Refusal, match="among the queries, found 0 files"):
        match_sources(none, some, extractor)
    with pytest.raises(Refusal, match="among the references, found 1 files and none that can be read: b"):
        match_sources(some, broken, extractor)


def test_results_are_written_as_csv(tmp_path):
    result = MatchResult(
        [Match('a, "b".png', "c\udcff.png", 1, 0.5)], [Skipped("queries", "d", "it is empty")]
    )
    result.write(tmp_path / "matches.csv")
    result.write_skipped(tmp_path / "rejected.json")
    with open(str(tmp_path / "matches.csv"), encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["query_id", "reference_id", "score"],
            ['a, "b".png', "c\\udcff.png", "0.5"],
        ]
    skipped = json.loads((tmp_path / "rejected.json").read_text())
    assert skipped == [{"folder": "queries", "name": "d", "reason": "it is empty"}]
