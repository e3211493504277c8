import numpy as np

from benchmarks import score_normalisation


def test_the_benchmark_measures_what_it_says(monkeypatch):
    sizes = {"QUERIES": 1100, "REFERENCES": 3000, "TRAINING": 500, "WIDTH": 16, "RESULTS": 2000, "RUNS": 1}
    for name, size in sizes.items():
        monkeypatch.setattr(score_normalisation, name, size)
    result = score_normalisation.run()
    assert (result["queries"], result["references"], result["pairs"]) == (1100, 3000, 2000)
    assert result["ratio"] == result["seconds"] / result["seconds_bare_products"]
    # NumPy alone, and the 8 MB of scores of a tile
    assert 2**24 < result["peak_memory_bytes"] < 2**29


def test_the_bare_products_are_all_of_them(monkeypatch):
    made = []
    monkeypatch.setattr(
        score_normalisation.np, "dot", lambda a, b, out=None: made.append((a.shape[0], b.shape[1]))
    )
    score_normalisation.bare_products(np.ones((1500, 1)), np.ones((5000, 1)))
    assert sum(rows * columns for rows, columns in made) == 1500 * 5000


def test_descriptors_are_of_length_one():
    vectors = score_normalisation.descriptors(50, 8, 0)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
