"""`encore dockerfiles`: the rules that let an image be built by anyone, years later."""

from __future__ import annotations

import re

BASE = re.compile(r"^FROM\s+(?:--\S+\s+)*(\S+)", re.MULTILINE)
ARGUMENT = re.compile(r"^ARG\s+(\w+)=(\S*)", re.MULTILINE)
USER = re.compile(r"^USER\s+(\S+)", re.MULTILINE)
WITHOUT_EFFECT = re.compile(r"^\s*#.*$|^HEALTHCHECK +NONE", re.MULTILINE)
# what builders older than this feature, or without a registry, stop at
FORBIDDEN = (
    (
        re.compile(r"^#\s*syntax\s*=", re.MULTILINE),
        "a `# syntax` line makes the build fetch a builder: remove it",
    ),
    (
        re.compile(r"^\s*(?:RUN|COPY|ADD)\b.*<<", re.MULTILINE),
        "a heredoc needs a newer builder: COPY a script",
    ),
    (re.compile(r"^ADD\b", re.MULTILINE), "ADD fetches and unpacks unasked: use COPY"),
)
NEEDED = (
    ("HEALTHCHECK", "no HEALTHCHECK: let it print the environment check"),
    ("org.opencontainers.image.revision=", "no label org.opencontainers.image.revision"),
    ("encore.lock=", "no label encore.lock: the launcher compares it with the lock"),
    ("ARG LOCK_DIGEST=", "no ARG LOCK_DIGEST: the build compares the lock with it"),
)


def dockerfile_problems(path):
    """What is wrong with one Dockerfile, as lines; empty when it keeps the rules."""
    text = path.read_text(encoding="utf-8")
    arguments = dict(ARGUMENT.findall(text))
    problems = [_base_problem(base, arguments) for base in BASE.findall(text)]
    if not BASE.search(text):
        problems.append("no FROM line")
    problems += [message for pattern, message in FORBIDDEN if pattern.search(text)]
    lines = WITHOUT_EFFECT.sub("", text)
    problems += [message for part, message in NEEDED if part not in lines]
    users = [_value(user, arguments).partition(":")[0] for user in USER.findall(text)]
    if not users or users[-1] in ("", "root", "0"):
        problems.append("it ends as root: add a USER line with an ordinary user")
    return [f"{path.name}: {problem}" for problem in problems if problem]


def _base_problem(base, arguments):
    image = _value(base, arguments)
    if "@sha256:" in image:
        return None
    tag = image.rpartition("/")[2].partition(":")[2]
    if tag in ("", "latest"):
        return f"the base image {image or base} is whatever is newest that day: name a version or a digest"
    return None


def _value(word, arguments):
    """A word with its build arguments replaced by their defaults."""

    def default(found):
        return arguments.get(found.group(1), found.group(2) or "")

    return re.sub(r"\$\{?(\w+)(?::-([^}]*))?\}?", default, word).strip("\"'")
