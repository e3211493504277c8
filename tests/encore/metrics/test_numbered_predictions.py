import time

import numpy as np
import pytest

from encore.metrics.predictions import (
    PairIds,
    read_predictions,
    write_numbered_predictions,
    write_predictions,
)
from encore.runtime.refusal import Refusal


class Pairs:
    def __init__(self, query, reference, score):
        self.query, self.reference = np.array(query, dtype=np.int64), np.array(reference, dtype=np.int64)
        self.score = np.array(score, dtype=np.float32)


def test_equals_the_plain_writer(tmp_path, monkeypatch):
    random = np.random.RandomState(1)
    queries, references = ["Q{}_{}".format(i, "x" * (i % 4)) for i in range(50)], ["R1", "R22", "R333"]
    pairs = Pairs(random.randint(0, 50, 1000), random.randint(0, 3, 1000), random.standard_normal(1000) * 30)
    write_predictions(
        tmp_path / "plain.csv",
        [queries[row] for row in pairs.query],
        [references[row] for row in pairs.reference],
        pairs.score,
        decimals=6,
    )
    for rows in (7, 10**6):
        monkeypatch.setattr("encore.metrics.predictions.ROWS_AT_A_TIME", rows)
        for ids in ((queries, references), (np.array(queries, "S"), np.array(references, "S"))):
            write_numbered_predictions(tmp_path / "fast.csv", ids[0], ids[1], pairs)
            assert (tmp_path / "fast.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()


def test_no_pairs_and_no_ids(tmp_path):
    for ids in ([], ["Q1"]):
        write_numbered_predictions(tmp_path / "p.csv", ids, ids, Pairs([], [], []))
        assert (tmp_path / "p.csv").read_bytes() == b"query_id,reference_id,score\n"
        assert len(read_predictions(tmp_path / "p.csv", PairIds())) == 0


@pytest.mark.parametrize("bad", ["Q,1", "Q\n1", "Q\r1", "", "Q\0x", "Q\u00e4"])
def test_ids_that_readers_could_not_read_are_refused(tmp_path, bad):
    pairs = Pairs([0], [0], [0.5])
    for ids in ((["Q1", bad], ["R1"]), (["Q1"], ["R1", bad])):
        with pytest.raises(Refusal, match="ids"):
            write_numbered_predictions(tmp_path / "p.csv", ids[0], ids[1], pairs)
    assert list(tmp_path.iterdir()) == []


def test_scores_without_digits_are_refused(tmp_path):
    for score in (np.nan, np.inf):
        with pytest.raises(Refusal, match="finite scores"):
            write_numbered_predictions(tmp_path / "p.csv", ["Q1"], ["R1"], Pairs([0], [0], [score]))


def test_a_million_rows_take_less_than_two_seconds(tmp_path):
    random = np.random.RandomState(0)
    queries = np.array(["Q{:05d}_{}".format(i // 28, i % 28) for i in range(140000)], "S")
    references = np.array(["R{:06d}".format(i) for i in range(100000)], "S")
    pairs = Pairs(
        random.randint(0, 140000, 1000000), random.randint(0, 100000, 1000000), random.randn(1000000)
    )
    seconds = []
    for _ in range(2):
        start = time.process_time()
        write_numbered_predictions(tmp_path / "p.csv", queries, references, pairs)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 2.0
    with open(str(tmp_path / "p.csv"), "rb") as file:
        assert sum(1 for _ in file) == 1000001
