import json
import os
import re

import pytest
import torch

from encore.runtime.refusal import Refusal
from encore.systems.reid import run_folder
from encore.systems.reid.params_json import read_params_json
from encore.systems.reid.run_folder import (
    CLASSES,
    PARAMS,
    RESUME,
    RunFolder,
    classes_of,
    copy_config,
    folder_of,
    refuse_another,
)
from tests.encore.systems.reid.tiny_reid_run import mapping, params_of

CONTENT = {"identity": {}, "position": (0, 0), "network": {}, "optimizer": {}, "counters": {}}


def test_names_of_run_folders():
    assert folder_of("runs", "first one") == os.path.join("runs", "first one")
    assert folder_of("runs", "/elsewhere/run") == "/elsewhere/run"
    assert re.match(r"runs/\d{10}\.\d+$", folder_of("runs"))


def test_a_new_run_removes_the_events_of_another_one_only(tmp_path):
    place = tmp_path / "run [1]"  # no pattern of names
    place.mkdir()
    for name in ("events.out.tfevents.1.host", "train_log", "events.txt"):
        (place / name).write_text("")
    RunFolder(str(place)).begin()
    assert sorted(os.listdir(str(place))) == ["events.txt", "train_log"]


@pytest.mark.parametrize("name", ["model.pth", "model_best.pth"])
def test_weights_that_nothing_goes_on_from_are_not_overwritten(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(Refusal, match="holds {} of another run and no resume.pth".format(name)):
        RunFolder(str(tmp_path)).begin()


def test_a_refused_folder_is_left_as_it_is(tmp_path):
    for name in ("model.pth", "events.out.tfevents.1.host", "train_log"):
        (tmp_path / name).write_text(name)
    for check in (RunFolder(str(tmp_path)).begin, RunFolder(str(tmp_path)).refuse_other_weights):
        with pytest.raises(Refusal):
            check()
        assert sorted(os.listdir(str(tmp_path))) == ["events.out.tfevents.1.host", "model.pth", "train_log"]


def test_one_process_at_a_time_has_the_folder(tmp_path, monkeypatch):
    place = tmp_path / "run"
    with RunFolder(str(place)).locked() as lock:
        monkeypatch.chdir(place)  # the same folder by another name
        with pytest.raises(Refusal, match="process {} trains in this folder".format(os.getpid())):
            with RunFolder(os.curdir).locked():
                pass
        with RunFolder(str(tmp_path / "other" / "run")).locked():  # of the same base name
            pass
        # A process that is handed the file as its input has the lock.
        monkeypatch.setattr(run_folder, "STDIN", lock.fileno())
        with RunFolder(str(place)).locked() as same:
            assert same.fileno() != lock.fileno()
        monkeypatch.undo()
        with pytest.raises(Refusal, match="trains in this folder"):
            with RunFolder(str(place)).locked():
                pass
    with RunFolder(str(place)).locked():
        pass


def test_a_run_goes_on_where_both_of_its_files_are(tmp_path):
    folder = RunFolder(str(tmp_path / "run"), str(tmp_path / "beside.pth"))
    folder.begin()
    assert not folder.goes_on()
    folder.save_resume(CONTENT)
    assert not folder.goes_on()  # killed before the folder was described
    folder.describe(params_of(tmp_path), ("0001", "0002"))
    assert folder.goes_on() and folder.load_resume() == CONTENT
    assert classes_of(folder.path) == ("0001", "0002")
    assert RunFolder(folder.path).resume_path == os.path.join(folder.path, RESUME)


def test_a_damaged_resume_file_is_named(tmp_path):
    torch.save({"identity": {}}, str(tmp_path / RESUME))
    with pytest.raises(
        Refusal, match="resume.pth is no person re-identification checkpoint.*missing position"
    ):
        RunFolder(str(tmp_path)).load_resume()
    (tmp_path / RESUME).write_bytes(b"PK\x03\x04 half")
    with pytest.raises(Refusal, match="damaged"):
        RunFolder(str(tmp_path)).load_resume()


def test_a_copied_configuration_stands_where_it_says_the_same(tmp_path):
    values, folder = mapping(tmp_path), RunFolder(str(tmp_path / "run"))
    config = tmp_path / PARAMS
    config.write_text(json.dumps(values))
    copy = copy_config(str(config), folder.path)
    assert copy == folder.file(PARAMS) and (tmp_path / "run" / PARAMS).read_text() == config.read_text()
    params = read_params_json(copy)[0]
    folder.describe(params, ())
    assert (tmp_path / "run" / PARAMS).read_text() == config.read_text()
    changed = params_of(tmp_path, epochs=7)
    folder.describe(changed, ())  # what an earlier run left there does not describe this one
    assert read_params_json(copy)[0] == changed
    copy_config(copy, folder.path)  # onto itself
    assert read_params_json(copy)[0] == changed


@pytest.mark.parametrize("text", [None, "{", "[]", "{}"])
def test_class_names_that_are_missing(tmp_path, text):
    if text is not None:
        (tmp_path / CLASSES).write_text(text)
    with pytest.raises(Refusal, match="expected the class names of a run"):
        classes_of(str(tmp_path))


def test_what_differs_is_named():
    refuse_another({"a": "1"}, {"a": "1"}, "file", "go on")
    with pytest.raises(Refusal) as caught:
        refuse_another({"a": "1", "b": "2"}, {"a": "3", "c": "4"}, "file", "go on")
    text = "file: belongs to a run with other values of a (1, now 3), b (2, now None), c (None, now 4): go on"
    assert str(caught.value) == text
