"""DVC's list of locks after a kill: dropped where it was cut short, and nowhere else."""

import pytest

from faults.storage.tiny_pipeline import drop_broken_lock


@pytest.mark.parametrize(
    ("content", "kept"), [("", False), ('{"a": ', False), ("{}", True), ('{"a": {}}', True)]
)
def test_only_a_list_that_was_cut_short_is_dropped(tmp_path, content, kept):
    path = tmp_path / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(parents=True)
    drop_broken_lock(tmp_path)  # no list yet
    path.write_text(content)
    drop_broken_lock(tmp_path)
    assert path.exists() is kept
