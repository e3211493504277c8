"""The report in a real browser: it loads, filters, prints, and needs neither mouse nor large screen."""

from __future__ import annotations

import pytest

from tests.browser.conftest import PHONE

ROWS = "#verdict-table tbody[data-system]"
ALL = ["mini_loss", "mini_score", "mini_low", "mini_blocked"]


def shown(page):
    """The claims whose rows are visible, in order."""
    rows = page.locator(ROWS)
    found = [rows.nth(i) for i in range(rows.count())]
    return [row.get_attribute("id").removeprefix("claim-") for row in found if row.is_visible()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_console_is_silent_nothing_is_fetched_and_every_picture_loads(visit, report, scheme):
    seen = visit(report, color_scheme=scheme)
    assert seen.page.evaluate("document.images.length") > 50
    assert (seen.console, seen.fetched, seen.broken_pictures()) == ([], [], [])


CHOICES = [
    ({"system": "drip"}, ["mini_loss"]),
    ({"system": "toy"}, ["mini_score", "mini_low", "mini_blocked"]),
    ({"verdict": "reproduced"}, ["mini_loss", "mini_score"]),
    ({"verdict": "blocked (data)"}, ["mini_blocked"]),
    ({"role": "informative"}, ["mini_low", "mini_blocked"]),
    ({"system": "toy", "verdict": "reproduced", "role": "gating"}, ["mini_score"]),
    ({"system": "drip", "verdict": "deviates"}, []),
]


def test_filters_leave_the_rows_that_fit_all_of_them(visit, report):
    page = visit(report).page
    for chosen, left in CHOICES:
        assert sorted(shown(page)) == sorted(ALL) and page.locator("#none-shown").is_hidden()
        for name, value in chosen.items():
            page.select_option(f"#filter-{name}", value)
        assert shown(page) == left
        assert page.locator("#filter-count").inner_text() == f"{len(left)} of 4 claims shown"
        assert page.locator("#none-shown").is_visible() == (not left)
        page.get_by_role("button", name="Show all").click()
        page.wait_for_function("document.getElementById('filter-count').textContent.startsWith('4')")


def test_filters_and_evidence_work_from_the_keyboard(visit, report):
    seen = visit(report)
    assert seen.tab()["text"] == "Skip to the verdicts"
    seen.page.keyboard.press("Enter")
    assert seen.tab()["id"] == "filter-system"
    seen.page.keyboard.type("drip")
    assert shown(seen.page) == ["mini_loss"]
    assert [seen.tab()["id"] for _ in range(2)] == ["filter-verdict", "filter-role"]
    assert seen.tab()["text"] == "Show all"
    seen.page.keyboard.press("Space")
    seen.page.wait_for_function("document.getElementById('filter-count').textContent.startsWith('4')")
    assert seen.tab()["text"] == "Evidence of Loss (drip)"
    seen.page.keyboard.press("Enter")
    digest = seen.page.locator("#claim-mini_loss dt", has_text="SHA-256 of the file")
    assert digest.is_visible()


def test_the_tabulator_reaches_everything_once_shows_where_it_is_and_gets_out_again(visit, report):
    seen = visit(report)
    seen.unfold()
    reached = []
    for _ in range(200):
        focus = seen.tab()
        if focus["tag"] == "body":
            break
        reached.append(focus)
    assert 20 < len(reached) < 200 and [focus for focus in reached if not focus["visible"]] == []
    waiting = seen.page.locator("a[href], select, button, summary, [tabindex='0']").count()
    assert len(reached) == waiting


def test_a_link_to_a_stage_unfolds_where_it_stands(visit, report):
    page = visit(report).page
    page.locator("#claim-mini_score summary").click()
    assert page.locator("#run-toy-test").is_hidden()
    page.locator("#claim-mini_score a[href='#run-toy-test']").click()
    page.locator("#run-toy-test").wait_for(state="visible", timeout=2000)


@pytest.mark.parametrize(
    ("options", "folded"),
    [
        ({"color_scheme": "light"}, True),
        ({"color_scheme": "light"}, False),
        ({"color_scheme": "dark"}, False),
        ({"viewport": PHONE}, False),
    ],
)
def test_the_accessibility_checker_finds_nothing(visit, report, options, folded):
    seen = visit(report, **options)
    if not folded:
        seen.unfold()
    assert seen.accessibility_violations() == []


def test_a_phone_needs_no_sideways_scrolling(visit, report):
    seen = visit(report, viewport=PHONE)
    for _ in range(2):
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert seen.wider_than_the_window() == []
        seen.unfold()


def test_paper_has_every_row_everything_unfolded_no_filters_and_no_dark_ground(visit, report):
    page = visit(report, color_scheme="dark").page
    page.select_option("#filter-system", "drip")
    chain = page.locator("#claim-mini_score .chain dl")
    assert chain.is_hidden()
    page.emulate_media(media="print", color_scheme="dark")
    page.wait_for_function("!document.querySelector('details:not([open])')")
    assert chain.is_visible() and sorted(shown(page)) == sorted(ALL)
    assert not page.locator("#filters").is_visible() and not page.locator("nav").is_visible()
    ink, ground = page.evaluate(
        "() => [getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert ink == "rgb(38, 37, 31)" and ground == "rgba(0, 0, 0, 0)"
    page.emulate_media(media="screen", color_scheme="dark")
    page.wait_for_function("!document.querySelector('details[open]')")
    assert shown(page) == ["mini_loss"]


def test_without_script_every_row_is_there_and_no_filter_promises_more(visit, report):
    page = visit(report, java_script_enabled=False).page
    assert sorted(shown(page)) == sorted(ALL) and page.locator("#filters").is_hidden()
    page.locator("#claim-mini_score summary").click()
    assert page.locator("#claim-mini_score .chain dl").is_visible()
    page.emulate_media(media="print")
    assert page.locator("#claim-mini_low .chain dl").is_visible()


@pytest.mark.parametrize(("wish", "scrolling"), [("reduce", "auto"), ("no-preference", "smooth")])
def test_nothing_moves_by_itself_for_those_who_ask_for_that(visit, report, wish, scrolling):
    page = visit(report, reduced_motion=wish).page
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == scrolling


def planted(report, tmp_path, text, before="</main>"):
    """The page with something wrong in it."""
    path = tmp_path / "planted.html"
    page = report.read_text(encoding="utf-8")
    assert page.count(before) == 1
    path.write_text(page.replace(before, text + before), encoding="utf-8")
    return path


PLANTED = {
    "color-contrast": '<p style="color: #bbb; background: #fff">hardly to be read</p>',
    "heading-order": "<h6>Too deep</h6>",
    "image-alt": '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">',
    "select-name": "<select><option>a</option></select>",
}


def test_the_accessibility_checker_finds_what_is_planted(visit, report, tmp_path):
    found = visit(planted(report, tmp_path, "".join(PLANTED.values()))).accessibility_violations()
    assert sorted(line.partition(":")[0] for line in found) == list(PLANTED)


def test_broken_pictures_errors_and_what_is_fetched_are_found(visit, report, tmp_path):
    text = (
        '<img src="data:image/png;base64,AAAA" alt="no picture"><img src="gone.png" alt="elsewhere">'
        "<script>undefinedName();</script>"
    )
    seen = visit(planted(report, tmp_path, text))
    assert seen.broken_pictures() == ["no picture", "elsewhere"]
    assert any("undefinedName is not defined" in line for line in seen.console)
    assert seen.fetched == [(tmp_path / "gone.png").as_uri()]


def test_what_is_too_wide_for_a_phone_is_found(visit, report, tmp_path):
    text = '<p class="planted" style="width: 500px">wide</p>'
    seen = visit(planted(report, tmp_path, text), viewport=PHONE)
    assert seen.wider_than_the_window() == ["p planted wide"]
