"""What it takes to settle a published claim, where the published size has never run, and where it has."""

from __future__ import annotations

import json
import re

import pytest

from checks.claims import read_all_claims
from checks.report.page import write_report
from checks.report.published_claims import environments_of, published_claims
from checks.size import PROJECT, Size
from tests.checks.report.fabricated import write_claims


@pytest.fixture
def stated(project):
    write_claims(project)
    return project


def judged(project):
    published = published_claims(read_all_claims(project.claims), project.claims)
    return {row.claim.id: row for group in published.groups for row in group.claims}


def section(project):
    text = write_report(project.size()).read_text(encoding="utf-8")
    return re.search(r'<section id="paper">.*?</section>', text, re.DOTALL).group()


def test_without_its_data_a_claim_is_blocked_and_the_steps_begin_with_them(stated):
    row = judged(stated)["paper_score"]
    assert row.verdict.startswith("blocked (") and row.open
    assert (row.lacking, row.present, row.families) == (["pictures"], [], ["toy"])
    steps = re.search(r'<ol class="steps">.*?</ol>', section(stated), re.DOTALL).group()
    found = [re.sub("<.*?>", "", step).strip() for step in re.findall("<li>(.*?)</li>", steps, re.DOTALL)]
    assert found == [
        "Get 1 raw data set: pictures to raw/pictures.",
        "Have them counted and checked: encore data --used-by toy",
        "Hardware: one GPU with 12 GB.",
        "Room on the disk: 5 GB of pictures, 1 TB of checkpoints.",
        "Run, for about 24 hours on that hardware: dvc\xa0repro &amp;&amp; encore\xa0verify\xa0.",
        "Reproduced is said when score in metrics/toy/test.json is 0.4000 to 0.6000.",
    ]


def test_what_is_there_is_not_asked_for_again(stated):
    stated.write("inputs/pictures.json", "{}")
    row = judged(stated)["paper_score"]
    assert (row.verdict, row.lacking, row.present) == ("not attempted", [], ["pictures"])
    text = section(stated)
    assert "The raw data are here: pictures." in text and "encore data --used-by" not in text


def test_a_claim_of_another_recipe_names_its_keys(stated):
    assert "<code>toy.train.rate: null</code>" in section(stated)


def test_a_broken_run_of_the_published_size_is_told_and_no_end(stated):
    stated.write("metrics/toy/test.json", "{")
    row = judged(stated)["paper_score"]
    assert row.verdict == "not attempted" and "not JSON" in row.detail


def test_the_raw_data_stand_once_with_source_place_and_licence(stated):
    (row,) = re.findall(r'<tr id="data-pictures">.*?</tr>', section(stated), re.DOTALL)
    for text in ("1,000", "the pictures of the toy", "raw/pictures, one folder", "for research only"):
        assert text in row
    assert 'href="#data-pictures"' in section(stated)


def test_the_images_of_a_system_are_those_that_its_stages_start_in(project):
    commands = "cmd: ${python.cuda118} -m stages.toy.train\ncmd: ${python.host} -m checks data\n"
    project.write("dvc.yaml", commands)
    (found,) = environments_of("toy", project.root)
    assert (found.name, found.gpus, found.driver) == ("cuda118", ["RTX 4090", "A100"], "520.61.05")
    assert environments_of("other", project.root) == environments_of("toy", project.mini / "nowhere") == []


def test_every_open_claim_of_this_project_says_what_it_takes(tmp_path):
    claims = read_all_claims(PROJECT / "claims")
    published = published_claims(claims, PROJECT / "claims", ["reid"])
    rows = [row for group in published.groups for row in group.claims]
    assert len(rows) == sum(claim.tier == "paper" for claim in claims) > 80
    assert published.groups[0].system == "reid" and all(group.environments for group in published.groups)
    assert {name for row in rows for name in row.claim.inputs} <= set(published.inputs)
    (tmp_path / "mini").mkdir()
    (tmp_path / "mini/params.yaml").write_text(json.dumps({}))
    text = write_report(Size.of(tmp_path / "mini", PROJECT / "claims")).read_text(encoding="utf-8")
    assert text.count('<ol class="steps">') == len(rows)
    assert text.count("What it would take<span") == sum(row.open for row in rows)
