"""The whole chain against the files that the published scripts wrote, file by file."""

import io
import json
import os
import tarfile

import numpy as np
import pytest

from encore.systems.isc_track1.data_sets import DATA_SETS
from encore.systems.isc_track1.fusion import Combination, TrustedQueries
from encore.systems.isc_track1.penalty import Penalty
from encore.systems.isc_track1.picture_ids import QUERIES, REFERENCES
from encore.systems.isc_track1.score_list import read_score_list
from encore.systems.isc_track1.submission import PAIR_VOTES, Fusion, PublishedFiles, fused_models
from encore.systems.isc_track1.test_plan import TestPlan
from tests.golden_files import golden

PLAN = TestPlan(
    tags=tuple(data_set.tag for data_set in DATA_SETS),
    pair_tags=(),
    backbones=("50", "152", "ibn"),
    groups=("all",),
    scales=(256, 200, 320),
    multi_part_scale=256,
)


def extracted(name, folder):
    with tarfile.open(str(golden("isc/" + name))) as archive:
        for member in archive.getmembers():
            if member.isfile():
                path = os.path.join(str(folder), member.name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as file:
                    file.write(archive.extractfile(member).read())
    return str(folder)


def expected_files():
    with tarfile.open(str(golden("isc/fusion_expected.tar.gz"))) as archive:
        return {
            member.name: io.TextIOWrapper(archive.extractfile(member), "ascii").read()
            for member in archive.getmembers()
            if member.isfile()
        }


EXPECTED = expected_files()


def published_combination():
    """The Combination of the golden run: its lists, and sizes checked against them."""
    lists = json.loads(golden("isc/fusion_lists.json").read_text())
    small = {}
    for side in (100, 150, 200):
        names = lists["query_wrong_{}_VD".format(side)]
        assert sorted(names) == sorted(
            name[:-4] for name, size in lists["query_sizes"].items() if min(size) < side
        )
        small[side] = QUERIES.encode(names, "golden")
    return Combination(small, REFERENCES.encode(lists["face_del"], "golden"), TrustedQueries(), Penalty())


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """(folder with every file of the chain, made from the golden lists; {scale: {name: ScoreList}})."""
    inputs = extracted("fusion_in.tar.gz", tmp_path_factory.mktemp("in"))
    folder = str(tmp_path_factory.mktemp("out"))
    combination = published_combination()
    fusion = Fusion(
        fused_models(PLAN),
        lambda *place: os.path.join(inputs, *place),
        combination,
        PublishedFiles(folder, combination.penalty),
    )
    parts = fusion.parts()
    scales = {scale: fusion.scale(scale, parts) for scale in fusion.models.scales}
    submission = fusion.submission(scales)
    fusion.second_submission(submission, read_score_list(os.path.join(inputs, "final", PAIR_VOTES)))
    return folder, scales


@pytest.fixture(scope="module")
def written(chain):
    return chain[0]


def test_lists_and_scales_are_joined_in_the_published_order(chain):
    assert list(chain[1]) == [256, 320, 200]
    joined = "baseline_CC R blur_CC face_CC color_CC dark_CC baseline_BW u_CC color_BW blur_BW face_BW opa_CC"
    for lists in chain[1].values():
        assert list(lists) == joined.split()


def rows(text):
    """(ids, scores) of a CSV text, its rows sorted as pairs and scores."""
    lines = text.splitlines()
    assert lines[0] == "query_id,reference_id,score"
    split = sorted(
        ((query, reference), float(score))
        for query, reference, score in (line.split(",") for line in lines[1:])
    )
    return [row[0] for row in split], np.array([row[1] for row in split])


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_published_file_has_the_same_rows(written, name):
    with open(os.path.join(written, name)) as file:
        ids, scores = rows(file.read())
    expected_ids, expected = rows(EXPECTED[name])
    assert ids == expected_ids
    assert np.abs(scores - expected).max() < 1e-9


@pytest.mark.parametrize(
    "name", ["256_320_200_50k.csv", "256_320_200_50k_agg.csv", "final_50k.csv", "final_50k_agg.csv"]
)
def test_what_was_read_back_once_is_equal_to_the_last_bit(written, name):
    with open(os.path.join(written, name)) as file:
        assert rows(file.read())[1].tolist() == rows(EXPECTED[name])[1].tolist()


def test_no_file_is_left_out_and_none_is_added(written):
    found = {
        os.path.relpath(os.path.join(place, name), written)
        for place, _, names in os.walk(written)
        for name in names
    }
    copies = {"final_{}/R-baseline-CC-234-50k.csv".format(scale) for scale in (200, 320)}
    assert found == set(EXPECTED) | copies
    texts = []
    for folder in ("final", "final_200", "final_320"):
        with open(os.path.join(written, folder, "R-baseline-CC-234-50k.csv")) as file:
            texts.append(file.read())
    assert texts[0] == texts[1] == texts[2]


def test_penalised_rows_come_first(written):
    with open(os.path.join(written, "final", "step_11_50k.csv")) as file:
        queries = [line.split(",")[0] for line in file.read().splitlines()[1:]]
    trusted = ["_" in name and (int(name.split("_")[1]) in {0} | set(range(1000, 1020))) for name in queries]
    assert trusted == sorted(trusted) and True in trusted and False in trusted


def test_submissions_fall_in_score_and_name_every_pair_once(written):
    for name in ("submit_50k.csv", "submit_50k_choice2.csv"):
        with open(os.path.join(written, name)) as file:
            lines = [line.split(",") for line in file.read().splitlines()[1:]]
        scores = [float(line[2]) for line in lines]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(line[:2]) for line in lines}) == len(lines) > 100
