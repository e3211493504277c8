"""`encore locks`: every environment's versions and digests, made from `locks/*.in`, and checked.

`locks/<env>.in` names what is wanted; its line `# uv: …` holds the options of `uv pip compile`, a fixed date
among them. `<env>.override`, where there is one, wins over what packages ask for. `<env>.txt` is complete;
`<env>-rest.txt` is the same without torch and its CUDA build, for where that comes from elsewhere. A
Dockerfile names the digest of the lock that it installs.

A lock has drifted when a locked version is withdrawn, when its files change, or when the input asks for
another; not when a newer version turns up, which mirrors of the index may show days after the fixed date.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from encore.runtime.atomic import file_digest, replacing
from encore.runtime.refusal import Refusal

ENVIRONMENTS = ("cuda101", "cuda101-pandas", "cuda101-ray", "cuda118", "cuda118-ray", "cpu")
# installed beside others, and so without a rest; faults holds what it needs of cpu too, at the same versions
ALONE = ("assets", "container-tools", "faults")
# what comes with a CUDA build of torch, or in its place (cmake and lit: triton 2.0.0 asks for them)
CUDA_BUILD = re.compile(r"(torch|torchvision|faiss.*|cudatoolkit|cuda-.*|nvidia-.*|triton|cmake|lit)==")
OPTIONS = re.compile(r"^# uv: (.+)$", re.MULTILINE)
INCLUDE = re.compile(r"^-[rc] (\S+)$", re.MULTILINE)
LOCK_DIGEST = re.compile(r"^ARG LOCK_DIGEST=(\S*)$", re.MULTILINE)
HOST = re.compile(r"://|^\s*--?(?!hash=)[a-z]| @ ")
PACKAGE = re.compile(r"[a-z0-9.-]+==\S+( ; [^\\]+)?( \\)?$")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?$")
# uv takes its settings from the project and from the command line alone; these say how it reaches the index
KEPT_UV_VARIABLES = {
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INSECURE_HOST",
    "UV_KEYRING_PROVIDER",
    "UV_NATIVE_TLS",
    "UV_SYSTEM_CERTS",
    "UV_HTTP_TIMEOUT",
    "UV_CACHE_DIR",
    "UV_OFFLINE",
}


def write_locks(root):
    """Resolve every input, then write the locks and the Dockerfiles' digests; returns the changed names."""
    root, uv = Path(root), find_uv()
    texts = {}
    for name, entries in _resolve_all(root, uv, keep=False):
        if isinstance(entries, Refusal):
            raise entries
        texts.update(_lock_texts(root, name, entries))
    changed = [path for path, text in texts.items() if _replace(root / path, text)]
    for name in ENVIRONMENTS:
        path = root / f"Dockerfile.{name}"
        if path.exists():
            line = f"ARG LOCK_DIGEST={file_digest(rest_lock(root, name))}"
            if _replace(path, LOCK_DIGEST.sub(line, path.read_text(encoding="utf-8"))):
                changed.append(path.name)
    return changed


def check_locks(root, resolve=True):
    """Every problem of the locks as one line each; with `resolve` also what the index now answers otherwise.

    Raises Refusal when uv is missing and `resolve` is asked for.
    """
    root = Path(root)
    uv = find_uv() if resolve else None
    problems = []
    for name in (*ENVIRONMENTS, *ALONE):
        problems += _problems_of(root, name)
    for name in ENVIRONMENTS:
        problems += _dockerfile_problems(root, name)
    if resolve and not problems:
        for name, entries in _resolve_all(root, uv, keep=True):
            problems += _drift(root, name, entries)
    return problems


def find_uv():
    """The path of `uv`, beside this interpreter or on PATH; raises Refusal."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    uv = shutil.which("uv", path=path)
    if uv is None:
        raise Refusal("`uv`, which makes the locks, is missing: run `make setup`")
    return uv


def lock(root, name):
    """The complete lock of an environment."""
    return Path(root) / "locks" / f"{name}.txt"


def rest_lock(root, name):
    """The lock of an environment without torch and its CUDA build."""
    return Path(root) / "locks" / f"{name}-rest.txt"


def read_entries(text):
    """{`name==version ; marker`: the lines of the entry, its digests included} of a lock."""
    entries, pin = {}, None
    for line in text.splitlines():
        if line.startswith(("#", " ")):
            if pin and line.startswith(" "):
                entries[pin].append(line)
            continue
        pin = line.removesuffix(" \\")
        entries[pin] = [line]
    return entries


def without_cuda_build(entries):
    """The entries that stay in the rest lock."""
    return {pin: lines for pin, lines in entries.items() if not CUDA_BUILD.match(pin)}


def resolve_input(root, name, uv, kept=()):
    """The entries that `uv pip compile` makes of one input; raises Refusal with its reason.

    Versions of `kept` (`name==version ; marker`) stay wherever they still fit.
    """
    path = _input(root, name)
    override = path.with_suffix(".override")
    command = [
        *(uv, "pip", "compile", "--no-config", "--quiet", "--generate-hashes", "--no-header"),
        *("--no-annotate", "--no-emit-index-url", *_options(path)),
        *(("--override", str(override)) if override.exists() else ()),
        str(path),
    ]
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("UV_") or key in KEPT_UV_VARIABLES
    }
    environment["UV_PYTHON_DOWNLOADS"] = "never"
    with tempfile.TemporaryDirectory(prefix="encore-lock-") as folder:
        # without their digests, which uv would otherwise take from here instead of from the index
        output = Path(folder) / f"{name}.txt"
        output.write_text("".join(f"{pin}\n" for pin in kept), encoding="utf-8")
        command[-1:] = ["--output-file", str(output), command[-1]]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = " ".join(done.stderr.split())[-400:]
            raise Refusal(f"locks/{path.name} does not resolve: {reason}")
        return read_entries(output.read_text(encoding="utf-8"))


def _resolve_all(root, uv, keep):
    """(name, entries or the Refusal) of every input, side by side; with `keep`, near the made locks."""

    def resolve(name):
        kept = read_entries(lock(root, name).read_text(encoding="utf-8")) if keep else ()
        try:
            return name, resolve_input(root, name, uv, kept)
        except Refusal as refusal:
            return name, refusal

    names = (*ENVIRONMENTS, *ALONE)
    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(resolve, names))


def _lock_texts(root, name, entries):
    """{path below root: text} of the locks of one input."""
    made_from = f"made by `make locks` from {', '.join(path.name for path in _inputs(root, name))}"
    digest = _inputs_digest(root, name)
    texts = {f"locks/{name}.txt": _with_header(entries, made_from, digest)}
    if name not in ALONE:
        rest = f"{made_from}: {name}.txt without torch and its CUDA build"
        texts[f"locks/{name}-rest.txt"] = _with_header(without_cuda_build(entries), rest, digest)
    return texts


def _with_header(entries, made_from, inputs_digest):
    body = "".join(f"{line}\n" for lines in entries.values() for line in lines)
    content = hashlib.sha256(body.encode()).hexdigest()
    return f"# {made_from}\n# inputs sha256: {inputs_digest}\n# content sha256: {content}\n{body}"


def _problems_of(root, name):
    """What is wrong with the locks of one input, as far as the files themselves tell."""
    path = lock(root, name)
    paths = [path] if name in ALONE else [path, rest_lock(root, name)]
    missing = [
        f"locks/{p.name} is missing: run `make locks`" for p in (_input(root, name), *paths) if not p.exists()
    ]
    if missing:
        return missing
    problems = [problem for p in paths for problem in _format_problems(p)]
    text = path.read_text(encoding="utf-8")
    if f"# inputs sha256: {_inputs_digest(root, name)}\n" not in text:
        inputs = ", ".join(p.name for p in _inputs(root, name))
        problems.append(f"locks/{path.name} is older than what it is made from ({inputs}): run `make locks`")
    elif not problems:
        for file, expected in _lock_texts(root, name, read_entries(text)).items():
            if (root / file).read_text(encoding="utf-8") != expected:
                reason = (
                    "was edited by hand" if file == f"locks/{name}.txt" else f"is not the rest of {path.name}"
                )
                problems.append(f"{file} {reason}: change the .in file and run `make locks`")
    return problems


def _format_problems(path):
    """Lines that name a host, packages without a digest, and lines that no lock has."""
    text = path.read_text(encoding="utf-8")
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        if HOST.search(line):
            problems.append(f"locks/{path.name}:{number} names a host or an index: {line.strip()}")
        elif not line.startswith("#") and not PACKAGE.match(line) and not HASH.match(line):
            problems.append(f"locks/{path.name}:{number} is no line of a lock: {line.strip()!r}")
    for pin, lines in read_entries(text).items():
        if len(lines) == 1:
            problems.append(f"locks/{path.name}: {pin} has no hash: run `make locks`")
    return problems


def _dockerfile_problems(root, name):
    """A Dockerfile that names another digest than its lock has."""
    path, rest = root / f"Dockerfile.{name}", rest_lock(root, name)
    if not path.exists() or not rest.exists():
        return []
    named, digest = LOCK_DIGEST.findall(path.read_text(encoding="utf-8")), file_digest(rest)
    if not named:
        return [
            f"{path.name} has no line `ARG LOCK_DIGEST={digest}`, the digest of locks/{rest.name}: add it"
        ]
    if set(named) != {digest}:
        return [f"{path.name}: LOCK_DIGEST is not the digest of locks/{rest.name}: run `make locks`"]
    return []


def _drift(root, name, entries):
    """What of the lock the index no longer gives, or its input no longer allows."""
    if isinstance(entries, Refusal):
        return [str(entries)]
    locked = read_entries(lock(root, name).read_text(encoding="utf-8"))
    gone, new = [p for p in locked if p not in entries], [p for p in entries if p not in locked]
    rehashed = [p for p in locked if p in entries and _digests(locked[p]) != _digests(entries[p])]
    differences = [f"without {p}" for p in gone] + [f"with {p}" for p in new]
    differences += [f"with other files of {p}" for p in rehashed]
    if not differences:
        return []
    return [f"locks/{name}.txt has drifted, it would now be made {', '.join(differences)}: run `make locks`"]


def _digests(lines):
    return {line.strip(" \\") for line in lines[1:]}


def _input(root, name):
    return Path(root) / "locks" / f"{name}.in"


def _inputs(root, name):
    """The files that one lock is made from: the .in, those it includes, the override."""
    path = _input(root, name)
    included = [path.parent / other for other in INCLUDE.findall(path.read_text(encoding="utf-8"))]
    for other in included:
        if not other.exists():
            raise Refusal(f"locks/{path.name} includes {other.name}, which is missing: restore it")
    override = path.with_suffix(".override")
    return [path, *included, *([override] if override.exists() else [])]


def _inputs_digest(root, name):
    digests = "".join(f"{file_digest(path)}  {path.name}\n" for path in _inputs(root, name))
    return hashlib.sha256(digests.encode()).hexdigest()


def _options(path):
    found = OPTIONS.search(path.read_text(encoding="utf-8"))
    if found is None:
        raise Refusal(
            f"locks/{path.name}: a line `# uv: --python-version … --exclude-newer …` is missing: add it"
        )
    return shlex.split(found.group(1))


def _replace(path, text):
    """Write `text`, whole or not at all, if the file holds something else; True if it did."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    with replacing(path, "w") as file:
        file.write(text)
    return True
