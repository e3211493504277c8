import json

import pytest

from encore.training.learning_rate import isc_epoch_factor, warm_up_cosine
from tests.golden_files import golden


def test_thirty_epochs_of_the_published_schedule():
    table = json.loads(golden("isc/lr_table.json").read_text())["track2"]
    for epoch, (factor, rate) in enumerate(zip(table["factor"], table["lr"])):
        assert isc_epoch_factor(epoch) == pytest.approx(factor, rel=1e-12, abs=1e-12)
        assert 3.5e-4 * isc_epoch_factor(epoch) == pytest.approx(rate, rel=1e-12, abs=1e-16)


def test_a_shorter_schedule_by_hand():
    # warm-up 2, flat to 3, end 5: 0.01, 0.505, 1, 1, cos(pi / 2) -> 0.5
    assert [isc_epoch_factor(epoch, 2, 3, 5) for epoch in range(5)] == pytest.approx([0.01, 0.505, 1, 1, 0.5])


def test_warm_up_then_cosine_to_a_thousandth():
    found = [warm_up_cosine(step, 12, 2) for step in (0, 1, 2, 7, 12)]
    assert found == pytest.approx([0, 0.5, 1, 0.5 + 0.001 * 0.5, 0.001])
