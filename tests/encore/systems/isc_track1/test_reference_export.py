import io
import os
import subprocess
import sys

import pytest
from PIL import Image

from encore.data.image_source import open_source
from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.reference_export import export_parts, shard
from encore.systems.isc_track1.reference_parts import ReferenceParts
from tests.encore.systems.isc_track1.published_pictures import published_picture

ROOT = os.path.abspath(__file__).split(os.sep + "tests" + os.sep)[0]


@pytest.fixture
def source(tmp_path):
    (tmp_path / "references").mkdir()
    for i in range(3):
        published_picture((30 + i, 20)).save(str(tmp_path / "references" / "R{:06d}.png".format(i)))
    return open_source(tmp_path / "references")


def test_files_are_those_of_the_parts_on_the_fly(source, tmp_path):
    assert export_parts(source, tmp_path / "out", range(3)) == 3
    parts = ReferenceParts(source)
    for row, name in enumerate(parts.names):
        path = tmp_path / "out" / "reference_images_exp_{}".format(row % 19) / name
        assert path.read_bytes() == parts.read(row)
        assert Image.open(io.BytesIO(path.read_bytes())).format == "JPEG"
    assert sum(len(files) for _, _, files in os.walk(str(tmp_path / "out"))) == len(parts)


def test_an_interrupted_export_goes_on(source, tmp_path):
    assert export_parts(source, tmp_path / "out", range(2)) == 2
    lost = tmp_path / "out" / "reference_images_exp_18" / "R000001_18.jpg"
    data = lost.read_bytes()
    lost.unlink()
    assert export_parts(source, tmp_path / "out", range(3), workers=2) == 2
    assert lost.read_bytes() == data


def test_a_picture_at_which_the_published_script_stops_is_refused_by_name(source, tmp_path):
    published_picture((2, 3)).save(str(tmp_path / "references" / "R000001.png"))
    with pytest.raises(Refusal, match="R000001.png: the crop .* is empty"):
        export_parts(source, tmp_path / "out", range(3))
    assert not (tmp_path / "out" / "reference_images_exp_0" / "R000001_0.jpg").exists()


def test_shards_of_the_published_script():
    assert shard(1000000, 0) == range(0, 50000)
    assert shard(1000000, 19) == range(950000, 1000000)
    assert shard(120, 2, 50) == range(100, 120)
    for number in (20, -1):
        with pytest.raises(Refusal, match="shard {}: the 1000000 references have 20 shards".format(number)):
            shard(1000000, number)


def test_command(source, tmp_path):
    command = [sys.executable, "-m", "stages.isc_track1.divide_references", str(tmp_path / "references")]
    command += [str(tmp_path / "out"), "--list", str(tmp_path / "dev_reference_exp")]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([os.path.join(ROOT, "src"), ROOT]))
    output = subprocess.check_output(command + ["--num", "0"], env=environment).decode()
    assert "3 references divided, 0 were there already" in output
    assert len((tmp_path / "dev_reference_exp").read_text().split("\n")) == 57
    refused = subprocess.run(command + ["--num", "1"], env=environment, stderr=subprocess.PIPE)
    assert refused.returncode == 2 and b"shard 1: the 3 references have 1 shards" in refused.stderr
