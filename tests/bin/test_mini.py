"""bin/mini, which runs the mini pipeline with its trainings two at a time."""

import os
import re

import pytest

from tests.bin.scripts import ROOT, copy_of, run, script

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
    "isc_overlays_detect",
    "isc_track2_strip",
    "isc_track1_crop_queries",
    "isc_track1_extract@all",
    "isc_track1_fuse",
    "fkd_inputs",
    "fkd_squeeze",
    "fkd_recover",
    "fkd_relabel",
    "fkd_train@resnet18",
    "fkd_train_kd@resnet18",
    "fkd_baseline@random",
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


def test_what_a_stage_needs_is_made_before_it(mini):
    result, commands = mini()
    assert result.returncode == 0
    assert commands[0] == "status --quiet mini/dvc.yaml" and commands[-1] == "repro mini/dvc.yaml"
    single = "--wait-for-lock repro --single-item "
    assert all(line.startswith(single) for line in commands[1:-1])
    made = [line[len(single) :] for line in commands[1:-1]]
    assert set(made[:2]) == {"inputs", "fkd_inputs"}
    assert set(made[2:7]) == {
        "isc_track2_generate",
        "isc_track2_queries",
        "isc_overlays_generate",
        "fkd_squeeze",
        "fkd_baseline@random",
    }
    assert set(made[7:12]) == {
        "isc_track2_pretrain",
        "isc_overlays_train",
        "isc_track1_generate@baseline_CC",
        "isc_track1_pretrain@50",
        "fkd_recover",
    }
    assert set(made[12:17]) == {
        "isc_overlays_detect",
        "isc_track2_train",
        "isc_track1_train@baseline_CC-50",
        "isc_track1_train_pairs@baseline_CC_pair-50",
        "fkd_relabel",
    }
    assert set(made[17:21]) == {
        "isc_track2_strip",
        "isc_track1_crop_queries",
        "fkd_train@resnet18",
        "fkd_train_kd@resnet18",
    }
    assert made[21:] == ["isc_track1_extract@all"]


def waves():
    """The patterns of bin/mini, in order."""
    with open(os.path.join(ROOT, "bin", "mini")) as file:
        lines = file.read().split("for wave in", 1)[1].split("; do", 1)[0]
    return re.findall("'([^']+)'", lines)


def test_no_wave_needs_what_it_makes_itself_or_what_comes_later():
    yaml = pytest.importorskip("yaml")
    with open(os.path.join(ROOT, "dvc.yaml")) as file:
        bodies = {name: stage for name, stage in yaml.safe_load(file)["stages"].items()}
    wave_of = {name: number for number, wave in enumerate(waves()) for name in bodies if re.match(wave, name)}
    made = {path: name for name, body in bodies.items() for path in paths(body.get("outs", []))}
    for name, number in wave_of.items():
        for needed in bodies[name].get("deps", []):
            for path, maker in made.items():
                if folder(path) == folder(needed) or folder(needed).startswith(folder(path) + "/"):
                    assert wave_of.get(maker, len(wave_of)) < number, (name, maker)


def paths(entries):
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def folder(path):
    return re.sub(r"\$\{[^}]*\}", "x", path)


def test_what_is_up_to_date_is_left_alone(mini):
    result, commands = mini(status="0")
    assert result.returncode == 0 and commands == ["status --quiet mini/dvc.yaml"]


def test_a_stage_that_fails_ends_the_run(mini):
    result, commands = mini(broken="isc_overlays_train")
    assert result.returncode != 0
    assert not any("isc_track2_train" in line or line == "repro mini/dvc.yaml" for line in commands)
