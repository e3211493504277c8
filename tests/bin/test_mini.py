"""bin/mini, which runs the mini pipeline with its stages two at a time."""

import os
import shutil

import pytest

from tests.bin.scripts import copy_of, run, script

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make, as `make mini` does")
NEEDED = {
    "inputs": [],
    "generate": ["inputs"],
    "train@big-50": ["generate"],
    "train@big-ibn": ["generate"],
    "extract": ["train@big-50", "train@big-ibn"],
    "relabel": [],
}
GRAPH = "".join(['"mini/dvc.yaml:{}";\n'.format(name) for name in NEEDED]) + "".join(
    [
        '"mini/dvc.yaml:{}" -> "mini/dvc.yaml:{}";\n'.format(one, name)
        for name, needed in NEEDED.items()
        for one in needed
    ]
)
DVC = """
echo "start $@" >>"$LOG"
case "$1 $2" in
  'status --quiet') exit "$STATUS" ;;
  'dag --dot') printf 'strict digraph {\\n'; cat "$GRAPH"; echo '}' ;;
esac
case "$*" in *"$BROKEN"*) exit 1 ;; esac
sleep 0.1
echo "end $@" >>"$LOG"
"""


@pytest.fixture
def mini(tmp_path):
    """Runs bin/mini on a fake dvc -> (its result, the lines that dvc logged at each start and end)."""
    copy_of("bin/mini", tmp_path)
    script(tmp_path / "programs" / "dvc", DVC)
    (tmp_path / "graph").write_text(GRAPH)

    def call(status="1", broken="nothing"):
        path = os.pathsep.join([str(tmp_path / "programs"), os.environ["PATH"]])
        log = tmp_path / "log"
        known = {"PATH": path, "LOG": str(log), "GRAPH": str(tmp_path / "graph")}
        result = run(tmp_path / "bin" / "mini", STATUS=status, BROKEN=broken, MAKEFLAGS="n", **known)
        return result, log.read_text().splitlines()

    return call


def test_every_stage_is_made_once_after_what_it_needs_and_two_at_a_time(mini):
    result, log = mini()
    assert result.returncode == 0, result.stderr
    assert log[0] == "start status --quiet mini/dvc.yaml"
    lines = [line.split() for line in log if "--single-item" in line]
    made = [(words[0], words[-1].replace("mini/dvc.yaml:", "")) for words in lines]
    assert all(words[1:4] == ["--wait-for-lock", "repro", "--single-item"] for words in lines)
    assert sorted(name for act, name in made if act == "start") == sorted(NEEDED)
    running = 0
    for place, (act, name) in enumerate(made):
        running += 1 if act == "start" else -1
        assert running <= 2
        if act == "start":
            assert all(("end", one) in made[:place] for one in NEEDED[name])
    trainings = [made.index(("start", name)) for name in NEEDED if name.startswith("train")]
    assert max(trainings) < min(made.index(("end", name)) for name in NEEDED if name.startswith("train"))


def test_what_is_up_to_date_is_left_alone(mini):
    result, log = mini(status="0")
    assert result.returncode == 0
    assert [line for line in log if line.startswith("start")] == ["start status --quiet mini/dvc.yaml"]


def test_a_stage_that_fails_ends_the_run(mini):
    result, log = mini(broken="generate")
    assert result.returncode != 0
    assert not any("train" in line or "extract" in line for line in log)
