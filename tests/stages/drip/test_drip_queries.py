import io
import tarfile

import pytest
from PIL import Image

from encore.data.shards import ShardSet
from encore.runtime.refusal import Refusal
from encore.systems.drip.samples import check_ground_truth
from tests.stages.drip.drip_size import QUERIES, recorded, run, write_size


def test_queries_are_made_of_references_and_distractors(tmp_path, monkeypatch):
    write_size(tmp_path)
    run(tmp_path, monkeypatch, "queries")
    queries = ShardSet(tmp_path / "data/drip/queries")
    assert queries.names == ["Q{:05d}.jpg".format(number) for number in range(24 + 32)]
    assert check_ground_truth(str(tmp_path / "data/drip/queries/ground_truth.csv")) == (56, 32)
    assert recorded(tmp_path, "metrics", "queries") == {"queries": 56, "bytes": queries.manifest.bytes}
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
