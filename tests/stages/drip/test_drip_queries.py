import io
import signal
import tarfile

import pytest
from PIL import Image

from encore.data.augment import drip_chain
from encore.data.shards import ShardSet
from encore.runtime.refusal import Refusal
from encore.systems.drip import held_out_queries
from encore.systems.drip.samples import check_ground_truth
from tests.encore.killed_run import die, finish, start
from tests.stages.drip.drip_size import QUERIES, recorded, run, write_size


def test_queries_are_made_of_references_and_distractors(tmp_path, monkeypatch):
    write_size(tmp_path)
    run(tmp_path, monkeypatch, "queries")
    queries = ShardSet(tmp_path / "data/drip/queries")
    assert queries.names == ["Q{:05d}.jpg".format(number) for number in range(24 + 32)]
    assert check_ground_truth(str(tmp_path / "data/drip/queries/ground_truth.csv")) == (56, 32)
    counts = {"queries": 56, "bytes": queries.manifest.bytes, "raised_steps": 0}
    assert recorded(tmp_path, "metrics", "queries") == counts
    assert not (tmp_path / "data/drip/queries" / held_out_queries.NOTES).exists()
    assert not (tmp_path / "data/isc_queries").exists()


def test_the_seed_and_nothing_of_the_machine_decides_on_the_queries(tmp_path, monkeypatch):
    made = QUERIES["held_out"]
    found = []
    for name, changes in (
        ("one", {}),
        ("two", {"workers": 2}),
        ("seed", {"held_out": dict(made, seed=1)}),
        ("intensity", {"held_out": dict(made, chain=dict(made["chain"], intensity=0.0))}),
    ):
        (tmp_path / name).mkdir()
        write_size(tmp_path / name, queries=dict(QUERIES, **changes))
        run(tmp_path / name, monkeypatch, "queries")
        found.append(ShardSet(tmp_path / name / "data/drip/queries").manifest.digest)
    assert found[0] == found[1] and len(set(found)) == 3


def test_given_queries_are_taken_as_they_are(tmp_path, monkeypatch):
    file = io.BytesIO()
    Image.new("RGB", (9, 7), (10, 200, 30)).save(file, "JPEG")
    with tarfile.open(str(tmp_path / "raw.tar"), "w") as tar:
        for name in ("Q00000.jpg", "Q00001.jpg"):
            member = tarfile.TarInfo("queries/" + name)
            member.size = len(file.getvalue())
            tar.addfile(member, io.BytesIO(file.getvalue()))
    (tmp_path / "truth.csv").write_text("query_id,reference_id\nQ00000,R000001\nQ00001,\n")
    given = dict(QUERIES, images="raw.tar#queries", ground_truth="truth.csv", held_out=None)
    write_size(tmp_path, queries=given)
    (tmp_path / "inputs" / "drip_imagenet.json").unlink()  # only made queries need other pictures
    run(tmp_path, monkeypatch, "queries")
    queries = ShardSet(tmp_path / "data/drip/queries")
    assert queries.names == ["Q00000.jpg", "Q00001.jpg"] and queries.read(1) == file.getvalue()
    assert check_ground_truth(str(tmp_path / "data/drip/queries/ground_truth.csv")) == (2, 1)


def test_both_or_neither_is_refused(tmp_path, monkeypatch):
    write_size(tmp_path, queries=dict(QUERIES, held_out=None))
    with pytest.raises(Refusal, match="drip.queries: give either ground_truth .* or held_out"):
        run(tmp_path, monkeypatch, "queries")


def broken(step, but=()):
    """`step` of the chain raises, but for its calls number `but`."""
    calls, whole = [], drip_chain._STEPS[step]

    def made(*arguments, **values):
        calls.append(step)
        if len(calls) in but:
            return whole(*arguments, **values)
        raise TypeError("another version")

    return dict(drip_chain._STEPS, **{step: made})


@pytest.mark.parametrize("workers", [1, 2])
def test_a_step_that_always_raises_is_refused_and_not_left_out(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(drip_chain, "_STEPS", broken("hflip"))
    write_size(tmp_path, queries=dict(QUERIES, workers=workers))
    message = r"drip.queries.max_raised: .* more than 0.01 of all views.*: hflip [0-9]+ times in 56 views"
    with pytest.raises(Refusal, match=message):
        run(tmp_path, monkeypatch, "queries")
    assert not (tmp_path / "data").exists() and not (tmp_path / "metrics").exists()


def test_what_raises_and_is_allowed_is_counted(tmp_path, monkeypatch):
    counts, digests = [], []
    for name, workers in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(drip_chain, "_STEPS", broken("hflip"))
            write_size(tmp_path / name, queries=dict(QUERIES, workers=workers, max_raised=1.0))
            run(tmp_path / name, patch, "queries")
        counts.append(recorded(tmp_path / name, "metrics", "queries"))
        digests.append(ShardSet(tmp_path / name / "data/drip/queries").manifest.digest)
    # A step that raises is drawn anew with the others, so that at last no query has it.
    assert counts[0] == counts[1] and digests[0] == digests[1]
    assert counts[0]["raised_hflip"] == counts[0]["raised_steps"] > 5
    (tmp_path / "whole").mkdir()
    write_size(tmp_path / "whole", queries=dict(QUERIES, max_raised=0.5))
    run(tmp_path / "whole", monkeypatch, "queries")
    whole = ShardSet(tmp_path / "whole/data/drip/queries").manifest
    assert whole.digest != digests[0]
    (tmp_path / "other").mkdir()
    write_size(tmp_path / "other")
    run(
        tmp_path / "other", monkeypatch, "queries"
    )  # what is tolerated decides on no query, nor on the recipe
    assert ShardSet(tmp_path / "other/data/drip/queries").manifest.recipe_digest == whole.recipe_digest


def killed(folder, killed_at=None):
    """In a process of its own, a run in which a step always raises; making query `killed_at` kills it."""
    made = open(str(folder / "made"), "w")
    jpeg = held_out_queries.jpeg

    def counted(*arguments):
        made.write("*")
        made.flush()
        if made.tell() == killed_at:
            die()
        return jpeg(*arguments)

    drip_chain._STEPS = broken("hflip")
    held_out_queries.jpeg = counted
    with pytest.MonkeyPatch.context() as patch:
        run(folder, patch, "queries")


def test_counts_survive_a_kill(tmp_path):
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
        write_size(tmp_path / name, queries=dict(QUERIES, max_raised=1.0))
    assert finish(start(killed, tmp_path / "whole")) == 0
    assert finish(start(killed, tmp_path / "cut", 50)) == -signal.SIGKILL
    assert finish(start(killed, tmp_path / "cut")) == 0
    assert len((tmp_path / "cut" / "made").read_text()) == 56 - 40  # two shards of 20 were whole
    found = [recorded(tmp_path / name, "metrics", "queries") for name in ("whole", "cut")]
    assert found[0] == found[1] and found[0]["raised_hflip"] > 5


def test_a_picture_of_which_nothing_can_be_made_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(drip_chain, "_STEPS", broken("final_resize"))
    write_size(tmp_path)
    with pytest.raises(Refusal, match="queries: 11 augmentations of a picture in a row failed, .* TypeError"):
        run(tmp_path, monkeypatch, "queries")


def test_a_step_that_raises_seldom_is_borne(tmp_path, monkeypatch):
    monkeypatch.setattr(drip_chain, "_STEPS", broken("final_resize", but=range(2, 1000)))
    write_size(tmp_path)
    run(tmp_path, monkeypatch, "queries")
    counts = recorded(tmp_path, "metrics", "queries")
    assert counts["raised_steps"] == counts["raised_final_resize"] == 1
