"""Stages of the pipeline at the tiny size, with a few faults of each kind (`make faults` injects many into
all)."""

import pytest

from faults.kill import SHORT, rows
from faults.kill.tiny_size import MINI, merge, tiny_parameters


def test_stages_survive_a_few_faults_of_each_kind():
    found = list(rows(full=False))
    assert {row.place for row in found} == set(SHORT)
    assert [loss for row in found for loss in row.losses] == []
    kinds = ("SIGKILL", "SIGKILL inside a write", "disk full (new files)", "SIGTERM")
    at_points = [row for row in found if row.kind in kinds]
    assert len(at_points) == 4 * len(SHORT) and all(row.injected for row in at_points)


def test_the_tiny_size_has_the_keys_of_mini():
    values = tiny_parameters()
    assert (
        values["isc_track2"]["generate"]["copies"] == 3 and values["isc_track2"]["generate"]["quality"] == 100
    )
    assert values["python"]["cuda101"].startswith(str(MINI.parent))


def test_a_key_that_mini_does_not_have_is_found():
    with pytest.raises(KeyError, match="a.c: in tiny.yaml"):
        merge({"a": {"b": 1}}, {"a": {"c": 2}})
