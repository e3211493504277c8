"""The record of an epoch, and wandb: a stand-in for the package says what it was asked; where the package
is installed, it records a run without a network."""

import json
import os
import subprocess
import sys
import types

import golden_files
import pytest

from encore.runtime.refusal import Refusal
from encore.systems.fkd.tracking import HISTORY, LOG, Tracker, hide_key, lines, run_name

KEY = "planted0key1of2forty3characters4in5all67"
TRAINED = {"train/loss": 0.5, "train/Top1": 12.5, "train/Top5": 50.0, "train/lr": 0.001}
VALIDATED = {"val/loss": 2.25, "val/top1": 30.0, "val/top5": 62.5}


def values(epoch, validated=False):
    found = dict(TRAINED, **{"train/epoch": epoch})
    return dict(found, **VALIDATED, **{"val/epoch": epoch}) if validated else found


@pytest.fixture()
def wandb(monkeypatch, tmp_path):
    """A module wandb that writes down its calls, and the key it could read when they came."""
    module, calls = types.ModuleType("wandb"), []

    def note(name):
        def call(*arguments, **options):
            calls.append((name, arguments, options, os.environ.get("WANDB_API_KEY")))
            return run

        return call

    run = types.SimpleNamespace(log=note("log"), finish=note("finish"))
    module.init, module.login, module.calls = note("init"), note("login"), calls
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    return module


def track(folder, epochs=2, **options):
    os.makedirs(str(folder), exist_ok=True)
    tracker = Tracker(str(folder), **options)
    try:
        for epoch in range(options.get("first", 0), epochs):
            tracker.epoch(epoch, values(epoch, validated=epoch == 0))
    finally:
        tracker.close()


def test_an_epoch_is_a_row_its_published_lines_and_an_event_file(tmp_path, capsys):
    track(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()]
    assert rows == [dict(values(0, True), epoch=0, step=0), dict(values(1), epoch=1, step=0)]
    expected = [
        "TRAIN Iter 0: lr = 0.001000,\tloss = 0.500000,\tTop-1 err = 87.500000,\tTop-5 err = 50.000000,\t",
        "TEST Iter 0: loss = 2.250000,\tTop-1 err = 70.000000,\tTop-5 err = 37.500000,\t",
        "TRAIN Iter 1: lr = 0.001000,\tloss = 0.500000,\tTop-1 err = 87.500000,\tTop-5 err = 50.000000,\t",
    ]
    assert capsys.readouterr().out.splitlines() == (tmp_path / LOG).read_text().splitlines() == expected
    assert lines(rows[0]) == expected[:2]
    assert [name for name in os.listdir(str(tmp_path)) if name.startswith("events.out.tfevents")]


def test_tensorboard_reads_the_published_names(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    track(tmp_path)
    events = reader.EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == set(values(0, True))
    assert [event.step for event in events.Scalars("train/loss")] == [0, 1]


def test_a_resumed_record_is_cut_back_to_where_the_run_goes_on(tmp_path):
    track(tmp_path, 4)
    expected = (tmp_path / HISTORY).read_text(), (tmp_path / LOG).read_text()
    with open(str(tmp_path / HISTORY), "a") as file:
        file.write('{"epoch": 4, "half')
    track(tmp_path, 4, first=2)
    assert ((tmp_path / HISTORY).read_text(), (tmp_path / LOG).read_text()) == expected


def test_disabled_neither_imports_nor_logs_in(tmp_path, wandb, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import would raise ImportError
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    track(tmp_path, key=KEY)
    assert wandb.calls == []


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_wandb_gets_the_published_names_once_an_epoch(tmp_path, wandb, mode):
    track(tmp_path, mode=mode, project="p", name="rn18")
    assert [call[0] for call in wandb.calls] == ["init", "log", "log", "finish"]
    options = dict(wandb.calls[0][2])
    assert len(options.pop("id")) == 32
    assert options == {"project": "p", "name": "rn18", "mode": mode, "dir": ".work", "resume": "allow"}
    assert wandb.calls[1][1] == (values(0, True),) and wandb.calls[2][1] == (values(1),)
    assert [call[2]["step"] for call in wandb.calls[1:3]] == [0, 1]


def test_wandbs_own_files_stay_out_of_the_folder_of_the_run(tmp_path, wandb):
    track(tmp_path / "run", mode="offline")
    place = wandb.calls[0][2]["dir"]
    assert os.path.isdir(place)  # else wandb takes a temporary folder
    assert (tmp_path / "run") not in (tmp_path / place).parents and place == ".work"


def test_a_resumed_training_goes_on_in_its_run_at_wandb_and_another_does_not(tmp_path, wandb):
    track(tmp_path / "run", 2, mode="online")
    track(tmp_path / "run", 4, mode="online", first=2)
    track(tmp_path / "other", 2, mode="online")
    track(tmp_path / "run", 2, mode="online")  # from the start: another run
    ids = [options["id"] for name, _, options, _ in wandb.calls if name == "init"]
    assert ids[0] == ids[1] and len(set(ids)) == 3


def test_the_key_is_in_the_environment_while_an_online_run_lasts(tmp_path, wandb):
    track(tmp_path, mode="online", key=KEY)
    assert [call[3] for call in wandb.calls] == [KEY] * 4
    assert "WANDB_API_KEY" not in os.environ


def test_the_users_own_key_comes_back(tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "of the user")
    track(tmp_path, mode="online", key=KEY)
    assert os.environ["WANDB_API_KEY"] == "of the user"


def test_the_variable_is_enough(tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    track(tmp_path, mode="online")
    assert wandb.calls[0][3] == KEY


def test_offline_does_not_get_the_key(tmp_path, wandb):
    track(tmp_path, mode="offline", key=KEY)
    assert [call[3] for call in wandb.calls] == [None] * 4


def test_the_key_is_in_no_file(tmp_path, wandb):
    track(tmp_path, mode="online", key=KEY)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not [path for path in files if KEY.encode() in path.read_bytes()]


OFFLINE = """
import sys
from encore.systems.fkd.tracking import Tracker, hide_key
hide_key()
tracker = Tracker("run", mode="offline", project="p", key="{key}")
for epoch in range(2):
    tracker.epoch(epoch, dict({trained}, **{{"train/epoch": epoch}}))
tracker.close()
"""


def test_the_package_itself_records_an_offline_run_without_the_key(tmp_path):
    pytest.importorskip("wandb")
    (tmp_path / "run").mkdir()
    source = os.path.join(os.path.dirname(os.path.dirname(golden_files.FOLDER)), "src")
    environment = dict(os.environ, PYTHONPATH=source, WANDB_API_KEY=KEY, HOME=str(tmp_path / "home"))
    (tmp_path / "program.py").write_text(OFFLINE.format(key=KEY, trained=TRAINED))
    command = [sys.executable, "program.py", "--wandb-api-key", KEY]
    subprocess.run(command, cwd=str(tmp_path), env=environment, check=True, timeout=120)
    (tmp_path / "program.py").unlink()
    (record,) = tmp_path.glob(".work/wandb/offline-run-*/run-*.wandb")
    assert all(name.encode() in record.read_bytes() for name in TRAINED)
    assert (tmp_path / "run" / "wandb_run.txt").read_text().strip() in record.name
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_a_missing_package_is_a_refusal(tmp_path, monkeypatch, mode):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(Refusal, match="wandb is %s, but the package wandb is not installed" % mode):
        Tracker(str(tmp_path), mode)


@pytest.mark.parametrize("arguments", [["--wandb-api-key", KEY], ["--wandb-api-key=" + KEY]])
def test_the_key_is_hidden_among_the_arguments(arguments):
    found = ["train.py", "-T", "20"] + arguments + ["--cos"]
    hide_key(found)
    assert KEY not in " ".join(found) and found[:3] == ["train.py", "-T", "20"] and found[-1] == "--cos"


@pytest.mark.parametrize("folder", ["./save/rn18_[4K]_T20/", "./save/rn18_[4K]_T20", "rn18_[4K]_T20//"])
def test_a_runs_name_is_the_last_part_of_its_folder(folder):
    assert run_name(folder) == "rn18_[4K]_T20"  # published: empty where the path ends with /
