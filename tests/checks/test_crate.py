"""The crate of a fabricated run: complete, whole, the same each time, silent about its owner."""

from __future__ import annotations

import hashlib
import json
import platform
import zipfile

import numpy as np
import pytest
import yaml

from checks.cli import main
from checks.provenance.crate import crate_folder, write_crate
from checks.provenance.reading import Crate
from checks.provenance.run import Run
from checks.runs.out_digest import Digests
from checks.verify import verify, write_verdicts
from encore.runtime.refusal import Refusal
from tests.checks.crate_project import change_lock, write_lock, write_run

IMAGE = "sha256:" + "d" * 64


@pytest.fixture
def ran(project):
    return write_run(project)


def crate_of(project, **options):
    summary = write_crate(project.size(), **options)
    return summary, Crate(summary.folder)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code or 0


def test_a_finished_run_lacks_nothing(ran):
    summary, crate = crate_of(ran)
    assert summary.missing == [] and (summary.stages, summary.verdicts) == (3, 1)
    assert crate.first("./", "datePublished") == "2026-01-02T03:05:05+00:00"
    assert (
        crate.first("#run", "startTime") == "2026-01-02T03:04:03+00:00"
    )  # 1.5 s, rounded, before the first end
    assert crate.first("#run", "actionStatus") == "http://schema.org/CompletedActionStatus"
    held = contents(ran.mini / "report/crate")
    assert {"mini/dvc.yaml", "mini/dvc.lock", "mini/params.yaml", "mini/inputs.yaml"} <= held.keys()
    assert {"mini/report/verdicts.json", "claims/toy.yaml", "LICENSE", "src/toy.py"} <= held.keys()
    assert {"mini/metrics/toy/test.json", "mini/fingerprints/toy/train.json"} <= held.keys()
    assert summary.files == len(held) and summary.bytes == sum(map(len, held.values()))


def test_every_file_is_what_its_digests_say(ran):
    _, crate = crate_of(ran)
    held = contents(crate.folder)
    named = [identity for identity in crate.entities if crate.holds(identity)]
    assert sorted(named) == sorted(held.keys() - {"ro-crate-metadata.json"})
    for identity in named:
        assert crate.first(identity, "sha256") == hashlib.sha256(held[identity]).hexdigest()
        assert crate.first(identity, "contentSize") == str(len(held[identity]))
    locked = yaml.safe_load((ran.mini / "dvc.lock").read_text())["stages"]["toy_test"]["outs"]
    (metric,) = [row["md5"] for row in locked if row["path"] == "metrics/toy/test.json"]
    assert crate.first("mini/metrics/toy/test.json", "md5") == metric
    assert crate.problems() == []


def test_a_folder_stays_outside_and_is_named_by_its_md5(ran):
    _, crate = crate_of(ran)
    (folder,) = [one for one in crate.entities if one.endswith("/mini/models/toy/")]
    assert folder.startswith("arcp://uuid,") and not (crate.folder / "mini/models/toy/logs").exists()
    assert crate.first(folder, "md5") == Digests(ran.mini).of("models/toy").md5
    assert crate.first(folder, "alternateName") == "mini/models/toy"
    assert crate.first(folder, "description") == "2 files"
    assert folder in crate.get("#run/toy_train", "result")


def test_raw_data_are_described_and_never_copied(ran):
    _, crate = crate_of(ran)
    assert crate.first("#data/photos", "license") == "CC0"
    assert crate.first("#data/faces", "license") == "on request"
    assert crate.first("#data/photos", "sha256") == hashlib.sha256(b"pixels").hexdigest()
    assert "a museum" in crate.first("#data/photos", "description")
    assert b"pixels" not in b"".join(contents(crate.folder).values())


def test_the_same_run_gives_the_same_bytes(ran):
    first, _ = crate_of(ran, archive=True)
    held, archive = contents(ran.mini / "report/crate"), (ran.mini / "report/crate.zip").read_bytes()
    second, _ = crate_of(ran, archive=True)
    assert contents(ran.mini / "report/crate") == held and first == second
    assert (ran.mini / "report/crate.zip").read_bytes() == archive
    with zipfile.ZipFile(ran.mini / "report/crate.zip") as found:
        assert {name: found.read(name) for name in found.namelist()} == held


def test_another_order_in_dvc_lock_changes_nothing_but_its_own_digest(ran):
    crate_of(ran)
    before = Run.of(ran.size()).stages
    value = yaml.safe_load((ran.mini / "dvc.lock").read_text())
    value["stages"] = dict(reversed(value["stages"].items()))
    (ran.mini / "dvc.lock").write_text(yaml.safe_dump(value, sort_keys=False))
    assert Run.of(ran.size()).stages == before


def test_secrets_and_places_are_not_in_the_crate(ran, monkeypatch):
    key, token = "0123456789abcdef0123456789abcdef01234567", 'hf_S3cret"quoted'
    monkeypatch.setenv("WANDB_API_KEY", key)
    ran.write("src/toy.py", f"RATE = 0.1  # {key}\n")  # pasted by accident
    private = {"rate": 0.1, "wandb_key": "local-" + key, "hubToken": token, "images": "/srv/anna/photos.tar"}
    private["cache"] = str(ran.root / "mini/cache")
    ran.write_yaml("mini/params.yaml", {"root": "..", "toy": {"train": private}})
    ran.set_fingerprint("toy/train", parameters=private)
    write_lock(ran)
    _, crate = crate_of(ran, archive=True)
    everything = b"\n".join(contents(crate.folder).values()).decode()
    for told in (key, token, "hf_S3cret", "/srv/anna", str(ran.root), platform.node() + " "):
        assert told not in everything, told
    assert crate.first("#parameter/toy.train.wandb_key", "value") == "(withheld)"
    assert crate.first("#parameter/toy.train.images", "value") == "…/photos.tar"
    assert crate.first("#parameter/toy.train.cache", "value") == "…/cache"
    assert "taken out" in crate.first("src/toy.py", "description")
    assert crate.problems() == []


def test_an_ordinary_word_in_the_environment_is_no_secret(ran, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "metrics/toy")
    _, crate = crate_of(ran)
    assert crate.holds("mini/metrics/toy/test.json")


def test_an_incomplete_run_says_what_is_missing(ran):
    write_lock(ran, without=["toy_test"])
    (ran.mini / "report/verdicts.json").unlink()
    (ran.mini / "fingerprints/toy/train.json").unlink()
    summary, crate = crate_of(ran)
    assert summary.missing == [
        "stage toy_test has not run",
        f"no verdicts: run `encore verify {ran.mini}` first",
        "toy_train: its fingerprint is not here, so nothing is known of its environment",
        "mini/fingerprints/toy/train.json: recorded, and not here",
    ]
    assert "Missing: stage toy_test has not run." in crate.first("./", "description")
    assert crate.first("#run", "actionStatus") == "http://schema.org/ActiveActionStatus"
    assert (summary.stages, summary.verdicts) == (2, 0)


def test_much_that_is_missing_is_told_in_few_lines(ran, capsys):
    change_lock(ran, lambda stages: stages["toy_train"]["outs"].extend(_outputs_gone(20)))
    assert run("crate", ran.mini, "--claims", ran.claims) == 0
    printed = capsys.readouterr().out
    assert printed.count("missing: ") == 13 and "missing: 8 more, see README.md" in printed
    crate = Crate(crate_folder(ran.size()))
    assert "gone19" in (crate.folder / "README.md").read_text()
    assert "8 more, see README.md" in crate.first("./", "description")


def _outputs_gone(count):
    return [{"path": f"models/gone{place}", "md5": "0" * 32, "size": 1} for place in range(count)]


@pytest.mark.parametrize(
    ("text", "what"), [('{"score": 0.52}', "its md5 differs"), ("{}", "its length differs")]
)
def test_a_file_changed_before_the_crate_was_made_is_told(ran, text, what):
    (ran.mini / "metrics/toy/test.json").write_text(text)
    summary, crate = crate_of(ran)
    assert f"mini/metrics/toy/test.json: not what the run recorded: {what}" in summary.missing
    assert any("not what was judged" in line and "mini_score" in line for line in summary.missing)
    assert not crate.holds("mini/metrics/toy/test.json")


def test_a_metric_judged_before_its_stage_ran_again_is_told(ran):
    ran.set_metric(0.55)
    write_lock(ran)
    summary, _ = crate_of(ran)
    assert summary.missing == [
        "mini_score: metrics/toy/test.json is not what was judged: run `encore verify` again"
    ]


def test_an_image_brings_its_digest_and_its_sbom(ran):
    for stage in ("train", "test"):
        ran.set_fingerprint(f"toy/{stage}", environment="cuda118", image_digest=IMAGE)
    write_lock(ran)
    summary, crate = crate_of(ran)
    assert (
        "no SBOM of the image of cuda118: `make images` writes .images/cuda118/sbom.cdx.json"
        in summary.missing
    )
    assert crate.first("#run/toy_train", "containerImage") == f"#image/{'d' * 64}"
    assert crate.first(f"#image/{'d' * 64}", "sha256") == "d" * 64

    sbom = json.dumps({"metadata": {"component": {"version": IMAGE}}})
    ran.write(".images/cuda118/sbom.cdx.json", sbom)
    summary, crate = crate_of(ran)
    assert summary.missing == []
    assert (crate.folder / "sbom/cuda118.cdx.json").read_text() == sbom

    ran.write(".images/cuda118/sbom.cdx.json", sbom.replace("d" * 64, "e" * 64))
    assert crate_of(ran)[0].missing == ["the SBOM of cuda118 does not name the image that the run used"]


def test_without_an_image_the_sbom_is_of_what_is_installed(ran):
    _, crate = crate_of(ran)
    sbom = json.loads((crate.folder / "sbom/local.cdx.json").read_text())
    (found,) = [row for row in sbom["components"] if row["name"] == "numpy"]
    assert found["version"] == np.__version__ and found["purl"] == f"pkg:pypi/numpy@{np.__version__}"
    assert found["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert sbom["metadata"]["timestamp"].startswith("2026-01-02T03:05:05")
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")


def test_an_interpreter_other_than_that_of_the_run_is_told(ran):
    ran.set_fingerprint("toy/train", python="3.7.10", libraries={"numpy": "1.16.0"})
    write_lock(ran)
    (line,) = [line for line in crate_of(ran)[0].missing if "SBOM" in line and "numpy" in line]
    assert (
        line == "the SBOM is of the interpreter that made this crate, and the run had another numpy, python"
    )


def test_nothing_run_is_refused_in_one_line(ran, capsys):
    (ran.mini / "dvc.lock").unlink()
    assert run("crate", ran.mini, "--claims", ran.claims) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "dvc.lock: no such file: nothing has run here" in line and "dvc repro" in line


def test_a_lock_of_other_stages_is_refused(ran):
    change_lock(ran, lambda stages: [stages.pop(name) for name in list(stages)])
    with pytest.raises(Refusal, match="no stage of dvc.yaml in it"):
        crate_of(ran)


@pytest.mark.parametrize("text", ["no list", '[{"id": 1}]', '{"a": 1}'])
def test_verdicts_that_are_none_are_refused(ran, text):
    (ran.mini / "report/verdicts.json").write_text(text)
    with pytest.raises(Refusal, match="verdicts.json: not a list of verdicts"):
        crate_of(ran)


def test_a_folder_of_other_things_is_not_overwritten(ran):
    ran.write("kept/thesis.tex", "years of work")
    with pytest.raises(Refusal, match="kept: not empty, and not a crate"):
        crate_of(ran, folder=ran.root / "kept")
    assert (ran.root / "kept/thesis.tex").read_text() == "years of work"


def test_a_crate_replaces_an_older_one(ran):
    _, crate = crate_of(ran)
    (crate.folder / "left.txt").write_text("x")
    crate_of(ran)
    assert not (crate.folder / "left.txt").exists()


def test_the_size_that_is_the_project_has_no_prefix(ran):
    for name in ("dvc.yaml", "dvc.lock", "params.yaml"):
        text = (ran.mini / name).read_text().replace("root: ..", "root: .").replace("../", "")
        ran.write(name, text.replace("${root}", "."))
    size = type(ran.size()).of(ran.root, ran.claims)
    found = Run.of(size)
    assert (found.prefix, size.tier) == ("", "paper")
    assert "models/toy" in [one.path for stage in found.stages for one in stage.wrote]


def test_the_command_prints_what_it_wrote(ran, capsys):
    with pytest.raises(SystemExit) as end:
        main(["crate", str(ran.mini), "--claims", str(ran.claims), "--json", "--zip"])
    assert end.value.code in (0, None)
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(crate_folder(ran.size())) and found["archive"].endswith("crate.zip")
    assert found["missing"] == [] and found["verdicts"] == 1
    metadata = (ran.mini / "report/crate/ro-crate-metadata.json").read_bytes()
    assert found["metadata_sha256"] == hashlib.sha256(metadata).hexdigest()


def test_a_verdict_without_a_measurement_is_there_too(ran):
    (ran.mini / "metrics/toy/test.json").unlink()
    change_lock(ran, lambda stages: stages.pop("toy_test"))
    write_verdicts(ran.size(), verify(ran.size()))
    _, crate = crate_of(ran)
    assert crate.first("#verdict/mini_score", "name") == "mini_score: not attempted"
    assert crate.get("#verdict/mini_score", "isBasedOn") == []
