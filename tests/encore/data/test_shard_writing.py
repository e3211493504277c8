import json
import os

import pytest

from encore.data.manifest import verify_manifest
from encore.data.shard_writing import Rejected, write_data_set
from encore.data.shards import ShardSet
from encore.runtime.refusal import Refusal

UNITS = [[0, 1, 2], [3, 4], [5, 6]]


def make_worker():
    def work(unit):
        for i in unit:
            if i == 4:
                yield Rejected("4.png", "the file is empty (0 bytes)")
            else:
                yield "{}_0.jpg".format(i), b"%d" % i, i

    return work


def write(folder, workers=1, max_rejected=1, worker=make_worker):
    os.makedirs(str(folder), exist_ok=True)
    return write_data_set(folder, UNITS, worker, workers, "recipe", max_rejected, "test")


def test_same_with_any_number_of_workers(tmp_path):
    one, two = write(tmp_path / "one"), write(tmp_path / "two", workers=2)
    assert one == two and one.count == 6
    assert verify_manifest(tmp_path / "two", content=True) == []
    assert ShardSet(tmp_path / "two").names == [
        "0_0.jpg",
        "1_0.jpg",
        "2_0.jpg",
        "3_0.jpg",
        "5_0.jpg",
        "6_0.jpg",
    ]
    assert json.load(open(str(tmp_path / "one" / "rejected.json"))) == [
        {"name": "4.png", "reason": "the file is empty (0 bytes)"}
    ]
    assert sorted(os.listdir(str(tmp_path / "one"))) == sorted(
        ["manifest.json", "rejected.json"]
        + ["shard-0000{}.{}".format(i, end) for i in range(3) for end in ("tar", "index.npy")]
    )


def test_goes_on_after_a_kill_without_making_finished_shards_again(tmp_path):
    def make_dying():
        work = make_worker()

        def die_at_5(unit):
            if 5 in unit:
                raise RuntimeError("killed")
            return work(unit)

        return die_at_5

    def make_counting():
        work = make_worker()

        def count(unit):
            made.append(unit)
            return work(unit)

        return count

    made = []
    with pytest.raises(RuntimeError):
        write(tmp_path / "set", worker=make_dying)
    assert not (tmp_path / "set" / "manifest.json").exists()
    again = write(tmp_path / "set", worker=make_counting)
    # The first shard stands; the second is made again since its rejected picture may have been mended.
    assert made == [UNITS[1], UNITS[2]]
    assert again == write(tmp_path / "whole")


def test_a_cut_shard_is_made_again(tmp_path):
    with pytest.raises(Refusal):
        write(tmp_path / "set", max_rejected=0)
    (tmp_path / "set" / "shard-00000.tar").write_bytes(b"cut")
    assert write(tmp_path / "set") == write(tmp_path / "whole")


def test_too_many_rejected_names_the_first(tmp_path):
    with pytest.raises(
        Refusal, match=r"1 of the source pictures .*allowed: 0.* first is 4.png: the file is empty"
    ):
        write(tmp_path / "set", max_rejected=0)
