import numpy as np

from benchmarks import match


def test_the_benchmark_measures_what_it_says():
    result = match.run(queries=30, references=6000, width=16, top=3)
    assert (result["queries"], result["references"]) == (30, 6000)
    assert result["copies_missed"] == 0
    ratio = result["peak_memory_bytes"] / result["peak_memory_bytes_quarter"]
    assert result["memory_for_four_times_the_references"] == ratio
    # NumPy alone, and the 4 MB of scores of a tile
    assert 2**24 < result["peak_memory_bytes"] < 2**29


def test_copies_are_planted_and_a_part_of_the_shards_is_a_set(tmp_path):
    near = np.eye(8, 16, dtype=np.float32)
    kept = match.write_kept(str(tmp_path), match.listing_of(3000, b"R"), 16, 2, near)
    rows = kept.read(0, 3000)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert rows.dot(near.T).argmax(axis=0).tolist() == [7 * i for i in range(8)]
    part = match.opened(str(tmp_path), match.listing_of(2000, b"R"), 16)
    assert 900 < part.shape[0] <= 2000
    assert np.array_equal(part.read(0, part.shape[0]), rows[: part.shape[0]])
