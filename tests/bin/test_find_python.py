"""bin/find-python, which looks for an interpreter of a version."""

from tests.bin.scripts import ROOT, refusal, run, script, tools_only

FIND = ROOT + "/bin/find-python"


def test_the_one_on_the_path_comes_first(tmp_path):
    tools = tools_only(tmp_path / "tools")
    script(tmp_path / "tools" / "python3.7", "echo /on/path")
    script(tmp_path / "pyenv" / "versions" / "3.7.16" / "bin" / "python3.7", "echo /in/pyenv")
    done = run(FIND, "3.7", PATH=tools, PYENV_ROOT=tmp_path / "pyenv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "/on/path\n", "")


def test_one_that_does_not_start_is_passed_over(tmp_path):
    """As pyenv's placeholders on PATH do for versions that are not selected."""
    tools = tools_only(tmp_path / "tools")
    script(tmp_path / "tools" / "python3.7", "echo no such version >&2; exit 127")
    script(tmp_path / ".pyenv" / "versions" / "3.7.16" / "bin" / "python3.7", "echo /in/pyenv")
    script(tmp_path / ".pyenv" / "versions" / "3.10.13" / "bin" / "python3.10", "echo /another/version")
    done = run(FIND, "3.7", PATH=tools, HOME=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "/in/pyenv\n", "")


def test_none_at_all(tmp_path):
    done = run(FIND, "3.7", PATH=tools_only(tmp_path / "tools"), HOME=tmp_path)
    assert refusal(done).startswith("no Python 3.7 on PATH or in pyenv: install one (pyenv install 3.7)")
    assert done.stdout == ""
