"""Programs that some tests start and that Encore does not bring: a browser, servers."""

import os

import pytest

REQUIRED = "OUTSIDE_PROGRAMS"


def lacking(reason):
    """Skip the test for want of a program, or fail it where OUTSIDE_PROGRAMS=required, as in CI."""
    if os.environ.get(REQUIRED) == "required":
        pytest.fail("{}=required, but {}".format(REQUIRED, reason), pytrace=False)
    pytest.skip(reason)
