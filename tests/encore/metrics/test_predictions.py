import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encore.metrics.definitions import ISC2021
from encore.metrics.predictions import (
    IdTable,
    PairIds,
    read_evaluation,
    read_ground_truth,
    read_predictions,
    write_ground_truth,
    write_predictions,
)
from encore.runtime.refusal import Refusal

TEXT = st.text(
    st.characters(blacklist_characters=",\r\n", blacklist_categories=("Cs",)), min_size=1, max_size=12
)
SCORE = st.floats(allow_nan=False)


def read(tmp_path, text, reader=read_predictions):
    path = tmp_path / "file.csv"
    path.write_bytes(text.encode("utf-8"))
    ids = PairIds()
    return reader(path, ids), ids


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(rows=st.lists(st.tuples(TEXT, TEXT, SCORE), max_size=8))
def test_written_predictions_read_back_exactly(tmp_path, rows):
    path = tmp_path / "round.csv"
    write_predictions(path, [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
    ids = PairIds()
    predictions = read_predictions(path, ids)
    assert [
        (ids.queries.names[q], ids.references.names[r], score)
        for q, r, score in zip(predictions.query, predictions.reference, predictions.score.tolist())
    ] == rows


def test_header_is_optional_and_line_ends_are_free(tmp_path):
    expected = ([0, 1], [0, 0], [0.5, float("-inf")])
    for text in (
        "query_id,reference_id,score\nQ1,R1,.5\nQ2,R1,-inf\n",
        "Q1,R1,.5\nQ2,R1,-inf",
        "Q1,R1,.5\r\nQ2,R1,-inf\r\n",
        "query_id,reference_id,score\r\nQ1,R1,.5\r\nQ2,R1,-inf",
    ):
        predictions, ids = read(tmp_path, text)
        assert (
            predictions.query.tolist(),
            predictions.reference.tolist(),
            predictions.score.tolist(),
        ) == expected
        assert ids.queries.names == ["Q1", "Q2"]


def test_a_header_alone_and_an_empty_file_hold_no_predictions(tmp_path):
    for text in ("", "query_id,reference_id,score", "query_id,reference_id,score\n"):
        assert len(read(tmp_path, text)[0]) == 0


@pytest.mark.parametrize(
    "text, message",
    [
        ("Q1,R1,.5\nQ2,R2\n", r"3 fields.*'Q2,R2' in line 2 of .*file\.csv"),
        ("Q1,R1,.5\nQ2,R2,.5,.6\n", r"'Q2,R2,\.5,\.6' in line 2"),
        ("Q1,R1\nQ2,R2,.5,.6\n", "'Q1,R1' in line 1"),
        ("Q1,R1,.5\n\nQ2,R2,.5\n", "a blank line in line 2"),
        ("Q1,R1,.5\n\n", "a blank line in line 2"),
        ("query_id,reference_id,score\nQ1,R1,high\n", "'high' in line 2"),
        ("Q1,R1,\n", "'' in line 1"),
        ("Q1,R1,1\nQ1,R2,nan\n", "NaN in line 2"),
        (",R1,1\n", "query id, found none in line 1"),
        ("Q1,R1,1\nQ1,,1\n", "reference id, found none in line 2"),
        ("Query_ID, reference_id, Score\nQ1,R1,.5\n", "header"),
        ("\ufeffquery_id,reference_id,score\nQ1,R1,.5\n", "header"),
    ],
)
def test_malformed_predictions_are_refused_by_line(tmp_path, text, message):
    with pytest.raises(Refusal, match=message):
        read(tmp_path, text)


def test_ground_truth_keeps_repeated_pairs_and_queries_without_a_match(tmp_path):
    truth, ids = read(tmp_path, "query_id,reference_id\nQ1,R1\nQ5,\nQ1,R1\nQ2,R7\n", read_ground_truth)
    assert truth.query.tolist() == [0, 0, 2]
    assert truth.reference.tolist() == [0, 0, 1]
    assert [ids.queries.names[number] for number in truth.labelled] == ["Q1", "Q5", "Q2"]
    assert ids.references.names == ["R1", "R7"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("query_id,reference_id,score\nQ1,R1\n", "header"),
        (
            "query,reference\nQ1,R1\n",
            "header 'query_id,reference_id' or none, found 'query,reference' in line 1",
        ),
        ("Q1,R1\nQ2\n", "2 fields between commas, found 'Q2' in line 2"),
        ("Q1,R1\n,R2\n", "line 2"),
    ],
)
def test_malformed_ground_truth_is_refused_by_line(tmp_path, text, message):
    with pytest.raises(Refusal, match=message):
        read(tmp_path, text, read_ground_truth)


def test_a_first_line_that_is_no_header_is_a_pair_as_published(tmp_path):
    truth, _ = read(tmp_path, "left,right\nQ1,R1\n", read_ground_truth)
    assert len(truth) == 2


def test_ids_that_differ_in_any_byte_are_different():
    numbers = IdTable().encode([b"a", b"a\0", b"a ", b"A", b"a" * 1000, b"a" * 1001, b"a", b"\xff"])
    assert numbers.tolist() == [0, 1, 2, 3, 4, 5, 0, 6]


def test_decimals_round_as_the_published_lists_do(tmp_path):
    write_predictions(tmp_path / "p.csv", ["Q1"], ["R1"], [0.12345678], decimals=6)
    assert (tmp_path / "p.csv").read_text() == "query_id,reference_id,score\nQ1,R1,0.123457\n"


def test_writers_refuse_what_readers_could_not_read(tmp_path):
    for query, score in (("Q,1", 0.5), ("Q\n1", 0.5), ("Q1", float("nan"))):
        with pytest.raises(Refusal):
            write_predictions(tmp_path / "p.csv", [query], ["R1"], [score])
    with pytest.raises(ValueError, match="unequal length"):
        write_predictions(tmp_path / "p.csv", ["Q1"], ["R1", "R2"], [0.5])
    assert list(tmp_path.iterdir()) == []


def test_written_ground_truth_reads_back(tmp_path):
    write_ground_truth(tmp_path / "g.csv", ["Q1", "Q2"], ["R1", ""])
    ids = PairIds()
    truth = read_ground_truth(tmp_path / "g.csv", ids)
    assert (len(truth), len(truth.labelled)) == (1, 2)


def test_half_a_million_lines_are_read_and_scored_quickly(tmp_path):
    random = np.random.RandomState(0)
    query, reference = np.divmod(random.permutation(50000 * 1000)[:500000], 1000)
    scores = random.standard_normal(500000)
    (tmp_path / "p.csv").write_text(
        "".join(
            "Q{:05d},R{:06d},{:.6f}\n".format(*row)
            for row in zip(query.tolist(), reference.tolist(), scores.tolist())
        )
    )
    write_ground_truth(tmp_path / "g.csv", ["Q{:05d}".format(q) for q in range(10000)], ["R000001"] * 10000)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        predictions, truth, _ = read_evaluation(tmp_path / "p.csv", tmp_path / "g.csv")
        ISC2021.evaluate(predictions, truth)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 2.0
