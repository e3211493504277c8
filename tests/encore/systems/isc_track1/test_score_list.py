import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.penalty import Penalty
from encore.systems.isc_track1.picture_ids import QUERIES, REFERENCES
from encore.systems.isc_track1.score_list import joined, read_score_list, write_rows

HEADER = "query_id,reference_id,score\n"


def read(tmp_path, text, **options):
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode("utf-8"))
    return read_score_list(path, **options)


def scores(rows):
    return Penalty().scores(rows.grade).tolist()


def test_a_list_is_read_row_by_row(tmp_path):
    rows = read(tmp_path, HEADER + "Q50003_1019,R000001,-0.028808\nQ99998,R999999,0.700000\n")
    assert QUERIES.texts(rows.query) == ["Q50003_1019", "Q99998"]
    assert REFERENCES.texts(rows.reference) == ["R000001", "R999999"]
    assert scores(rows) == [-0.028808, 0.7]
    assert rows.grade.tolist() == [-28808 * 3, 700000 * 3]
    assert rows.place(1).endswith("list.csv: line 3")


def test_the_multi_part_list_is_turned_round(tmp_path):
    rows = read(tmp_path, "R000000_18,Q75000,0.350000\n", multi_part=True)
    assert (QUERIES.texts(rows.query), REFERENCES.texts(rows.reference)) == (["Q75000"], ["R000000_18"])


def test_other_line_ends_and_ways_to_write_a_score(tmp_path):
    text = "Q00000_0,R000000,0.35\r\nQ00000_1,R000000,1e-06\rQ00000_2,R000000,-2\nQ00000_3,R000000,12.500000"
    assert scores(read(tmp_path, text)) == [0.35, 1e-06, -2.0, 12.5]


@pytest.mark.parametrize("text", ["", HEADER, HEADER.strip()])
def test_an_empty_list_has_no_rows(tmp_path, text):
    if text == HEADER.strip():  # a header without a line end is a row that is none
        with pytest.raises(Refusal, match="line 1: expected an id"):
            read(tmp_path, text)
    else:
        assert len(read(tmp_path, text)) == 0


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("", "line 3: expected query_id,reference_id,score, found a blank line"),
        ("Q00000_1,R000000", "line 3: expected query_id,reference_id,score, found 'Q00000_1,R000000'"),
        ("Q00000_1,R000000,0.1,7", "line 3: expected query_id,reference_id,score"),
        ("Q00000_1,R000000, 0.1", "line 3: expected query_id,reference_id,score"),
        ("Q0000_1,R000000,0.100000", "line 3: expected an id like Q10000 or Q10000_13, found 'Q0000_1'"),
        ("Q00000_1,R00000,0.100000", "line 3: expected an id like R100000 or R100000_13, found 'R00000'"),
        ("Q00000_1,R000000,abc", "line 3: expected a number as score, found 'abc'"),
        ("Q00000_1,R000000,", "line 3: expected a number as score, found ''"),
        ("Q00000_1,R000000,0.1000001", "line 3: expected a score with at most six decimals"),
        ("Q00000_1,R000000,nan", "line 3: expected a score between -100 and 100, found nan"),
        ("Q00000_1,R000000,inf", "line 3: expected a score between -100 and 100, found inf"),
        ("Q00000_1,R000000,100.000000", "line 3: expected a score between -100 and 100"),
    ],
)
def test_a_bad_row_is_refused_by_file_and_line(tmp_path, row, said):
    text = HEADER + "Q00000_0,R000000,0.500000\n" + row + "\nQ00001_0,R000000,0.500000\n"
    with pytest.raises(Refusal) as refusal:
        read(tmp_path, text)
    assert "list.csv: " + said in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_missing_list_is_refused_by_name(tmp_path):
    with pytest.raises(Refusal, match="ibn/list.csv: missing"):
        read_score_list(tmp_path / "ibn" / "list.csv")


ROWS = st.lists(
    st.tuples(
        st.integers(0, 99999), st.integers(-1, 3000), st.integers(0, 999999), st.integers(-99999999, 99999999)
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=50)
@given(ROWS)
def test_every_list_of_six_decimals_is_read_as_it_was_written(tmp_path_factory, drawn):
    folder = tmp_path_factory.mktemp("lists")
    lines = [
        (
            "Q{:05d}".format(n) + ("_{}".format(k) if k >= 0 else ""),
            "R{:06d}".format(r),
            "{:.6f}".format(m / 1e6),
        )
        for n, k, r, m in drawn
    ]
    rows = read(folder, "".join(",".join(line) + "\n" for line in lines))
    assert QUERIES.texts(rows.query) == [line[0] for line in lines]
    assert REFERENCES.texts(rows.reference) == [line[1] for line in lines]
    assert scores(rows) == [float(line[2]) for line in lines]
    write_rows(folder / "again.csv", rows.query, rows.reference, Penalty().scores(rows.grade))
    again = read_score_list(folder / "again.csv")
    assert (again.keys() == rows.keys()).all() and (again.grade == rows.grade).all()


def test_long_lists_are_written_in_pieces(tmp_path, monkeypatch):
    rows = read(tmp_path, "".join("Q0000{0}_{0},R000000,0.00000{0}\n".format(i) for i in range(10)))
    write_rows(tmp_path / "one.csv", rows.query, rows.reference, Penalty().scores(rows.grade))
    monkeypatch.setattr("encore.systems.isc_track1.score_list.ROWS_AT_A_TIME", 3)
    write_rows(tmp_path / "more.csv", rows.query, rows.reference, Penalty().scores(rows.grade))
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "more.csv").read_bytes()
    assert (tmp_path / "one.csv").read_text().splitlines()[2] == "Q00001_1,R000000,1e-06"


def test_joined_lists_stand_one_after_the_other(tmp_path):
    rows = read(tmp_path, "Q00000_1,R000000,0.100000\nQ00000_0,R000001,0.200000\n")
    both = joined([rows, rows.select(np.array([True, False]))])
    assert QUERIES.texts(both.query) == ["Q00000_1", "Q00000_0", "Q00000_1"]
    assert len(joined([])) == 0
