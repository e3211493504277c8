import os
import shutil

import pytest

from encore.data.image_source import open_source
from encore.data.shard_writing import write_data_set
from encore.systems.drip.stage_data import Places, open_stage_data
from encore.systems.drip.stage_values import DripStageValues, StopRule
from tests.encore.systems.drip.tiny_drip import RECIPE, draw_pictures

VALUES = DripStageValues("start", 10, 0, 0, 4, 0.5, stop=StopRule(max_epochs=1))


@pytest.fixture
def pictures(tmp_path):
    draw_pictures(tmp_path / "pictures")
    return tmp_path / "pictures"


def identity(pictures):
    return open_stage_data(VALUES, RECIPE, Places(str(pictures))).identity


def changed(before, after):
    return sorted(name for name in before if before[name] != after[name])


@pytest.mark.parametrize("name", ["training_images/T000003.jpg", "imagenet_images/I0000002.jpg"])
def test_a_replaced_picture_of_a_plain_folder_is_noticed(pictures, name):
    found = identity(pictures)
    assert identity(pictures) == found
    other = name.replace("3.", "4.").replace("2.", "3.")
    shutil.copy2(str(pictures / other), str(pictures / name))
    assert changed(found, identity(pictures)) == ["pictures"]


def test_the_pictures_of_a_data_set_are_known_by_its_manifest(pictures):
    folder = pictures / "training_images"
    folder.rename(pictures / "files")
    folder.mkdir()
    source = open_source(pictures / "files")
    rows = [(name, source.read(row), row) for row, name in enumerate(source.names)]
    write_data_set(folder, [rows], lambda: iter, 1, "recipe", 0, "shards")
    found = identity(pictures)
    for name in os.listdir(str(folder)):
        os.utime(str(folder / name), ns=(0, 11))  # a copy of the same content
    assert identity(pictures) == found
    shutil.rmtree(str(folder))
    folder.mkdir()
    rows[3] = rows[3][:1] + rows[4][1:2] + rows[3][2:]
    write_data_set(folder, [rows], lambda: iter, 1, "recipe", 0, "shards")
    assert changed(found, identity(pictures)) == ["pictures"]
