import pytest

from benchmarks import micro_ap


def test_the_loop_is_the_definition():
    # ranks: 1 right, 2 and 3 tied with the wrong one first: (1/1 + 2/3) / 2
    predictions = [(0, 0, 0.9), (1, 1, 0.5), (1, 2, 0.5)]
    assert micro_ap.micro_average_precision_by_loop(predictions, [(0, 0), (1, 1)]) == pytest.approx(
        (1 + 2 / 3) / 2
    )


def test_the_benchmark_compares_equal_results(monkeypatch):
    monkeypatch.setattr(micro_ap, "PREDICTIONS", 2000)
    monkeypatch.setattr(micro_ap, "TRUE_PAIRS", 100)
    monkeypatch.setattr(micro_ap, "RUNS", 1)
    result = micro_ap.run()
    assert (result["predictions"], result["true_pairs"]) == (2000, 100)
    assert 0 < result["micro_ap"] < 1
    assert result["difference_to_loop"] <= 1e-12
    assert result["difference_csv_to_integer_ids"] == 0
