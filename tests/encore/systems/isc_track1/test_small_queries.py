import numpy as np

from encore.systems.isc_track1.data_sets import DATA_SETS
from encore.systems.isc_track1.small_queries import (
    PUBLISHED,
    small_name,
    write_small_queries,
)

NAMES = ["Q50000_0.jpg", "Q50000_1.jpg", "Q50000_10.jpg", "Q50001_1000.jpg"]
SIZES = [(200, 200), (100, 300), (99, 150), (300, 149)]


def test_a_side_below_the_limit_makes_a_query_small(tmp_path):
    assert write_small_queries(tmp_path, NAMES, SIZES) == {100: 1, 150: 3, 200: 3}
    found = np.load(str(tmp_path / "query_wrong_150_VD.npy"))
    assert found.tolist() == ["Q50000_1", "Q50000_10", "Q50001_1000"]
    assert found.ndim == 1 and found.dtype.kind == "U"
    assert np.load(str(tmp_path / small_name(100))).tolist() == ["Q50000_10"]
    assert np.load(str(tmp_path / small_name(200))).tolist() == found.tolist()


def test_other_sides_keep_the_published_names(tmp_path):
    assert write_small_queries(tmp_path, NAMES, SIZES, (50, 100, 150)) == {100: 0, 150: 1, 200: 3}
    assert sorted(path.name for path in tmp_path.iterdir()) == [small_name(side) for side in PUBLISHED]
    none = np.load(str(tmp_path / small_name(100)))
    assert none.shape == (0,) and none.dtype.kind == "U"


def test_every_data_set_names_one_of_the_lists():
    assert {data_set.least_query for data_set in DATA_SETS} == set(PUBLISHED)
