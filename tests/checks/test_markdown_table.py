"""The verdicts as a comment on a pull request."""

from __future__ import annotations

from dataclasses import replace

import pytest

from checks.cli import main
from checks.markdown_table import comment
from checks.verify import failures, verify
from tests.checks.conftest import claim_row


@pytest.fixture
def verdicts(project):
    project.set_claims(
        claim_row(id="holds"),
        claim_row(id="informs", gating=False, expected=2, tolerance={"kind": "exact"}),
        claim_row(id="gone", metric={"file": "metrics/toy/other.json", "key": "k", "definition": "d"}),
        claim_row(id="far", expected=2, tolerance={"kind": "absolute", "value": 0.1}),
    )
    return verify(project.size())


def rows(text):
    """The cells of the table's rows."""
    lines = [line for line in text.split("\n") if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_summary_comes_first_and_then_what_deviates_and_what_is_missing(verdicts):
    text = comment(verdicts, failures(verdicts))
    assert text.split("\n")[0] == (
        "**2 of 3 gating claims deviate or are missing** (2 deviates, 1 reproduced, 1 not attempted)"
    )
    assert [row[0] for row in rows(text)] == ["far", "informs (informative)", "gone", "holds"]
    assert rows(text)[0] == ["far", "0.5100", "2", "± 0.1000", "**deviates**"]


def test_details_are_folded_below_the_table(verdicts):
    text = comment(verdicts, failures(verdicts))
    table, details = text.split("<details>")
    assert "its stage has not run" in details and "its stage has not run" not in table
    assert details.count("\n- **") == 4 and details.rstrip().endswith("</details>")


def test_text_of_a_claim_cannot_break_the_table_or_call_a_person(verdicts):
    nasty = replace(verdicts[0], id="a|b", title="<script> @someone [x](y)\n# big", origin="`code`")
    text = comment([nasty], [])
    assert len(rows(text)) == 1 and "a\\|b" in text
    assert "\\<script\\> \\@someone \\[x\\](y) \\# big" in text and "\\`code\\`" in text


def test_the_command_writes_it_beside_everything_else(project):
    path = project.root / "out/comment.md"
    with pytest.raises(SystemExit) as end:
        main(["verify", str(project.mini), "--claims", str(project.claims), "--markdown", str(path)])
    assert end.value.code == 0
    assert path.read_text(encoding="utf-8").startswith(
        "**every gating claim holds** (1 reproduced)\n\n| claim"
    )
