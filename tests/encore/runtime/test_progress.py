"""Who shows progress."""

import pytest

from encore.runtime.progress import progress


@pytest.mark.parametrize("rank, shown", [(None, True), ("0", True), ("1", False)])
def test_only_the_first_process_of_a_run_shows_progress(monkeypatch, capsys, rank, shown):
    if rank is None:
        monkeypatch.delenv("RANK", raising=False)
    else:
        monkeypatch.setenv("RANK", rank)
    assert list(progress(range(3), 3, "counting")) == [0, 1, 2]
    assert ("counting" in capsys.readouterr().err) is shown
