from __future__ import annotations

import copy
import json
import re

import pytest

from checks.match_page import MOST_QUERIES, read_match, read_matches, write_gallery
from encore.runtime.refusal import Refusal
from tests.checks.conftest import picture

FOUND = {
    "folders": {
        "queries": {"folder": "", "files": 2, "pictures": 2, "rejected": 0},
        "references": {"folder": "", "files": 2, "pictures": 2, "rejected": 0},
    },
    "weights": {"file": "/w.pth.tar", "sha256": "ab" * 32, "kind": "isc_track2", "mini": False},
    "normalisation": None,
    "unlike": None,
    "queries_listed": 2,
    "rows": 2,
    "rows_left_out": 0,
    "scales": [48, 64],
    "top": 5,
    "width": 64,
}
HEADER = "query_id,reference_id,score\n"


def write_results(folder, rows, rejected=(), **changes):
    """What a worker leaves in `folder`, with the pictures below it; returns the page."""
    found = dict(copy.deepcopy(FOUND), **changes)
    for side in ("queries", "references"):
        found["folders"][side]["folder"] = str(folder)
    (folder / "match.json").write_text(json.dumps(found))
    (folder / "matches.csv").write_text(HEADER + "".join(f"{q},{r},{s}\n" for q, r, s in rows))
    (folder / "rejected.json").write_text(json.dumps(list(rejected)))
    return write_gallery(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("query_id,reference_id\n", "expected the header"),
        (HEADER + "a,b\n", "line 2: expected two names and a number"),
        (HEADER + "a,b,0.5\na,b,high\n", "line 3: expected two names and a number"),
        (HEADER + "a,b,nan\n", "line 2: expected two names and a number"),
        (HEADER, "no matches"),
    ],
)
def test_bad_match_files_are_refused_by_line(tmp_path, text, message):
    (tmp_path / "matches.csv").write_text(text)
    with pytest.raises(Refusal, match=message):
        read_matches(tmp_path / "matches.csv")


def test_missing_and_foreign_worker_files_are_refused(tmp_path):
    with pytest.raises(Refusal, match="matches.csv: no such file"):
        read_matches(tmp_path / "matches.csv")
    with pytest.raises(Refusal, match="match.json: expected a JSON file"):
        write_gallery(tmp_path)
    (tmp_path / "match.json").write_text('{"rows": 1}')
    with pytest.raises(Refusal, match="match.json: expected the settings"):
        read_match(tmp_path / "match.json")
    (tmp_path / "p.jpg").write_bytes(picture((1, 2, 3)))
    with pytest.raises(Refusal, match="rejected.json: expected a list"):
        write_results(tmp_path, [("p.jpg", "p.jpg", 1)], [{"name": "x", "reason": "y", "side": "z"}])


def test_a_long_gallery_shows_the_most_confident_and_says_so(tmp_path):
    (tmp_path / "p.jpg").write_bytes(picture((1, 2, 3)))
    names = [f"q{i}" for i in range(MOST_QUERIES + 1)]
    for name in names:
        (tmp_path / name).write_bytes(picture((1, 2, 3), 2))
    rows = [(name, "p.jpg", 1 - i / 1000) for i, name in enumerate(names)] + [("q0", "q1", -0.5)]
    page = write_results(tmp_path, rows)
    assert "201 queries" in page and "the first 200 are shown" in page
    assert "<strong>q0</strong>" in page and "<strong>q200</strong>" not in page
    assert page.count("<img ") == 2 * MOST_QUERIES + 1 and "−0.500" in page
    assert "Histogram of 202 scores, and of the best scores of 201 queries" in page


def test_names_lead_to_their_files_and_are_escaped(tmp_path):
    (tmp_path / "a, <b>.jpg").write_bytes(picture((1, 2, 3)))
    page = write_results(tmp_path, [("a%2C <b>.jpg", "a%2C <b>.jpg", 0.5)])
    assert page.count("<img ") == 2 and 'alt="query a%2C &lt;b&gt;.jpg"' in page and "<b>" not in page


def test_every_picture_has_a_text_and_nothing_is_loaded(tmp_path):
    (tmp_path / "p.jpg").write_bytes(picture((1, 2, 3)))
    page = write_results(tmp_path, [("p.jpg", "p.jpg", 0.5), ("gone.jpg", "p.jpg", 0.25)])
    pictures = re.findall(r"<img [^>]*>", page)
    assert len(pictures) == 3 and all(re.search(r'alt="[^"]+"', tag) for tag in pictures)
    assert "no longer readable" in page  # gone.jpg
    assert not re.search(r'(src|href)="(http|//)', page) and 'role="img"' in page


def test_without_pictures_unlike_both_no_threshold_is_claimed(tmp_path):
    (tmp_path / "p.jpg").write_bytes(picture((1, 2, 3)))
    page = write_results(tmp_path, [("p.jpg", "p.jpg", 0.5)])
    assert "tile above" not in page and "--normalise-with" in page and ">reached by chance<" not in page


def test_pairs_above_what_chance_reaches_are_marked(tmp_path):
    (tmp_path / "p.jpg").write_bytes(picture((1, 2, 3)))
    folders = dict(FOUND["folders"])
    folders["normalise-with"] = {"folder": "/u", "files": 9, "pictures": 9, "rejected": 0}
    changes = {
        "folders": folders,
        "unlike": -0.4,
        "normalisation": {"top_training": 3, "factor": 2.0},
    }
    page = write_results(tmp_path, [("p.jpg", "p.jpg", -0.3), ("p.jpg", "q.jpg", -0.4)], **changes)
    assert page.count('class="tile above"') == 1 and "No query scores more than <strong>−0.400" in page
    assert ">reached by chance<" in page and "mean of the 3 largest" in page


def test_files_left_out_and_settings_are_listed(tmp_path):
    (tmp_path / "p.jpg").write_bytes(picture((1, 2, 3)))
    rejected = [{"folder": "queries", "name": f"x{i}.txt", "reason": "no picture"} for i in range(201)]
    page = write_results(tmp_path, [("p.jpg", "p.jpg", 0.5)], rejected)
    assert "201 files" in page and "the first 200 are listed" in page
    assert "x199.txt" in page and "x200.txt" not in page
    assert "/w.pth.tar" in page and "abab" in page and "48, 64 pixels" in page


def test_scores_that_are_all_equal_have_a_histogram(tmp_path):
    (tmp_path / "p.jpg").write_bytes(picture((1, 2, 3)))
    assert "<svg" in write_results(tmp_path, [("p.jpg", "p.jpg", 0.5)])
