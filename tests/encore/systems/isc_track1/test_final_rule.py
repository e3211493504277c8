"""Vote, combination and final rule against plain Python over random lists full of ties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encore.metrics.pairs import Predictions
from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.final_rule import best_two, higher_of, highest, most_confident
from encore.systems.isc_track1.fusion import Combination, TrustedQueries
from encore.systems.isc_track1.packing import packed
from encore.systems.isc_track1.penalty import Penalty
from encore.systems.isc_track1.picture_ids import QUERIES, REFERENCES
from encore.systems.isc_track1.score_list import ScoreList, joined, read_score_list
from encore.systems.isc_track1.vote import vote, vote_of_parts
from tests.encore.systems.isc_track1 import literal_fusion

FIRST, COUNT = 3, 2
TRUSTED = TrustedQueries(FIRST, COUNT, 2)
QUERY_NAMES = ["Q{:05d}_{}".format(n, k) for n in range(2, 5) for k in (0, 1, 4, 10, 1000, 1001, 1002)]
REFERENCE_NAMES = ["R000000", "R000001", "R999999"]
# millionths that lie 0.05 apart, where penalised and other scores meet, exactly or by a hair
MILLIONTHS = [
    620000,
    570000,
    570001,
    100000,
    50000,
    0,
    -50000,
    588882,
    538882,
    519441,
    469441,
    330003,
    280003,
]


def score_list(rows):
    rows = list(rows)
    return ScoreList(
        QUERIES.encode([row[0] for row in rows], "rows"),
        REFERENCES.encode([row[1] for row in rows], "rows"),
        np.array([3 * round(row[2] * 1e6) for row in rows], dtype=np.int32),
    )


def as_rows(rows, penalty=None):
    scores = (penalty or Penalty()).scores(rows.grade).tolist()
    return sorted(zip(QUERIES.texts(rows.query), REFERENCES.texts(rows.reference), scores))


def as_pairs(predictions):
    return [
        ("Q{:05d}".format(query), "R{:06d}".format(reference), score)
        for query, reference, score in zip(
            predictions.query.tolist(), predictions.reference.tolist(), predictions.score.tolist()
        )
    ]


def rows_of(queries, references):
    pairs = st.tuples(st.sampled_from(queries), st.sampled_from(references))
    return st.dictionaries(pairs, st.sampled_from(MILLIONTHS), max_size=25).map(
        lambda found: [pair + (millionths / 1e6,) for pair, millionths in found.items()]
    )


VOTERS = st.lists(rows_of(QUERY_NAMES, REFERENCE_NAMES), min_size=3, max_size=3)
PART_VOTERS = st.lists(
    rows_of(["Q00003", "Q00004"], [name + "_{}".format(k) for name in REFERENCE_NAMES for k in (0, 1, 18)]),
    min_size=3,
    max_size=3,
)
SMALL = {100: ["Q00003_1"], 150: ["Q00003_1", "Q00004_0"], 200: ["Q00003_1", "Q00004_0", "Q00002_1000"]}
FACES = ["R000001"]


def combination(penalty=0.05):
    small = {side: QUERIES.encode(names, "small") for side, names in SMALL.items()}
    return Combination(small, REFERENCES.encode(FACES, "faces"), TRUSTED, Penalty(penalty))


@settings(max_examples=30, deadline=None)
@given(VOTERS)
def test_a_pair_needs_two_of_three_votes(lists):
    votes = vote(map(score_list, lists))
    assert as_rows(votes.published()) == sorted(literal_fusion.vote(lists))
    assert as_rows(votes.distinct()) == sorted(set(literal_fusion.vote(lists)))


@settings(max_examples=40, deadline=None)
@given(PART_VOTERS)
def test_parts_need_all_three(lists):
    votes = vote_of_parts(map(score_list, lists))
    assert as_rows(votes.published()) == sorted(literal_fusion.vote_of_parts(lists))


def test_two_rows_of_two_votes_and_six_of_three():
    lists = [[("Q00003_1", "R000000", 0.1 * i)] for i in (1, 2, 3)]
    assert len(vote(map(score_list, lists)).published()) == 6
    assert len(vote(map(score_list, lists[:2] + [[]])).published()) == 2
    assert len(vote(map(score_list, lists[:1] + [[], []])).published()) == 0
    assert len(vote_of_parts(map(score_list, lists)).published()) == 3
    assert len(vote_of_parts(map(score_list, lists[:2] + [[]])).published()) == 0


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_a_vote_needs_three_lists(count):
    with pytest.raises(Refusal, match="lists of 3 backbones, found {}".format(count)):
        vote([score_list([])] * count)


def test_a_pair_twice_in_one_list_is_refused_by_file_and_lines(tmp_path):
    (tmp_path / "ibn.csv").write_text(
        "query_id,reference_id,score\nQ00003_1,R000000,0.100000\nQ00003_0,R000000,0.100000\n"
        "Q00003_1,R000000,0.200000\n"
    )
    lists = [score_list([("Q00003_1", "R000000", 0.1)])] * 2 + [read_score_list(tmp_path / "ibn.csv")]
    for order in ((0, 1, 2), (0, 2, 1), (2, 0, 1)):
        with pytest.raises(Refusal, match="ibn.csv: line 4: the pair of line 2 again"):
            vote([lists[i] for i in order])


CHAIN = st.tuples(VOTERS, PART_VOTERS, VOTERS, VOTERS)


def literal_chain(drawn, scales=2):
    """Combined rows of each scale: data sets of thresholds 200 and 100 in turn."""
    first, parts, second, third = drawn
    parts = literal_fusion.vote_of_parts(parts)
    return [
        literal_fusion.combine(
            [(200, literal_fusion.vote(one)), (100, literal_fusion.vote(other))],
            parts,
            SMALL,
            FACES,
            FIRST,
            COUNT,
            TRUSTED.detections,
        )
        for one, other in ((first, second), (third, first))[:scales]
    ]


def chain(drawn, combine, scales=2):
    first, parts, second, third = drawn
    parts = combine.of_parts(vote_of_parts(map(score_list, parts)))
    return [
        [
            combine.of_queries(vote(map(score_list, one)), 200),
            parts,
            combine.of_queries(vote(map(score_list, other)), 100),
        ]
        for one, other in ((first, second), (third, first))[:scales]
    ]


@settings(max_examples=40, deadline=None)
@given(CHAIN)
def test_the_chain_is_the_literal_one(drawn):
    combine = combination()
    literal = literal_chain(drawn)
    lists = chain(drawn, combine)
    for found, expected in zip(lists, literal):
        assert as_rows(combine.published(found), combine.penalty) == sorted(expected)
    raw = [row for scale in literal for row in scale]
    final = best_two([rows for scale in lists for rows in scale], combine.penalty).final()
    expected = literal_fusion.final_scores(raw)
    assert {row[:2]: row[2] for row in as_pairs(final)} == expected == literal_fusion.closed_form(raw)
    submission = most_confident(final, 4)
    assert as_pairs(submission) == literal_fusion.submission(expected, 4)
    pair_rows = literal_fusion.vote(drawn[2])
    second = higher_of(submission, highest([score_list(pair_rows)], combine.penalty))
    assert as_pairs(most_confident(second, 5)) == literal_fusion.second_submission(
        as_pairs(submission), pair_rows, 5
    )


WORKED = [  # verified by running the published code
    ([("_0", 0.9), ("_0", 0.9), ("_1000", 0.8), ("_1001", 0.7), ("", 0.85)], 0.875),
    ([("_0", 0.6), ("_1000", 0.4)], 0.5),
    ([("_0", 0.5), ("_4", 0.5)], 0.5),
    ([("_0", 0.6), ("_4", 0.5), ("_5", 0.5), ("_1000", 0.3)], 0.45),
    ([("_0", 0.1)], 0.1),
]


@pytest.mark.parametrize(("rows", "expected"), WORKED)
def test_worked_examples(rows, expected):
    lists = [score_list([("Q00003" + part, "R000000", score)]) for part, score in rows]
    result = best_two(lists, Penalty()).final()
    assert result.score.tolist() == [pytest.approx(expected, abs=1e-15)]
    literal = literal_fusion.closed_form([("Q00003" + part, "R000000", score) for part, score in rows])
    assert literal == {("Q00003", "R000000"): pytest.approx(expected, abs=1e-15)}


def test_a_penalised_score_cancels_another_only_where_the_published_reader_makes_them_equal():
    penalty = Penalty()
    met = kept = 0
    for millionths in range(60000, 61000, 9):
        penalised = ScoreList(
            *(score_list([("Q00003_1", "R000000", 0.0)]).__dict__[name] for name in ("query", "reference")),
            penalty.penalised(np.array([3 * millionths], dtype=np.int32)),
        )
        other = score_list(
            [("Q00003_0", "R000000", 0.9), ("Q00003_1000", "R000000", (millionths - 50000) / 1e6)]
        )
        two = best_two([penalised, other], penalty)
        if penalty.scores(penalised.grade)[0] == (millionths - 50000) / 1e6:
            met += 1
            assert np.isnan(two.second[0])
        else:
            kept += 1
            assert two.second[0] == max(penalty.scores(joined([penalised, other]).grade)[[0, 2]])
    assert met and kept


def test_filters_take_away_what_they_name():
    combine = combination(penalty=0.0)
    three = [[(name, "R000000", 0.1) for name in QUERY_NAMES]] * 3
    for least in (100, 150, 200):
        kept = {row[0] for row in as_rows(combine.of_queries(vote(map(score_list, three)), least))}
        assert kept == set(QUERY_NAMES) - set(SMALL[least])
    parts = [
        [("Q00003", name, 0.1 * i) for i, name in enumerate(("R000000_1", "R000001_1", "R999999_1"))]
    ] * 3
    found = as_rows(combine.of_parts(vote_of_parts(map(score_list, parts))))
    assert found == [("Q00003", "R000000", 0.0), ("Q00003", "R999999", 0.2)]


def test_two_parts_with_equal_scores_vanish():
    rows = [("Q00003", "R000000_1", 0.3), ("Q00003", "R000000_2", 0.3), ("Q00003", "R000000_3", 0.2)]
    votes = vote_of_parts(map(score_list, [rows] * 3))
    assert as_rows(combination(penalty=0.0).of_parts(votes)) == [("Q00003", "R000000", 0.2)]


@pytest.mark.parametrize(
    ("name", "trusted"),
    [("Q50000_0", True), ("Q99999_0", True), ("Q49999_0", False), ("Q50000", False), ("Q50000_1", False),
     ("Q50000_999", False), ("Q50000_1000", True), ("Q50000_1019", True), ("Q50000_1020", False)],
)  # fmt: skip
def test_whole_queries_and_their_best_detections_are_not_penalised(name, trusted):
    assert TrustedQueries().among(QUERIES.encode([name], "here")).tolist() == [trusted]
    score = combination().penalty.scores(
        Combination(
            {1: np.zeros(0, dtype=np.int32)}, np.zeros(0, dtype=np.int32), TrustedQueries(), Penalty()
        )
        .of_queries(vote([score_list([(name, "R000000", 0.5)])] * 3), 1)
        .grade
    )
    assert score.tolist() == [0.5 if trusted else 0.45]


def test_equal_scores_at_the_cut_stand_by_query_and_reference():
    query = np.array([3, 1, 2, 1, 0])
    reference = np.array([0, 9, 0, 2, 5])
    tied = Predictions(query, reference, np.array([0.5, 0.5, 0.5, 0.5, 0.4]))
    for order in (np.arange(5), np.arange(5)[::-1]):
        assert as_pairs(most_confident(tied.select(order), 3)) == [
            ("Q00001", "R000002", 0.5),
            ("Q00001", "R000009", 0.5),
            ("Q00002", "R000000", 0.5),
        ]


def test_nothing_in_is_nothing_out():
    empty = vote([score_list([])] * 3)
    lists = [
        combination().of_queries(empty, 200),
        combination().of_parts(vote_of_parts([score_list([])] * 3)),
    ]
    two = best_two(lists, Penalty())
    assert (
        len(two.final()) == len(most_confident(two.final())) == len(higher_of(two.final(), two.final())) == 0
    )


COLUMN = st.lists(st.integers(-(2**31), 2**31 - 1), min_size=12, max_size=12)


@settings(max_examples=25, deadline=None)
@given(COLUMN, COLUMN, COLUMN)
def test_packed_rows_sort_as_the_rows(one, two, three):
    for columns in ((one, two, three), (one, [0] * 12, two), ([value % 5 for value in one], three, two)):
        keys = packed(*(np.array(column) for column in columns)).tolist()
        rows = list(zip(*columns))
        assert [sorted(set(keys)).index(key) for key in keys] == [
            sorted(set(rows)).index(row) for row in rows
        ]
