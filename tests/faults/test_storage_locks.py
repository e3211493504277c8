"""DVC's list of locks and its record after a kill: dropped where they were cut short, and nowhere else."""

import pytest

from faults.storage.tiny_pipeline import TinyPipeline, drop_broken_lock


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


@pytest.mark.parametrize(("content", "kept"), [("", False), ("schema: '2.0'\n", True)])
def test_only_an_empty_record_is_dropped(tmp_path, content, kept):
    (tmp_path / "dvc.lock").write_text(content)
    drop_broken_lock(tmp_path)
    assert (tmp_path / "dvc.lock").exists() is kept


def test_an_empty_record_is_a_problem_and_no_error(tmp_path):
    pipeline = TinyPipeline(tmp_path / "one", tmp_path / "cache")
    (pipeline.folder / "dvc.lock").touch()
    assert pipeline.missing_objects() == []
    assert any("dvc.lock" in problem for problem in pipeline.problems())
