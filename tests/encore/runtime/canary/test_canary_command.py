import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

import encore
from encore.runtime.canary import compare, golden, run
from encore.runtime.canary.__main__ import main
from encore.runtime.canary.images import images
from encore.runtime.refusal import Refusal

GPU = torch.cuda.is_available()


@pytest.fixture
def folder(tmp_path):
    """A folder with the published golden values only."""
    for key in (golden.PUBLISHED_TORCH, golden.PUBLISHED_PILLOW):
        shutil.copy(os.path.join(golden.FOLDER, key + ".json"), str(tmp_path))
    return str(tmp_path)


def test_this_machine_has_not_drifted_from_the_golden_values():
    report = run()
    assert report["verdict"] in ("bit-identical", "within", "differs"), report["rows"]
    assert len(report["rows"]) >= 13 + 5


def test_every_golden_file_is_whole_and_small():
    names = sorted(os.listdir(golden.FOLDER))
    assert golden.PUBLISHED_TORCH + ".json" in names and golden.PUBLISHED_PILLOW + ".json" in names
    for name in names:
        recorded = golden.read(name[: -len(".json")])
        assert recorded["key"] + ".json" == name
        assert len(recorded["results"]) == (13 if name.startswith("torch") else 5)
        assert os.path.getsize(os.path.join(golden.FOLDER, name)) < 100000


def test_golden_values_of_all_torch_versions_lie_within_the_bounds():
    published = golden.read(golden.PUBLISHED_TORCH)
    keys = [name[: -len(".json")] for name in os.listdir(golden.FOLDER) if name.startswith("torch-")]
    for key in keys:
        results = {name: entry["values"] for name, entry in golden.read(key)["results"].items()}
        small = {"results": {}, "key": golden.PUBLISHED_TORCH}
        for name, entry in published["results"].items():
            values = entry["values"]
            small["results"][name] = dict(entry, shape=list(values.shape), digest=golden.digest(values))
        assert "drifted" not in {row["verdict"] for row in compare(results, small)}, key


def test_without_golden_values_of_its_own_it_says_what_it_compared_with(folder, monkeypatch):
    monkeypatch.setattr(golden, "network_key", lambda device: "torch-9.9.9_cpu-avx9_threads-1_tf32-off")
    monkeypatch.setattr(golden, "image_key", lambda: "pillow-99_libjpeg-99")
    report = run(folder=folder)
    assert {row["compared_with"] for row in report["rows"]} == {
        golden.PUBLISHED_TORCH,
        golden.PUBLISHED_PILLOW,
    }
    assert report["notes"][:2] == [
        "no golden values for torch-9.9.9_cpu-avx9_threads-1_tf32-off: compared with "
        + golden.PUBLISHED_TORCH,
        "no golden values for pillow-99_libjpeg-99: compared with " + golden.PUBLISHED_PILLOW,
    ]
    assert report["verdict"] != "drifted"


def test_the_nearest_reference(tmp_path):
    def found(key):
        return golden.network_reference(key, str(tmp_path))

    (tmp_path / "torch-2.0.1_cpu-avx2_x.json").write_text("{}")
    assert found("torch-2.0.1_cpu-avx2_x") == "torch-2.0.1_cpu-avx2_x"
    assert found("torch-2.0.1_nvidia-a100_x") == "torch-2.0.1_cpu-avx2_x"
    assert found("torch-2.0.1_cpu-avx512_x") == "torch-2.0.1_cpu-avx2_x"
    assert found("torch-2.0.10_cpu-avx2_x") == golden.PUBLISHED_TORCH


def test_another_jpeg_library_is_marked_and_passes(folder, capsys):
    """The published values stand for another library: one grey level more in each thousandth pixel."""
    path = os.path.join(folder, golden.PUBLISHED_PILLOW + ".json")
    os.remove(path)
    pictures = images()
    changed = pictures["JPEG decode"].copy()
    changed.reshape(-1)[::1000] ^= 1
    golden.write(golden.PUBLISHED_PILLOW, dict(pictures, **{"JPEG decode": changed}), folder)
    assert main(["--golden", folder]) == 0
    out = capsys.readouterr().out
    assert "differs: mean 0.00, max 1 grey levels" in out and "verdict: differs" in out
    assert "note: not as in the published environment" in out
    assert "JPEG decode; data sets generated here have other digests" in out


def test_record_round_trip(folder, monkeypatch, capsys):
    monkeypatch.setattr(golden, "network_key", lambda device: "torch-here")
    monkeypatch.setattr(golden, "image_key", lambda: "pillow-here")
    assert main(["--record", "--golden", folder]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "recorded " + os.path.join(folder, name) for name in ("torch-here.json", "pillow-here.json")
    ]
    report = run(folder=folder)
    own = [row for row in report["rows"] if row["compared_with"] in ("torch-here", "pillow-here")]
    assert len(own) == 18 and {row["verdict"] for row in own} == {"bit-identical"}
    assert main(["--record", "--golden", folder]) == 2
    assert "recorded already: remove" in capsys.readouterr().err
    os.remove(os.path.join(folder, "torch-here.json"))
    assert main(["--record", "--golden", folder]) == 0
    assert capsys.readouterr().out.count("recorded") == 1


def test_json_and_exit_codes(monkeypatch, capsys):
    assert main(["--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {"verdict", "key", "image_key", "rows", "notes"} == set(report)
    assert {"operation", "verdict", "distance", "compared_with"} == set(report["rows"][0])
    original = torch.nn.functional.softmax
    monkeypatch.setattr(
        torch.nn.functional, "softmax", lambda values, dim: original(values.bfloat16().float(), dim=dim)
    )
    assert main([]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "verdict: drifted"
    assert [line.split()[1] for line in out.splitlines() if line.startswith("softmax")] == ["drifted"]


@pytest.mark.skipif(GPU, reason="a GPU is there")
def test_cuda_without_a_gpu_is_refused(capsys):
    assert main(["--device", "cuda"]) == 2
    assert "encore: no GPU that this torch can use was found" in capsys.readouterr().err


def test_unknown_device_is_refused():
    with pytest.raises(Refusal, match="device 'tpu'"):
        run("tpu")


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{}",
        '{"key": "another"}',
        '{"key": "pillow-8.3.2_libjpeg-9.0", "results": {"softmax": {"dtype": "<f4", "values": "AAAA"}}}',
    ],
)
def test_an_unusable_golden_file_is_refused(folder, damage):
    with open(os.path.join(folder, golden.PUBLISHED_PILLOW + ".json"), "w", encoding="utf-8") as file:
        file.write(damage)
    with pytest.raises(Refusal, match="no usable golden values"):
        golden.read(golden.PUBLISHED_PILLOW, folder)


def test_import_needs_neither_torch_nor_pillow():
    source = os.path.dirname(os.path.dirname(encore.__file__))
    code = "import sys, encore.runtime.canary; print([n for n in ('torch', 'PIL') if n in sys.modules])"
    environment = dict(os.environ, PYTHONPATH=source)
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, check=True)
    assert done.stdout.decode().strip() == "[]"
