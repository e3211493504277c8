import dataclasses
import io
import os

import pytest
from PIL import Image

from encore.data.manifest import verify_manifest
from encore.data.shards import ShardSet
from encore.runtime.refusal import Refusal
from encore.systems.isc.query_set import GROUND_TRUTH, HeldOutQueries, QueryParameters, write_query_set
from encore.systems.isc.training_set import ChainParameters


@pytest.fixture
def pictures(tmp_path):
    """Folders references (3), distractors (2), foreign (2) with different noise pictures."""
    for folder, count, prefix in (("references", 3, "R"), ("distractors", 2, "D"), ("foreign", 2, "F")):
        (tmp_path / folder).mkdir()
        for i in range(count):
            Image.effect_noise((40, 40), 30 + 20 * i).convert("RGB").save(
                str(tmp_path / folder / "{}{:06d}.png".format(prefix, i))
            )
    return tmp_path


def made(folder, **changes):
    chain = ChainParameters("isc_100k_256", 32, str(folder / "foreign"), 2, "basic")
    held_out = HeldOutQueries(chain=chain, quality=100, per_reference=2, per_distractor=3, seed=5)
    values = dict(
        images=str(folder / "distractors"),
        references=str(folder / "references"),
        workers=1,
        images_per_shard=5,
        max_rejected=0,
        held_out=held_out,
    )
    return QueryParameters(**dict(values, **changes))


def given(folder, truth, **changes):
    (folder / "truth.csv").write_text(truth)
    return made(
        folder,
        images=str(folder / "references"),
        held_out=None,
        ground_truth=str(folder / "truth.csv"),
        **changes,
    )


def write(folder, parameters):
    os.makedirs(str(folder))
    write_query_set(folder, parameters, "digest", "isc_track2")
    return [line.split(",") for line in (folder / GROUND_TRUTH).read_text().splitlines()]


def test_half_of_the_queries_have_no_match_and_numbers_tell_nothing(pictures):
    rows = write(pictures / "set", made(pictures))
    assert rows[0] == ["query_id", "reference_id"]
    truth = dict(rows[1:])
    assert sorted(truth) == ["Q{:05d}".format(i) for i in range(12)]
    assert sorted(truth.values()) == [""] * 6 + sorted(["R000000", "R000001", "R000002"] * 2)
    assert [bool(truth[query]) for query in sorted(truth)] != [True] * 6 + [False] * 6
    images = ShardSet(pictures / "set")
    assert images.names == [query + ".jpg" for query in sorted(truth)]
    assert Image.open(io.BytesIO(images.read(3))).size == (32, 32)


def test_same_with_two_workers_another_seed_differs(pictures):
    parameters = made(pictures)
    write(pictures / "one", parameters)
    write(pictures / "two", dataclasses.replace(parameters, workers=2))
    other = dataclasses.replace(parameters, held_out=dataclasses.replace(parameters.held_out, seed=6))
    write(pictures / "other", other)
    one, two, three = (ShardSet(pictures / name).manifest.digest for name in ("one", "two", "other"))
    assert one == two != three
    assert verify_manifest(pictures / "two", content=True) == []


def test_recipe_holds_the_numbers_behind_the_name_but_not_the_workers(pictures):
    recipe = made(pictures).recipe()
    assert recipe["held_out"]["chain"]["values"]["rotation_degrees"] == 50
    assert "workers" not in recipe


def test_given_queries_keep_their_bytes_and_truth(pictures):
    rows = write(pictures / "set", given(pictures, "query_id,reference_id\nR000001,R000009\nR000000,\n"))
    assert rows[1:] == [["R000000", ""], ["R000001", "R000009"]]
    images = ShardSet(pictures / "set")
    assert images.read(1) == (pictures / "references" / "R000001.png").read_bytes()


def test_truth_of_another_query_set_is_refused(pictures):
    with pytest.raises(Refusal, match="the query Q00007 is not among the query pictures"):
        write(pictures / "set", given(pictures, "query_id,reference_id\nQ00007,R000001\n"))


def test_a_broken_query_is_refused_by_name(pictures):
    (pictures / "references" / "R000001.png").write_bytes(b"")
    for number, parameters in enumerate((given(pictures, "query_id,reference_id\n"), made(pictures))):
        with pytest.raises(Refusal, match="R000001.png: the file is empty"):
            write(pictures / "set{}".format(number), parameters)


def test_neither_or_both_kinds_are_refused(pictures):
    for parameters in (made(pictures, held_out=None), made(pictures, ground_truth="x.csv")):
        with pytest.raises(Refusal, match="give either ground_truth .* or held_out"):
            write_query_set(pictures, parameters, "digest", "isc_track2")
