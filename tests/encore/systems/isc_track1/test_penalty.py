import numpy as np
import pytest

from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.penalty import Penalty, read_back

MILLIONTHS = np.arange(-3000000, 1000000, 211)


def test_the_reader_of_pandas_1_3_is_followed_digit_by_digit():
    # 17 digits with the zero before the point: the last of 0.46944099999999994 is not read (golden run)
    assert read_back(0.46944099999999994) == 0.4694409999999999
    assert read_back(0.07 - 0.05) == 200000000000000 / 1e16  # 0.020000000000000004 -> 0.0200000000000000
    assert read_back(-0.025) == -0.025 and read_back(0.0) == 0.0
    assert read_back(0.05000099999999999 - 0.05) == pytest.approx(1e-6, rel=1e-9)


def read_by_character(text):
    """The number in `text`, character by character: at most 17 digits, then a power of ten."""
    mantissa, _, power = text.lstrip("-").partition("e")
    number, digits, exponent, behind_point = 0.0, 0, int(power or 0), False
    for character in mantissa:
        if character == ".":
            behind_point = True
        elif digits < 17:
            number = number * 10.0 + float(character)
            digits += 1
            exponent -= behind_point
        else:
            exponent += not behind_point
    number = number / float("1e{}".format(-exponent)) if exponent < 0 else number * 10.0**exponent
    return -number if text.startswith("-") else number


def test_every_score_is_read_character_by_character():
    scores = (MILLIONTHS / 1e6 - 0.05).tolist() + [1.0 / 3, 99.99999999999999, 1e-7 / 3, 2e-11 / 3]
    assert [read_back(score) for score in scores] == [read_by_character(repr(score)) for score in scores]


def test_about_one_score_in_four_changes_once_and_then_no_more():
    scores = (MILLIONTHS[MILLIONTHS > -100000] / 1e6 - 0.05).tolist()
    once = [read_back(score) for score in scores]
    assert np.abs(np.subtract(once, scores)).max() <= 2.3e-16
    assert 0.2 < np.mean(np.not_equal(once, scores)) < 0.26  # published code: 22.7 %
    assert [read_back(score) for score in once] == once


def test_grades_are_the_scores_in_order_and_equality():
    penalty = Penalty(0.05)
    grade = penalty.penalised((3 * MILLIONTHS).astype(np.int32))
    scores = penalty.scores(grade)
    assert grade.dtype == np.int32
    assert scores.tolist() == [read_back(score) for score in (MILLIONTHS / 1e6 - 0.05).tolist()]
    whole = (MILLIONTHS - 50000) / 1e6
    assert ((grade % 3 == 0) == (scores == whole)).all()
    assert 0.05 < np.mean(grade % 3 != 0) < 0.5
    together = np.concatenate([grade, (3 * (MILLIONTHS - 50000)).astype(np.int32)])
    values = np.concatenate([scores, whole])
    order = np.lexsort((together, values))
    assert (np.sign(np.diff(values[order])) == np.sign(np.diff(together[order].astype(np.int64)))).all()


def test_scores_that_come_later_and_lie_elsewhere_are_learnt():
    penalty, at_once = Penalty(), Penalty()
    grades = (3 * MILLIONTHS).astype(np.int32)
    pieces = [grades[12000:], grades[:100], grades[9000:15000], grades]
    for piece in pieces:
        assert penalty.penalised(piece).tolist() == at_once.penalised(grades)[np.isin(grades, piece)].tolist()
    assert len(penalty.penalised(grades[:0])) == 0 and len(penalty.scores(grades[:0])) == 0


def test_no_penalty_changes_nothing():
    grades = (3 * MILLIONTHS).astype(np.int32)
    assert (Penalty(0.0).penalised(grades) == grades).all()
    assert Penalty(0.0).scores(grades).tolist() == (MILLIONTHS / 1e6).tolist()


def test_a_penalty_with_more_decimals_than_scores_have_is_refused():
    with pytest.raises(Refusal, match="penalty 5e-07: expected at most six decimals"):
        Penalty(5e-07)
