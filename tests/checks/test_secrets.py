"""Planted secrets, and a search of what is written and printed, by the suite `storage`, on a made-up run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from checks.provenance.crate import write_crate
from checks.provenance.discretion import Discretion
from faults.storage import secrets
from tests.checks.conftest import Project
from tests.checks.crate_project import write_lock, write_run

PASSWORD = "Tr0ub4dor-and-3"
ADDRESS = f"https://anna:{PASSWORD}@lab.example.org/data"


@pytest.fixture(scope="module")
def place():
    with secrets.workplace(lambda found: write_run(Project(found.folder))) as found:
        yield found


@pytest.mark.parametrize("name", ["encore verify", "encore crate", "encore report"])
def test_what_is_given_away_tells_no_secret(place, name):
    row = secrets.row(place, name, lambda: place.encore(name, "--claims", "claims"))
    assert (row.injected, row.survived) == (1, 1), row.losses


def test_the_secrets_are_where_the_commands_could_find_them(place):
    variables = place.run("env", ["env"]).decode()
    assert variables.count(secrets.SECRET) == len(secrets.VARIABLES)
    for name in (*secrets.FILES, ".git/config"):
        assert secrets.SECRET in (place.folder / name).read_text(), name
    assert secrets.SECRET in place.run("git", ["git", "remote", "-v"]).decode()
    settings = place.run(
        "dvc", ["python3", "-c", "import sys; sys.stdout.write(open('mini/params.yaml').read())"]
    )
    assert yaml.safe_load(settings)["tracking"]["api_key"] == secrets.SECRET


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("env", "what a command printed"),
        ("env >mini/report/log.txt", "mini/report/log.txt"),
        ("tar -czf kept.tar.gz .env", "kept.tar.gz!!.env"),
        ("cp .dvc/config.local mini/", "mini/config.local"),
        ("echo more >>.env", ".env"),
        (f"touch {secrets.SECRET}", "(its name)"),
    ],
)
def test_a_command_that_tells_a_secret_is_a_loss(place, script, found):
    row = secrets.row(place, "a command", lambda: place.run("a command", ["sh", "-c", script]))
    assert row.survived == 0 and found in row.losses[0]
    place.run(
        "tidying up", ["rm", "-f", "mini/report/log.txt", "kept.tar.gz", "mini/config.local", secrets.SECRET]
    )


def test_a_command_that_fails_is_no_success(place):
    with pytest.raises(RuntimeError, match="ended with 3"):
        secrets.row(place, "a command", lambda: place.run("a command", ["sh", "-c", "exit 3"]))


def test_the_password_of_an_address_is_not_in_the_crate(project, monkeypatch):
    ran = write_run(project)
    monkeypatch.setenv("DATABASE_URL", f"postgres://anna:{PASSWORD}@lab.example.org/db")
    ran.write("src/toy.py", f"RATE = 0.1  # {PASSWORD}\n")
    private = {"rate": 0.1, "images": ADDRESS}
    ran.write_yaml("mini/params.yaml", {"root": "..", "toy": {"train": private}})
    ran.set_fingerprint("toy/train", parameters=private)
    write_lock(ran)
    summary = write_crate(ran.size())
    held = [path.read_text() for path in Path(summary.folder).rglob("*") if path.is_file()]
    assert not any(PASSWORD in text for text in held)
    assert any("https://(withheld)@lab.example.org" in text for text in held)
    assert json.loads((Path(summary.folder) / "ro-crate-metadata.json").read_text())


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"at {ADDRESS}", "at https://(withheld)@lab.example.org/data"),
        ("ssh://anna@lab/data", "ssh://anna@lab/data"),
        ("https://lab:8080/a@b", "https://lab:8080/a@b"),
        ("ftp://:short@lab", "ftp://(withheld)@lab"),
    ],
)
def test_addresses_in_records(text, clean):
    assert Discretion.of("/project", [], {}).clean(text) == clean


def test_an_address_in_code_is_left_alone_unless_its_password_is_known():
    """Code is given away with the digest that it had."""
    assert Discretion.of("/project", [], {}).clean(ADDRESS, is_record=False) == ADDRESS
    known = Discretion.of("/project", [{"images": ADDRESS}], {})
    assert PASSWORD not in known.clean(f"x = '{PASSWORD}'", is_record=False)
