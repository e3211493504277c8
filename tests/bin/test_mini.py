"""bin/mini, which runs the mini pipeline with its trainings two at a time."""

import os

import pytest

from tests.bin.scripts import copy_of, run, script

NAMES = [
    "inputs",
    "isc_track2_generate",
    "isc_track2_queries",
    "isc_track2_pretrain",
    "isc_track2_train",
    "isc_overlays_generate",
    "isc_overlays_train",
    "isc_track1_generate@baseline_CC",
    "isc_track1_pretrain@50",
    "isc_track1_train@baseline_CC-50",
    "isc_track1_train_pairs@baseline_CC_pair-50",
    "isc_track1_fuse",
]
DVC = """
echo "$@" >>"$LOG"
case "$1 $2" in
  'stage list') printf 'mini/dvc.yaml:%s\\n' {} ;;
  'status --quiet') exit "$STATUS" ;;
esac
case "$*" in *"$BROKEN"*) exit 1 ;; esac
""".format(" ".join(NAMES))


@pytest.fixture
def mini(tmp_path):
    """Runs bin/mini on a fake dvc -> (exit status, the commands that dvc was given)."""
    copy_of("bin/mini", tmp_path)
    script(tmp_path / "programs" / "dvc", DVC)

    def call(status="1", broken="nothing"):
        path = os.pathsep.join([str(tmp_path / "programs"), os.environ["PATH"]])
        log = tmp_path / "log"
        result = run(tmp_path / "bin" / "mini", PATH=path, LOG=str(log), STATUS=status, BROKEN=broken)
        lines = [line for line in log.read_text().splitlines() if not line.startswith("stage list")]
        return result, [line.replace("mini/dvc.yaml:", "") for line in lines]

    return call


def test_data_come_first_then_pre_training_then_training_then_all(mini):
    result, commands = mini()
    assert result.returncode == 0
    assert commands[0] == "status --quiet mini/dvc.yaml"
    assert commands[1] == (
        "repro isc_track2_generate isc_track2_queries isc_overlays_generate isc_track1_generate@baseline_CC"
    )
    single = "--wait-for-lock repro --single-item "
    first = {
        single + name for name in ("isc_track2_pretrain", "isc_overlays_train", "isc_track1_pretrain@50")
    }
    assert set(commands[2:5]) == first
    second = (
        "isc_track2_train",
        "isc_track1_train@baseline_CC-50",
        "isc_track1_train_pairs@baseline_CC_pair-50",
    )
    assert set(commands[5:8]) == {single + name for name in second}
    assert commands[8:] == ["repro mini/dvc.yaml"]


def test_what_is_up_to_date_is_left_alone(mini):
    result, commands = mini(status="0")
    assert result.returncode == 0 and commands == ["status --quiet mini/dvc.yaml"]


def test_a_stage_that_fails_ends_the_run(mini):
    result, commands = mini(broken="isc_overlays_train")
    assert result.returncode != 0
    assert not any("isc_track2_train" in line or line == "repro mini/dvc.yaml" for line in commands)
