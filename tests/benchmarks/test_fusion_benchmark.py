import numpy as np
import pytest

from benchmarks import fusion


def test_both_sides_end_in_the_same_submission(monkeypatch, tmp_path):
    pytest.importorskip("pandas")
    monkeypatch.setattr(fusion, "ROWS", 300)
    monkeypatch.setattr(fusion, "QUERIES_ASKED", 40)
    fusion.write_lists(str(tmp_path))
    found = {side: fusion.measure(str(tmp_path), side) for side in ("encore", "pandas")}
    assert found["encore"]["joined_rows"] == found["pandas"]["joined_rows"] > 1000
    differing, difference = fusion.compare(str(tmp_path))
    assert differing == 0 and difference < 1e-12


def test_other_rows_and_other_scores_are_told(tmp_path):
    query, reference, score = np.array([50001, 50002]), np.array([7, 8]), np.array([0.5, 0.25])
    np.savez(str(tmp_path / "encore.npz"), query, reference, score)
    np.savez(str(tmp_path / "pandas.npz"), query, reference, score + [0.0, 0.125])
    assert fusion.compare(str(tmp_path)) == (0, 0.125)
    np.savez(str(tmp_path / "pandas.npz"), query, reference + [0, 1], score)
    assert fusion.compare(str(tmp_path)) == (2, 0.0)
