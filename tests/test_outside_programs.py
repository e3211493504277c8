"""What a test does for want of a program."""

import pytest

from tests.outside_programs import REQUIRED, lacking


def test_it_is_skipped_for_a_user_and_fails_in_ci(monkeypatch):
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        lacking("no browser")
    monkeypatch.setenv(REQUIRED, "required")
    with pytest.raises(pytest.fail.Exception, match="OUTSIDE_PROGRAMS=required, but no browser"):
        lacking("no browser")
