"""The verdicts as JUnit XML: read back by a parser, with what XML would take for markup in them."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from checks.cli import main
from checks.junit import write_junit
from checks.verify import failures, verify
from tests.checks.conftest import claim_row

OTHER = {"file": "metrics/toy/other.json", "key": "k", "definition": "d"}
NASTY = 'a <b> & "c" ]]> \x00 \N{SNOWMAN}'


@pytest.fixture
def suites(project):
    """The parsed file for a deviating, an informative deviating, a holding and a missing claim."""
    project.set_claims(
        claim_row(id="holds"),
        claim_row(
            id="far", expected=2, tolerance={"kind": "absolute", "value": 0.1}, title="T <i>", reason="a & b"
        ),
        claim_row(id="informs", gating=False, expected=2, tolerance={"kind": "exact"}),
        claim_row(id="gone", metric=OTHER),
        claim_row(id="gone_too", metric=OTHER, gating=False),
    )
    project.write_yaml(
        "claims/second.yaml",
        [
            claim_row(
                id="elsewhere",
                system="second",
                inputs=["pictures"],
                metric={"file": "metrics/second/test.json", "key": "k", "definition": "d"},
            )
        ],
    )
    path = project.root / "out/junit.xml"
    with pytest.raises(SystemExit) as end:
        main(["verify", str(project.mini), "--claims", str(project.claims), "--junit", str(path)])
    assert end.value.code == 1
    return ElementTree.parse(path).getroot()


def test_one_testcase_a_claim_and_one_suite_a_system(suites):
    assert suites.tag == "testsuites"
    counts = {suite.get("name"): suite.attrib for suite in suites}
    assert counts["toy"] == {"name": "toy", "tests": "5", "failures": "1", "errors": "1", "skipped": "1"}
    assert (counts["second"]["errors"], counts["second"]["skipped"]) == ("1", "0")
    cases = {case.get("name"): {child.tag for child in case} for case in suites.iter("testcase")}
    assert cases == {
        "holds": {"system-out"},
        "far": {"failure", "system-out"},
        "informs": {"system-out"},
        "gone": {"error", "system-out"},
        "gone_too": {"skipped", "system-out"},
        "elsewhere": {"error", "system-out"},
    }


def test_the_failure_says_what_was_found_and_expected(suites):
    failure = next(suites.iter("failure"))
    assert failure.get("type") == "deviates"
    assert failure.get("message") == "0.5100, expected 2, agrees within ± 0.1000"
    (blocked,) = (case.find("error") for case in suites.iter("testcase") if case.get("name") == "elsewhere")
    assert blocked.get("message") == "blocked (data): missing pictures: see `encore data`"


def test_a_number_whose_files_are_damaged_fails_with_its_cause(project):
    stage = {"cmd": "x", "outs": [{"path": "metrics/toy/test.json", "md5": "0" * 32, "size": 3}]}
    project.write_yaml("mini/dvc.lock", {"schema": "2.0", "stages": {"toy_test": stage}})
    verdicts = verify(project.size())
    write_junit(project.root / "junit.xml", verdicts, failures(verdicts))
    (case,) = ElementTree.parse(project.root / "junit.xml").getroot().iter("testcase")
    assert case.find("failure").get("type") == "not attempted"
    assert "cause (data): metrics/toy/test.json was changed" in case.find("failure").get("message")


@pytest.mark.parametrize("option", ["--junit", "--markdown"])
def test_a_folder_in_place_of_the_file_is_refused_before_anything_is_judged(project, capsys, option):
    (project.root / "file").write_text("")
    for path, told in ((project.root, "a folder"), (project.root / "file/x/junit.xml", "is a file, not")):
        with pytest.raises(SystemExit) as end:
            main(["verify", str(project.mini), "--claims", str(project.claims), option, str(path)])
        error = capsys.readouterr().err
        assert end.value.code == 2 and option in error and told in error and error.count("\n") == 1
    assert not (project.mini / "report").exists()


def test_markup_in_a_claim_comes_back_as_text(suites):
    (told,) = (case.find("system-out").text for case in suites.iter("testcase") if case.get("name") == "far")
    assert "T <i>" in told and "a & b" in told
    assert "informative" not in told


def test_what_xml_cannot_hold_is_replaced(tmp_path, project):
    (verdict,) = verify(project.size())
    write_junit(tmp_path / "junit.xml", [replace(verdict, title=NASTY, detail=NASTY)], [])
    told = ElementTree.parse(tmp_path / "junit.xml").getroot().find(".//system-out").text
    assert NASTY.replace("\x00", "\N{REPLACEMENT CHARACTER}") in told
