import re
import subprocess
import sys
from pathlib import PurePosixPath

import numpy as np
import pytest

from checks.claims import read_all_claims
from checks.evidence import evidence_path, interval, recompute, recompute_trivial
from checks.size import PROJECT, Size
from checks.verdict import judge
from checks.yaml_file import read_yaml
from encore.metrics.evidence.archive import NoEvidence
from encore.metrics.evidence.classified_pictures import ClassifiedPictures
from encore.metrics.evidence.counts import Counts
from encore.metrics.evidence.differences import HERE, Difference, Differences
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.metrics.evidence.ranked_pairs import Measured, RankedPairs
from encore.metrics.evidence.resampling import resampled
from encore.metrics.micro_ap import micro_average_precision
from encore.metrics.pairs import GroundTruth, Predictions
from encore.runtime.refusal import Refusal
from tests.checks.conftest import claim_row
from tests.evidence_keys import KEYS, gives, stage_of

FILE = "metrics/toy/test.json"


def classified(hits):
    labels = np.zeros(len(hits), dtype=np.int64)
    first = 1 - np.array(hits)
    return ClassifiedPictures(labels, first, first[:, None])


def write(project, name, *parts):
    EvidenceFile(*parts).write(project.mini / "evidence" / name)


def claim(project, file=FILE, key="top1", **changes):
    metric = {"file": file, "key": key, "definition": "a number"}
    project.set_claims(claim_row(metric=metric, **changes))
    (found,) = read_all_claims(project.claims)
    return found


def test_a_number_is_computed_again_without_metric_files(project):
    write(project, "toy/test.npz", classified([1, 1, 1, 0]))
    (project.mini / FILE).unlink()
    assert recompute(project.size(), claim(project)) == 75.0


def test_a_file_that_is_written_again_is_read_again(project):
    write(project, "toy/test.npz", classified([1, 1, 1, 0]))
    write(
        project, "toy/compare.npz", Differences((Difference("gap", "test.npz", "top1", "test.npz", "top5"),))
    )
    compared = claim(project, "metrics/toy/compare.json", "gap")
    found = claim(project)
    assert recompute(project.size(), found) == 75.0 and recompute(project.size(), compared) == 0
    wider = classified([1, 0, 0, 0])
    write(project, "toy/test.npz", ClassifiedPictures(wider.labels, wider.first, np.array([[1, 0]] * 4)))
    assert recompute(project.size(), found) == 25.0 and recompute(project.size(), compared) == -75.0


def test_what_training_starts_from_is_stated_or_computed_again(project):
    write(project, "toy/test.npz", classified([1, 0]))
    size = project.size()
    assert recompute_trivial(size, claim(project)) is None
    assert recompute_trivial(size, claim(project, trivial={"value": 0.25})) == 0.25
    assert recompute_trivial(size, claim(project, trivial={"file": FILE, "key": "top1"})) == 50.0


def test_a_missing_key_is_refused_with_those_that_are_there(project):
    write(project, "toy/test.npz", classified([1, 0]))
    # for a verdict that is no file, hence no number; for a command one line
    for error in (FileNotFoundError, Refusal, NoEvidence):
        with pytest.raises(error, match=r"toy/test.npz: score: no such number in it; there are top1, top5"):
            recompute(project.size(), claim(project, key="score"))


def test_without_a_key_one_claim_has_no_number_and_the_others_are_judged(project):
    write(project, "toy/test.npz", classified([1, 0]))
    without, beside = claim(project, key="score"), claim(project, expected=50.0)
    project.set_metric(50.0, "top1")
    assert judge(without, project.size(), from_predictions=True).value is None
    assert judge(beside, project.size(), from_predictions=True).value == 50.0
    (project.mini / "evidence/toy/test.npz").write_bytes(b"broken")
    with pytest.raises(Refusal, match="toy/test.npz: no evidence can be read from it") as refusal:
        judge(without, project.size(), from_predictions=True)
    assert not isinstance(refusal.value, FileNotFoundError)


def test_a_side_that_is_missing_takes_no_number_from_the_others(project):
    rows = Difference("gap", "none.npz", "top1", HERE, "top1"), Difference("gain", HERE, "top5", HERE, "top1")
    write(project, "toy/test.npz", classified([1, 1, 0, 0]), Differences(rows))
    size = project.size()
    with pytest.raises(NoEvidence, match="toy/none.npz: missing: pull it"):
        recompute(size, claim(project, key="gap"))
    assert interval(size, claim(project, key="gap")) is None
    assert recompute(size, claim(project, key="gain")) == 0 and recompute(size, claim(project)) == 50.0
    assert interval(size, claim(project)) is not None


def test_a_missing_file_is_refused_by_name(project):
    with pytest.raises(Refusal, match=r"mini/evidence/toy/test.npz: missing: pull it"):
        recompute(project.size(), claim(project))
    with pytest.raises(Refusal, match=r"mini/evidence/toy/test.npz: missing: pull it"):
        interval(project.size(), claim(project))


@pytest.mark.parametrize("file", ["plots/toy/test.json", "metrics/toy/test.csv", "metrics/../../a.json"])
def test_only_metric_files_have_evidence(project, file):
    with pytest.raises(Refusal, match=r"expected metrics/<system>/<stage>\.json"):
        evidence_path(project.size(), file)


def test_intervals_are_percentiles_of_the_resampled_number(project):
    hits = np.array([1] * 30 + [0] * 10)
    write(project, "toy/test.npz", classified(hits))
    low, high = interval(project.size(), claim(project))
    values = [100 * hits[drawn].mean() for drawn in resampled(40, 1000, 0)]
    assert (low, high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])), abs=1e-9)
    assert low < 75 < high
    inner = interval(project.size(), claim(project), level=0.5)
    assert low < inner[0] < inner[1] < high


def test_a_count_has_no_interval(project):
    write(project, "toy/test.npz", Counts.of_sums({"images": np.array([3, 4])}))
    images = claim(project, key="images")
    assert recompute(project.size(), images) == 7 and interval(project.size(), images) is None


def test_draws_without_a_number_are_left_out(project):
    # one of two queries has a true pair: a quarter of the draws has none, and the others are right at once
    truth = GroundTruth(np.array([0]), np.array([0]), np.array([0, 1]))
    ranked = Predictions(np.array([0, 1]), np.array([0, 0]), np.array([1.0, 0.5]))
    measures = (Measured("micro_ap", "all", "isc2021", "micro_ap"),)
    names = ["a", "b"]
    pairs = RankedPairs.of(
        truth,
        {"all": ranked},
        measures,
        lambda codes: [names[i] for i in codes],
        lambda codes: [names[i] for i in codes],
    )
    write(project, "toy/test.npz", pairs)
    found = claim(project, key="micro_ap")
    assert recompute(project.size(), found) == micro_average_precision(ranked, truth) == 1.0
    assert interval(project.size(), found) == (1.0, 1.0)


def pattern(template):
    """A path of dvc.yaml as a regular expression: items and keys are any name."""
    return "[^/]+".join(map(re.escape, re.split(r"\$\{[^}]*\}", template)))


def evidence_outs():
    """{evidence file of dvc.yaml, with its templates}: cached outputs, each beside its metric file."""
    stages = read_yaml(PROJECT / "dvc.yaml", "missing")["stages"]
    kept = set()
    for body in (body.get("do", body) for body in stages.values()):
        outs = [out for out in body.get("outs", []) if isinstance(out, str) and out.startswith("evidence/")]
        metrics = [name for metric in body.get("metrics", []) for name in _names(metric)]
        for out in outs:
            assert out.replace("evidence/", "metrics/", 1).replace(".npz", ".json") in metrics
        kept.update(outs)
    return kept


def _names(metric):
    return [metric] if isinstance(metric, str) else list(metric)


def stage_name(out):
    return stage_of(PurePosixPath(out).relative_to("evidence").with_suffix("").as_posix())


WITHOUT = {"isc_track1/train", "isc_track1/crop_queries", "isc_track2/train"}
"""Stages of which claims of tier paper read a number that has no evidence: of a run's files, and of crops."""


@pytest.mark.parametrize("tier", ["mini", "paper"])
def test_every_number_that_a_claim_reads_has_evidence_that_dvc_keeps(tier):
    patterns = [re.compile(pattern(out)) for out in evidence_outs()]
    claims = [claim for claim in read_all_claims(PROJECT / "claims") if claim.tier == tier]
    metrics = [claim.metric for claim in claims]
    metrics += [claim.trivial for claim in claims if claim.trivial and claim.trivial.file]
    without = set()
    for metric in metrics:
        wanted = (
            evidence_path(Size.of(PROJECT / "mini"), metric.file).relative_to(PROJECT / "mini").as_posix()
        )
        name = PurePosixPath(metric.file).relative_to("metrics").with_suffix("").as_posix()
        if any(found.fullmatch(wanted) for found in patterns):
            assert gives(name, metric.key), f"{wanted}: {metric.key}"
        else:
            without.add(stage_of(name))
    assert len(metrics) > 20 and without == (WITHOUT if tier == "paper" else set())


def test_the_keys_of_every_stage_with_evidence_are_held_against_what_it_writes():
    assert {stage_name(out) for out in evidence_outs()} == set(KEYS)
    texts = [path.read_text(encoding="utf-8") for path in PROJECT.glob("tests/**/test_*.py")]
    called = {stage for text in texts for stage in re.findall(r'measured_again\(\s*"(\w+/\w+)', text)}
    assert set(KEYS) <= called


def test_torch_is_not_needed():
    code = "import sys, checks.evidence; print(sorted({'torch', 'h5py', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
