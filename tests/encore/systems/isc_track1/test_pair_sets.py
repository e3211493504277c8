"""The data set of the pair models: given pairs keep their bytes, made ones are one plain, one augmented."""

import dataclasses
import os

import pytest
from PIL import Image

from encore.data.labels import label_by_first_appearance
from encore.data.shards import ShardSet
from encore.runtime.refusal import Refusal
from encore.systems.isc.training_set import ChainParameters
from encore.systems.isc_track1.pairs import HeldOutPairs, PairParameters, write_pairs


@pytest.fixture
def pictures(tmp_path):
    for folder, prefix, count, end in (
        ("q", "Q0000", 7, ".jpg"),
        ("r", "R00000", 6, ".png"),
        ("f", "F", 2, ".png"),
    ):
        (tmp_path / folder).mkdir()
        for i in range(count):
            Image.effect_noise((40, 40), 30 + 20 * i).convert("RGB").save(
                str(tmp_path / folder / "{}{}{}".format(prefix, i, end))
            )
    return tmp_path


def parameters(folder, **changes):
    held_out = HeldOutPairs(ChainParameters("isc_100k_256_big", 32, str(folder / "f"), 2, "basic"), 100, 5)
    values = dict(
        queries=str(folder / "q"),
        references=str(folder / "r"),
        ground_truth=None,
        held_out=held_out,
        workers=1,
        pairs_per_shard=3,
    )
    return PairParameters(**dict(values, **changes))


def given(folder, truth):
    (folder / "truth.csv").write_text("query_id,reference_id\n" + truth)
    return parameters(folder, held_out=None, ground_truth=str(folder / "truth.csv"))


def written(folder, values):
    os.makedirs(str(folder), exist_ok=True)
    return tuple(write_pairs(folder, values, "digest"))


def test_given_pairs_keep_the_bytes_of_their_files_and_the_last_goes(pictures):
    # five pairs in the order of their ids, one reference twice, a query without a match, a repeated row
    rows = "Q00006,R000000\nQ00001,R000005\nQ00000,\nQ00002,R000005\nQ00001,R000002\n"
    rows += 2 * "Q00005,R000001\n"
    assert written(pictures / "set", given(pictures, rows))[:3] == (8, 4, 1)
    images = ShardSet(pictures / "set")
    expected = [("Q00001", "R000002"), ("Q00001", "R000005"), ("Q00002", "R000005"), ("Q00005", "R000001")]
    for number, (query, reference) in enumerate(expected):
        for copy, path in enumerate(
            (pictures / "q" / (query + ".jpg"), pictures / "r" / (reference + ".png"))
        ):
            i = images.index_of("{}_{}{}".format(number, copy, path.suffix))
            assert images.read(i) == path.read_bytes() and images.labels[i] == number
    assert label_by_first_appearance(images.names).classes == 4


def test_made_pairs_hold_a_picture_and_one_augmented_copy(pictures):
    assert written(pictures / "one", parameters(pictures))[:3] == (8, 4, 3)
    written(pictures / "two", parameters(pictures, workers=2, pairs_per_shard=1))
    one, two = ShardSet(pictures / "one"), ShardSet(pictures / "two")
    assert one.names == ["{}_{}.jpg".format(c, n) for c in range(4) for n in (0, 1)]
    assert one.read(4) == (pictures / "q" / "Q00002.jpg").read_bytes() != one.read(5)
    assert one.manifest.digest == two.manifest.digest
    held_out = dataclasses.replace(parameters(pictures).held_out, seed=6)
    written(pictures / "other", parameters(pictures, held_out=held_out))
    other = ShardSet(pictures / "other")
    assert [one.read(i) == other.read(i) for i in range(8)] == [True, False] * 4


@pytest.mark.parametrize(
    "row, message",
    [
        ("Q00009,R000001\n", "the query Q00009 is not among the pictures"),
        ("Q00001,R000009\n", "the reference R000009 is not among the pictures"),
        ("Q00001,R000001\n", "1 pairs, expected at least 4"),
    ],
)
def test_other_ground_truth_is_refused(pictures, row, message):
    with pytest.raises(Refusal, match=message):
        written(pictures / "set", given(pictures, row))


def test_a_broken_picture_is_refused_by_name(pictures):
    (pictures / "q" / "Q00001.jpg").write_bytes(b"")
    rows = "".join("Q0000{0},R00000{0}\n".format(i) for i in range(4))
    for number, values in enumerate((given(pictures, rows), parameters(pictures))):
        with pytest.raises(Refusal, match="Q00001.jpg: the file is empty"):
            written(pictures / "set{}".format(number), values)


def test_neither_or_both_kinds_are_refused(pictures):
    for changes in (dict(held_out=None), dict(ground_truth="x.csv")):
        with pytest.raises(Refusal, match="give either ground_truth .* or held_out"):
            written(pictures / "set", parameters(pictures, **changes))


def test_the_recipe_holds_the_chains_numbers_but_not_the_workers(pictures):
    recipe = parameters(pictures).recipe()
    assert recipe["held_out"]["chain"]["values"]["overlay_scale"] == (2.5, 3.5) and "workers" not in recipe
