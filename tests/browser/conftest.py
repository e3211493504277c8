"""A headless Chromium, and a fabricated project's report opened in it."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager

import pytest

from checks.report.page import write_report
from tests.browser.visit import Visit
from tests.checks.conftest import Project
from tests.checks.report.fabricated import write_everything
from tests.outside_programs import lacking

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PHONE = {"width": 375, "height": 812}
DESK = {"width": 1200, "height": 900}


@pytest.fixture(scope="session")
def chromium():
    """The system's Chromium or Chrome, headless; nothing is downloaded."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        lacking(f"no browser on PATH: install one of {', '.join(PROGRAMS)}")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("playwright is not installed: run `make setup`")
    rootless = hasattr(os, "geteuid") and os.geteuid() != 0
    arguments = ["--disable-dev-shm-usage", *([] if rootless else ["--no-sandbox"])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """The path of a page that has every part, written once."""
    project = Project(tmp_path_factory.mktemp("report"))
    write_everything(project)
    return write_report(project.size())


@pytest.fixture
def visit(chromium):
    """A function that opens a page: visit(path, **options of the browser's context) -> Visit; what was
    opened is closed after the test."""
    with opened(chromium) as open_page:
        yield open_page


@contextmanager
def opened(chromium):
    contexts = []

    def open_page(path, **options):
        context = chromium.new_context(**{"viewport": DESK, **options})
        contexts.append(context)
        return Visit.of(context, path)

    yield open_page
    for context in contexts:
        context.close()
