"""The links of the documents: files and headings of the project, addresses of servers."""

from __future__ import annotations

import json
import threading
import urllib.error
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from checks import links as links_module
from checks.links import Link, broken_links, links_of
from checks.size import PROJECT
from encore.runtime.refusal import Refusal
from tests.checks.test_verify import run

README = """# Name

See [the other](REPRODUCE.md#build-and-run), [itself](#name), [a file](src/a.py) and https://a.test/page.

```
curl https://commands.test/not-a-link
```
After the block: arXiv 2111.08004, github.com/a/b.
"""


@pytest.fixture
def documents(tmp_path):
    """A project with two documents and a file."""
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "REPRODUCE.md").write_text("## Build and run!\n\n## Build and run\n\n[up](README.md)\n")
    (tmp_path / "inputs.yaml").write_text("x:\n  source: the page https://b.test/data, licence\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("")
    return tmp_path


def test_links_are_found_with_their_lines_and_commands_are_no_links(documents):
    found = links_of(documents)
    assert Link("README.md:3", "https://a.test/page") in found
    assert Link("README.md:8", "https://arxiv.org/abs/2111.08004") in found
    assert Link("README.md:8", "https://github.com/a/b") in found
    assert Link("inputs.yaml:2", "https://b.test/data") in found
    assert not [link for link in found if "commands.test" in link.target]


def test_files_and_headings_that_are_there_are_no_problem(documents):
    assert broken_links(documents) == []


@pytest.mark.parametrize(
    "old, new, problem",
    [
        ("src/a.py", "src/b.py", "README.md:3: src/b.py: no such file"),
        ("#build-and-run", "#build", "README.md:3: REPRODUCE.md#build: no such heading"),
        ("#name", "#title", "README.md:3: #title: no such heading"),
    ],
)
def test_a_link_to_nowhere_is_named_with_its_place(documents, old, new, problem):
    (documents / "README.md").write_text(README.replace(old, new))
    assert broken_links(documents) == [problem]


def test_the_second_heading_of_a_name_has_a_number(documents):
    (documents / "README.md").write_text(README.replace("build-and-run", "build-and-run-1"))
    assert broken_links(documents) == []
    (documents / "README.md").write_text(README.replace("build-and-run", "build-and-run-2"))
    assert len(broken_links(documents)) == 1


def test_a_folder_without_documents_is_refused(tmp_path):
    with pytest.raises(Refusal, match="none of README.md, .* name the folder of the project"):
        links_of(tmp_path)


class Answers:
    """An opener that answers as told, and notes what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def __call__(self, address, seconds):
        self.asked.append(address)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer


def status(code):
    return urllib.error.HTTPError("https://a.test", code, "Reason", {}, None)


@pytest.fixture
def one_address(documents):
    (documents / "README.md").write_text("https://a.test/page https://a.test/page https://x.example/\n")
    (documents / "inputs.yaml").unlink()
    return documents


def test_nothing_is_asked_without_online(one_address):
    opener = Answers(status(404))
    assert broken_links(one_address, opener=opener) == [] and opener.asked == []


@pytest.mark.parametrize(
    "answers, asked, problems",
    [
        ([], 1, []),
        ([status(404)], 1, ["README.md:1: https://a.test/page: 404 Reason"]),
        ([status(403)], 1, []),
        ([status(503), None], 2, []),
        ([status(503)] * 3, 3, ["README.md:1: https://a.test/page: 503 Reason"]),
        ([TimeoutError("timed out")] * 3, 3, ["README.md:1: https://a.test/page: timed out"]),
    ],
)
def test_each_address_is_asked_once_and_again_only_where_that_may_help(one_address, answers, asked, problems):
    opener = Answers(*answers)
    assert broken_links(one_address, online=True, opener=opener, pause=0) == problems
    assert opener.asked == ["https://a.test/page"] * asked


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/there" else 404)
        self.end_headers()
        self.wfile.write(b"page")

    def log_message(self, *_):
        pass


def test_a_real_server_is_asked(documents, monkeypatch):
    monkeypatch.setattr(links_module, "EXAMPLES", (".example",))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    (documents / "README.md").write_text(f"{base}/there\n{base}/gone\n")
    (documents / "inputs.yaml").unlink()
    try:
        assert broken_links(documents, online=True, pause=0) == [f"README.md:2: {base}/gone: 404 Not Found"]
    finally:
        server.shutdown()


def test_the_command_ends_with_1_and_names_each(documents, capsys):
    assert run("links", "--root", documents) == 0
    (documents / "src" / "a.py").unlink()
    assert run("links", "--root", documents) == 1
    assert capsys.readouterr().err == "encore: README.md:3: src/a.py: no such file\n"
    assert run("links", "--root", documents, "--json") == 1
    assert json.loads(capsys.readouterr().out) == ["README.md:3: src/a.py: no such file"]


def test_the_links_of_this_project_lead_somewhere():
    assert broken_links(PROJECT) == []
    assert len([link for link in links_of(PROJECT) if link.online]) > 10
