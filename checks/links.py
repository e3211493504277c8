"""`encore links`: every link that the documents name leads somewhere."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from encore.runtime.refusal import Refusal

DOCUMENTS = (
    "README.md",
    "REPRODUCE.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "inputs.yaml",
    "mini/*.yaml",
    "claims/*.yaml",
)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
MARKDOWN = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
ADDRESS = re.compile(r"https?://[^\s)>\]\"'`,;|]+")
NAMED = re.compile(r"\b(arXiv[ :]|github\.com/)([\w.-]+(?:/[\w.-]+)?)", re.IGNORECASE)
PUNCTUATION = re.compile(r"[.:]+$")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
EXAMPLES = (".example", "example.org", "example.com", "localhost", "127.0.0.1")
TIMEOUT, ATTEMPTS, WORKERS = 20, 3, 8
AGENT = "encore-links (+checks that cited pages are there)"
THERE_ALL_THE_SAME = (401, 403, 405, 429)
"""Answers of a server that has the page and wants no program to read it."""


@dataclass(frozen=True)
class Link:
    """A link as it stands in a document (`source`: path and line)."""

    source: str
    target: str

    @property
    def online(self):
        return self.target.startswith(("http://", "https://"))


def links_of(root):
    """Every Link of the documents in `root`, in their order; raises Refusal where there is no document.

    Papers and repositories that a text names without an address (`arXiv 2111.08004`, `github.com/a/b`) are
    links too. Fenced blocks hold commands, whose addresses are examples.
    """
    root = Path(root)
    paths = [path for pattern in DOCUMENTS for path in sorted(root.glob(pattern)) if path.is_file()]
    if not paths:
        raise Refusal(f"{root}: none of {', '.join(DOCUMENTS)} is there: name the folder of the project")
    return [link for path in paths for link in _links_in(path, path.relative_to(root).as_posix())]


def broken_links(root, online=False, opener=None, pause=1.0):
    """One line for each broken link; relative ones are always followed, others where `online`.

    opener: takes an address and seconds, and raises where it cannot be read. pause: seconds between attempts.
    """
    links = links_of(root)
    found = [problem for link in links if not link.online for problem in _relative(Path(root), link)]
    if online:
        addresses = sorted({link.target for link in links if link.online and not _is_example(link.target)})
        with ThreadPoolExecutor(WORKERS) as pool:
            answers = pool.map(lambda address: _unreachable(address, opener or _open, pause), addresses)
            reasons = dict(zip(addresses, answers, strict=True))
        found += [
            f"{link.source}: {link.target}: {reasons[link.target]}"
            for link in links
            if reasons.get(link.target)
        ]
    return found


def _links_in(path, name):
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{path}: not a document in UTF-8 ({error}): restore it") from None
    if path.suffix == ".md":  # as many lines, so that line numbers stay
        text = FENCE.sub(lambda block: "\n" * block.group().count("\n"), text)
    for number, line in enumerate(text.splitlines(), start=1):
        targets = MARKDOWN.findall(line) if path.suffix == ".md" else []
        targets += ADDRESS.findall(line)
        targets += [_address(kind, rest) for kind, rest in NAMED.findall(ADDRESS.sub("", line))]
        for target in dict.fromkeys(PUNCTUATION.sub("", target) for target in targets if target):
            yield Link(f"{name}:{number}", target)


def _address(kind, rest):
    """The address of what a text names, None for what only looks like it (`github.com/a` without a name)."""
    rest = PUNCTUATION.sub("", rest)
    if kind.lower().startswith("arxiv"):
        return f"https://arxiv.org/abs/{rest}" if re.fullmatch(r"\d{4}\.\d{4,5}", rest) else None
    return f"https://github.com/{rest}" if "/" in rest else None


def _is_example(address):
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:  # as `http://[`: no example, and nothing that answers
        return False
    return host.endswith(EXAMPLES)


def _relative(root, link):
    """The problem of a link to a file of the project, or to a heading of one, as a list of none or one."""
    if link.target.startswith("mailto:"):
        return []
    place, _, heading = link.target.partition("#")
    document = root / link.source.rpartition(":")[0]
    path = (document.parent / place) if place else document
    if not path.exists():
        return [f"{link.source}: {link.target}: no such file"]
    if heading and heading not in _anchors(path):
        return [f"{link.source}: {link.target}: no such heading"]
    return []


def _anchors(path):
    """The names that a page's headings have: lower case, blanks to dashes, other signs dropped; a second of
    the same name ends in -1."""
    if not path.is_file():
        return set()
    text = FENCE.sub("", path.read_text(encoding="utf-8", errors="replace"))
    seen, names = {}, set()
    for heading in HEADING.findall(text):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        count = seen[name] = seen.get(name, -1) + 1
        names.add(f"{name}-{count}" if count else name)
    return names


def _unreachable(address, opener, pause):
    """Why an address could not be read in several attempts, None where it could."""
    why = None
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause * 2**attempt)
        try:
            opener(address, TIMEOUT)
            return None
        except urllib.error.HTTPError as error:
            if error.code in THERE_ALL_THE_SAME:
                return None
            why = f"{error.code} {error.reason}"
            if error.code in (404, 410):  # asking again does not help
                return why
        except (OSError, ValueError) as error:
            why = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
    return why


def _open(address, seconds):
    request = urllib.request.Request(address, headers={"User-Agent": AGENT})
    with urllib.request.urlopen(request, timeout=seconds) as response:
        response.read(1)
