import dataclasses
import json
import os
import signal
import subprocess
import sys

import pytest
from PIL import Image

from encore.data.manifest import verify_manifest
from encore.data.shards import ShardSet
from encore.runtime.refusal import Refusal
from encore.systems.isc.training_set import ChainParameters, GenerateParameters, generate_training_set
from tests.measured_again import measured_again


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name, count in (("images", 25), ("foreign", 2)):
        (folder / name).mkdir()
        for i in range(count):
            Image.effect_noise((60, 48), 20 + i).convert("RGB" if i % 2 else "L").save(
                str(folder / name / "T{:06d}.png".format(i))
            )
    return folder


def parameters(folder, **changes):
    chain = ChainParameters("isc_100k_256", 32, str(folder / "foreign"), 2, "basic")
    values = dict(
        images=str(folder / "images"),
        every=10,
        copies=4,
        quality=100,
        chain=chain,
        seed=3,
        workers=1,
        classes_per_shard=2,
        max_rejected=0,
    )
    return GenerateParameters(**dict(values, **changes))


def generate(folder, values):
    os.makedirs(str(folder))
    return generate_training_set(folder, values, "digest", "isc_track2")


def test_every_tenth_picture_with_its_copies(pictures, tmp_path):
    manifest = generate(tmp_path / "set", parameters(pictures))
    assert (manifest.count, manifest.classes) == (12, 3)
    images = ShardSet(tmp_path / "set")
    assert images.names == ["{}_{}.jpg".format(c, j) for c in range(3) for j in range(4)]
    assert images.labels.tolist() == [c for c in range(3) for _ in range(4)]


def test_a_class_does_not_depend_on_the_others(pictures, tmp_path):
    one = generate(tmp_path / "one", parameters(pictures))
    two = generate(tmp_path / "two", parameters(pictures, workers=2, classes_per_shard=1))
    assert one.digest == two.digest and len(two.shards) == 3
    assert generate(tmp_path / "other", parameters(pictures, seed=4)).digest != one.digest


def test_broken_sources_are_counted_and_named(pictures, tmp_path):
    source = tmp_path / "images"
    source.mkdir()
    for i, data in enumerate((b"", (pictures / "images" / "T000001.png").read_bytes())):
        (source / "T{:06d}.png".format(i)).write_bytes(data)
    values = parameters(pictures, images=str(source), every=1)
    with pytest.raises(Refusal, match="the first is T000000.png: the file is empty"):
        generate(tmp_path / "strict", values)
    manifest = generate(tmp_path / "set", dataclasses.replace(values, max_rejected=1))
    assert (manifest.count, manifest.classes) == (4, 1)
    assert json.loads((tmp_path / "set" / "rejected.json").read_text())[0]["name"] == "T000000.png"


def test_an_empty_source_is_refused(pictures, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(Refusal, match="no pictures there"):
        generate(tmp_path / "set", parameters(pictures, images=str(tmp_path / "none")))


STAGE = """
isc_track2:
  generate:
    {images: %s, every: 1, copies: 12, quality: 100, seed: 3, workers: %d, classes_per_shard: 1,
    max_rejected: 0,
     chain: {recipe: isc_100k_256, size: 64, foreign: %s, foreign_pictures: 2, text_layout: basic}}
"""


# Runs the stage and kills it, workers and all, right before the given one of its synced writes, in whichever
# process that happens: the count lies in a file that all of them append to.
KILLED_AT_A_WRITE = """
import os, runpy, signal, sys
counter, kill_at = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_APPEND), int(sys.argv[2])
synced = os.fsync
def fsync(descriptor):
    os.write(counter, b".")
    if os.fstat(counter).st_size == kill_at:
        os.killpg(0, signal.SIGKILL)
    synced(descriptor)
os.fsync = fsync
sys.argv[1:] = []
runpy.run_module("stages.isc_track2.generate", run_name="__main__")
"""


def run_stage(folder, pictures, workers, kill_at=0):
    """Run the stage in `folder`; returns (exit code, how many synced writes were made)."""
    (folder / "inputs").mkdir(parents=True, exist_ok=True)
    for name in ("training_images", "foreign_images"):
        (folder / "inputs" / (name + ".json")).write_text("{}")
    (folder / "params.yaml").write_text(STAGE % (pictures / "images", workers, pictures / "foreign"))
    environment = dict(
        os.environ, PYTHONPATH=os.pathsep.join(os.path.abspath(path) for path in sys.path if path)
    )
    counter = folder / "writes"
    counter.write_bytes(b"")
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_AT_A_WRITE, str(counter), str(kill_at)],
        cwd=str(folder),
        env=environment,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    process.communicate()
    return process.returncode, counter.stat().st_size


def test_killed_at_any_write_and_started_again_gives_the_same_set(pictures, tmp_path):
    code, writes = run_stage(tmp_path / "whole", pictures, 1)
    assert code == 0 and writes > 50
    for kill_at in (1, writes // 4, 2, writes // 3, 7):
        code, made = run_stage(tmp_path / "killed", pictures, 2, kill_at)
        assert code == -signal.SIGKILL and made >= kill_at
    assert run_stage(tmp_path / "killed", pictures, 2)[0] == 0
    assert measured_again("isc_track2/generate", tmp_path / "whole") == {"images", "classes"}
    sets = [tmp_path / name / "data" / "isc_100k_256" for name in ("whole", "killed")]
    assert ShardSet(sets[0]).manifest == ShardSet(sets[1]).manifest
    assert sorted(os.listdir(str(sets[0]))) == sorted(os.listdir(str(sets[1])))
    assert verify_manifest(sets[1], content=True) == []
    assert os.listdir(str(tmp_path / "killed" / ".work" / "isc_track2.generate")) == ["lock"]
    metrics = json.loads((tmp_path / "killed" / "metrics" / "isc_track2" / "generate.json").read_text())
    assert metrics["images"] == 300 and metrics["classes"] == 25
