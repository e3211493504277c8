"""containers/add-user, which makes the user that an image runs as."""

import pytest

from tests.bin.scripts import ROOT, refusal, run, script, tools_only


@pytest.fixture
def path(tmp_path):
    tools = tools_only(tmp_path / "tools")
    script(tmp_path / "tools" / "useradd", 'echo "$@"')
    return tools


@pytest.mark.parametrize("uid", ["1000", "4242", "60001"])
def test_an_ordinary_user(path, uid):
    done = run(ROOT + "/containers/add-user", USER_ID=uid, PATH=path)
    assert done.stdout == "--create-home --uid {} --shell /bin/bash encore\n".format(uid)
    assert done.returncode == 0


@pytest.mark.parametrize("uid", ["", "0", "012", "abc", "1a", "-1", "1000:1000", "1000 0"])
def test_anything_else(path, uid):
    done = run(ROOT + "/containers/add-user", USER_ID=uid, PATH=path)
    line = "USER_ID={}: give the number of an ordinary user, the one that 'id -u' prints"
    assert refusal(done) == line.format(uid)
    assert done.stdout == ""
