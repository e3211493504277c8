"""The audit of the locks, with pip-audit asking a service on loopback that answers as OSV does."""

from __future__ import annotations

import datetime
import http.server
import importlib.util
import json
import subprocess
import threading

import pytest
import yaml

from checks import audit as audits
from checks.audit import ACCEPTED, audit, read_accepted
from checks.cli import main
from checks.locks import ALONE, ENVIRONMENTS, lock, read_entries
from checks.size import PROJECT
from encore.runtime.refusal import Refusal
from tests.outside_programs import lacking

NEEDED = importlib.util.find_spec("pip_audit")

TODAY = datetime.date(2026, 12, 1)
PYYAML = {"package": "pyyaml", "versions": ["5.3"], "locks": ["assets"], "ids": ["CVE-2020-14343"]}
REASONS = {"why": "not used", "guard": "no network", "review": datetime.date(2027, 1, 1), "confirmed": True}
ADVISORY = {
    "id": "PYSEC-2021-142",
    "aliases": ["CVE-2020-14343"],
    "summary": "fabricated for this test",
    "affected": [
        {
            "package": {"name": "pyyaml", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "5.4"}]}],
        }
    ],
}

UNRESOLVED = (
    "NameResolutionError(\"HTTPSConnection(host='api.osv.dev', port=443): Failed to resolve 'api.osv.dev' "
    '([Errno -2] Name or service not known)")'
)


class Service(http.server.BaseHTTPRequestHandler):
    """Answers by package and version."""

    advisories, asked, broken = {}, [], False

    def do_POST(self):
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = (query["package"]["name"], query["version"])
        self.asked.append(known)
        found = self.advisories.get(known, [])
        data = json.dumps({"vulns": found} if found else {}).encode()
        self.send_response(503 if self.broken else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def service(tmp_path, monkeypatch):
    if NEEDED is None:
        lacking("pip-audit is not installed: `make audit` does it")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kind = type("Fresh", (Service,), {"advisories": {("pyyaml", "5.3"): [ADVISORY]}, "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kind.address = f"http://127.0.0.1:{server.server_port}/v1/query"
        yield kind
        server.shutdown()


@pytest.fixture
def root(tmp_path):
    """A project with one lock of two packages, and nothing accepted."""
    (tmp_path / "locks").mkdir()
    pins = "".join(f"{pin} \\\n    --hash=sha256:{'a' * 64}\n" for pin in ("pyyaml==5.3", "six==1.16.0"))
    (tmp_path / "locks" / "assets.txt").write_text(pins)
    accept(tmp_path)
    return tmp_path


def accept(root, *rows):
    (root / ACCEPTED).write_text(yaml.safe_dump([{**PYYAML, **REASONS, **row} for row in rows]))


def found(root, service, **options):
    return audit(root, ["assets"], address=service.address, today=TODAY, **options)


def test_what_is_not_accepted_is_a_problem(root, service):
    result = found(root, service)
    assert result.packages == 2 and result.accepted == []
    (problem,) = result.problems
    assert problem == (
        "locks/assets.txt: pyyaml 5.3: PYSEC-2021-142, CVE-2020-14343, fixed in 5.4: not accepted"
    )
    assert sorted(service.asked) == [("pyyaml", "5.3"), ("six", "1.16.0")]


@pytest.mark.parametrize("name", ["CVE-2020-14343", "PYSEC-2021-142"])
def test_what_is_accepted_by_its_id_or_an_alias_is_none(root, service, name):
    accept(root, {"ids": [name]})
    result = found(root, service)
    assert result.problems == [] and [one.package for one in result.accepted] == ["pyyaml"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"versions": ["5.4"]}, ["not accepted", "CVE-2020-14343 is accepted for assets and not found"]),
        ({"package": "six"}, ["not accepted", "six: CVE-2020-14343 is accepted for assets and not found"]),
        ({"ids": ["CVE-2020-14343", "CVE-2020-1"]}, ["CVE-2020-1 is accepted for assets and not found"]),
        ({"locks": ["cpu"]}, ["not accepted"]),
        ({"review": datetime.date(2026, 11, 30)}, ["to be reviewed by 2026-11-30"]),
    ],
)
def test_an_acceptance_that_does_not_fit(root, monkeypatch, row, said):
    vulnerability = {"id": "PYSEC-2021-142", "aliases": ["CVE-2020-14343"], "fix_versions": ["5.4"]}
    answer = [{"name": "pyyaml", "version": "5.3", "vulns": [vulnerability]}]
    monkeypatch.setattr(audits, "_ask", lambda *_: answer)
    accept(root, row)
    problems = audit(root, ["assets"], today=TODAY).problems
    assert len(problems) == len(said)
    assert all(part in problem for part, problem in zip(said, problems, strict=True)), problems


def test_a_service_that_does_not_answer_is_no_pass(root, service):
    service.broken = True
    with pytest.raises(Refusal, match="locks/assets.txt is not audited, the service osv does not answer"):
        found(root, service)


@pytest.mark.parametrize(
    ("written", "cause"),
    [
        ("", "it said nothing"),
        ("Traceback ...\nMissingSchema: Invalid URL 'x'", "MissingSchema: Invalid URL 'x'"),
        (
            f"ConnectionError: HTTPSConnectionPool(host='api.osv.dev', port=443): Max retries exceeded with "
            f"url: /v1/query (Caused by {UNRESOLVED})",
            UNRESOLVED,
        ),
    ],
)
def test_the_cause_of_no_answer_is_whole(root, monkeypatch, written, cause):
    done = subprocess.CompletedProcess([], 1, "", written)
    monkeypatch.setattr(audits.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(Refusal) as refusal:
        audit(root, ["assets"], today=TODAY)
    text = str(refusal.value)
    assert f"does not answer ({cause}): try again" in text and "\n" not in text


def test_a_package_that_the_service_does_not_know_is_a_problem(root, monkeypatch):
    answer = [
        {"name": "pyyaml", "skip_reason": "Dependency not found"},
        {"name": "six", "version": "1", "vulns": []},
    ]
    monkeypatch.setattr(audits, "_ask", lambda *_: answer)
    problems = audit(root, ["assets"], today=TODAY).problems
    assert problems == ["locks/assets.txt: pyyaml was not audited: Dependency not found"]
    monkeypatch.setattr(audits, "_ask", lambda *_: [])
    assert audit(root, ["assets"], today=TODAY).problems == ["locks/assets.txt: no package of it was audited"]


def test_the_command(root, service, capsys):
    arguments = ["audit", "assets", "--osv-url", service.address, "--root", str(root)]
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 1 and "not accepted" in capsys.readouterr().err
    accept(root, {"review": datetime.date(2099, 1, 1)})
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--json"])
    assert not end.value.code and json.loads(capsys.readouterr().out)["accepted"][0]["version"] == "5.3"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"why": " "}, "why must say something"),
        ({"guard": None}, "guard must say something"),
        ({"review": "soon"}, "review must be a date"),
        ({"versions": "5.3"}, "versions must be a list"),
        ({"ids": []}, "ids must be a list"),
        ({"locks": ["cuda99"]}, "cuda99: no lock of that name"),
        ({"confirmed": "no"}, "confirmed must be true or false"),
        ({"reason": "x"}, "give exactly"),
    ],
)
def test_a_row_that_is_not_well_formed_is_refused(root, change, said):
    accept(root, {}, change)
    with pytest.raises(Refusal, match=f"row 2: {said}"):
        read_accepted(root / ACCEPTED, (*ENVIRONMENTS, *ALONE))


@pytest.mark.parametrize(("names", "options"), [(["cuda99"], {}), (["assets"], {"service": "nobody"})])
def test_unknown_words(root, names, options):
    with pytest.raises(SystemExit) as end:
        main(["audit", *names, *(f"--{key}={value}" for key, value in options.items()), "--root", str(root)])
    assert end.value.code == 2


def test_the_project_accepts_only_what_its_locks_have():
    rows = read_accepted(PROJECT / ACCEPTED, (*ENVIRONMENTS, *ALONE))
    for row in rows:
        for name in row.locks:
            pins = {pin.split(" ;")[0] for pin in read_entries(lock(PROJECT, name).read_text())}
            here = [version for version in row.versions if f"{row.package}=={version}" in pins]
            assert here, f"{row.package} {row.versions} is not in {name}"
        assert all(one.startswith(("CVE-", "GHSA-", "PYSEC-")) for one in row.ids)
    assert not any("cpu" in row.locks for row in rows)
