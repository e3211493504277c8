"""A DVC project of a few quick stages, with a cache of its own or a shared one, as this or another user."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

from encore.runtime.refusal import Refusal

SECONDS = 120
SECONDS_TO_VANISH = 10
ORDINARY = ("nobody", "daemon", "games", "mail")
"""Users that a Debian machine has, one of which some stages are run as."""
STAGES = 2
FILES, BYTES = 6, 150_000
"""Of the output of each stage; their content depends on the stage alone."""
MAKE = """
import os, sys
number = int(sys.argv[1])
os.makedirs("out%d" % number)
for place in range({files}):
    with open("out%d/%d.bin" % (number, place), "wb") as file:
        file.write(bytes([number, place]) * ({bytes} // 2))
"""
PIPELINE = """stages:
  make:
    matrix: {{n: [{numbers}]}}
    cmd: {python} make.py ${{item.n}}
    deps: [make.py]
    outs:
      - out${{item.n}}
"""


class TinyPipeline:
    """A project in `folder`. cache: a folder outside that others use too (its group may write), or None for
    the project's own. user: name of the user that runs it, None for this one; group: a further group of that
    user. umask: that of every command; a shared cache asks for 002."""

    def __init__(self, folder, cache=None, user=None, group=None):
        self.folder, self.cache = folder, cache or folder / ".dvc" / "cache"
        self._user, self._group = user, group
        self.umask = 0o002 if cache else 0o022
        (folder / ".dvc").mkdir(parents=True)
        self._configure(shared=cache is not None)
        (folder / "make.py").write_text(MAKE.format(files=FILES, bytes=BYTES))
        numbers = ", ".join(str(number) for number in range(STAGES))
        (folder / "dvc.yaml").write_text(PIPELINE.format(python=sys.executable, numbers=numbers))
        self._own(folder)

    def _configure(self, shared):
        lines = ["[core]", "    no_scm = true", "    analytics = false"]
        if shared:
            lines += ["[cache]", f"    dir = {self.cache}", "    shared = group", "    type = copy"]
        (self.folder / ".dvc" / "config").write_text("\n".join(lines) + "\n")

    def _own(self, folder):
        """Give a folder to the user that runs the project."""
        if self._user:
            found = pwd.getpwnam(self._user)
            for path in (folder, *folder.rglob("*")):
                os.chown(path, found.pw_uid, found.pw_gid)

    def copy_of(self, other):
        """A copy of another project that belongs to this one's user, as of `git clone`: without outputs."""
        copy = self.folder / ".others" / other.folder.name
        for name in ("dvc.yaml", "dvc.lock", "make.py", ".dvc/config"):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(other.folder / name, copy / name)
        self._own(self.folder / ".others")
        return copy

    def environment(self, **more):
        """The variables that every command gets; nothing of the home of whoever runs it."""
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")}
        own = {"HOME": str(self.folder / ".home"), "DVC_SITE_CACHE_DIR": str(self.folder / ".home" / "site")}
        return {**kept, **own, "DVC_NO_ANALYTICS": "1", "PYTHONDONTWRITEBYTECODE": "1", **more}

    def start(self, *words, program=(sys.executable, "-m", "dvc"), **variables):
        """Start dvc, or another program, in a process group of its own."""
        return subprocess.Popen(
            [*self._as_user(), *program, *words],
            cwd=self.folder,
            env=self.environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            umask=self.umask,
        )

    def run(self, *words, **options):
        """What it printed; RuntimeError when it does not end well."""
        process = self.start(*words, **options)
        status, text = ended(process)
        if status:
            raise RuntimeError(f"{' '.join(words)} ended with {status}: {text[-400:]}")
        return text

    def _as_user(self):
        """It may read all, since the interpreter may lie in somebody's home, and write only as its user."""
        if not self._user:
            return []
        found = pwd.getpwnam(self._user)
        groups = str(grp.getgrnam(self._group).gr_gid if self._group else found.pw_gid)
        reading = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        return [
            "setpriv",
            f"--reuid={found.pw_uid}",
            f"--regid={found.pw_gid}",
            f"--groups={groups}",
            *reading,
        ]

    def problems(self):
        """What of the project is not as a run of its own would have left it."""
        found = []
        for number in range(STAGES):
            for place in range(FILES):
                path = self.folder / f"out{number}" / f"{place}.bin"
                if not path.is_file() or path.read_bytes() != bytes([number, place]) * (BYTES // 2):
                    found.append(f"{path.relative_to(self.folder)} is missing or differs")
        return found + self.status_problems()

    def status_problems(self):
        """What `dvc status` says, where it is not that all is up to date."""
        status, text = ended(self.start("status"))
        return [f"dvc status: {' '.join(text.split())[:200]}"] if status or "up to date" not in text else []

    def missing_objects(self):
        """The objects that dvc.lock names and the cache lacks."""
        lock = self.folder / "dvc.lock"
        recorded = yaml.safe_load(lock.read_text(encoding="utf-8")) if lock.exists() else None
        stages = recorded["stages"] if recorded else {}  # an empty one: `dvc status` refuses it
        named = {out["md5"] for stage in stages.values() for out in stage["outs"]}
        return sorted(one for one in named if not object_path(self.cache, one).is_file())


def object_path(cache, digest):
    """Where DVC keeps the object of a digest."""
    return Path(cache) / "files" / "md5" / digest[:2] / digest[2:]


def cache_problems(cache, group=None):
    """Objects whose bytes are not those of their name; with `group` also those that it could not use."""
    found = []
    for path in sorted((Path(cache) / "files" / "md5").rglob("*")):
        name = path.relative_to(cache)
        if path.is_dir():
            if group and not _is_open(path, group, 0o070):
                found.append(f"{name}: {path.stat().st_mode:o}, another user of the group cannot write there")
        elif len(path.name.partition(".")[0]) == 30:
            digest = hashlib.md5(path.read_bytes()).hexdigest()
            if digest != path.parent.name + path.name.partition(".")[0]:
                found.append(f"{name}: its bytes are not those of its name")
            if group and not _is_open(path, group, 0o040):
                found.append(f"{name}: {path.stat().st_mode:o}, another user of the group cannot read it")
    return found


def _is_open(path, group, bits):
    status = path.stat()
    return status.st_gid == grp.getgrnam(group).gr_gid and status.st_mode & bits == bits


def ended(process):
    """(status, all that it printed); one that hangs is killed, which its status tells."""
    try:
        text = process.communicate(timeout=SECONDS)[0]
    except subprocess.TimeoutExpired:
        kill(process)
        return process.returncode, f"it hung for {SECONDS} s: {process.communicate()[0]}"
    return process.returncode, text


def kill(process):
    """End it and all that it started, as a power cut does: none is there afterwards, nor its number."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        until = time.monotonic() + SECONDS_TO_VANISH
        while time.monotonic() < until:
            os.killpg(process.pid, 0)  # one that has ended stays until its parent, or init, has seen it
            time.sleep(0.01)
        raise RuntimeError(f"group {process.pid} is still there {SECONDS_TO_VANISH} s after SIGKILL")


def drop_broken_lock(folder):
    """What the guide says to do where DVC was killed while it wrote its list of locks, or its record, in
    place."""
    record = folder / "dvc.lock"
    if record.exists() and not record.read_text(encoding="utf-8"):
        record.unlink()
    path = folder / ".dvc" / "tmp" / "rwlock"
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        pass
    except ValueError:
        path.unlink()


def other_users(count):
    """Names of ordinary users to run as, and of a group for them; Refusal where this is not allowed."""
    if os.geteuid() != 0:
        raise Refusal("only root can run as several users")
    names = [entry.pw_name for entry in pwd.getpwall() if entry.pw_uid and entry.pw_name in ORDINARY][:count]
    if len(names) < count:
        raise Refusal("this machine has too few of the users " + ", ".join(ORDINARY))
    probe = subprocess.run(
        ["setpriv", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "true"],
        capture_output=True,
    )
    if probe.returncode:
        raise Refusal("setpriv cannot hand on the right to read: " + probe.stderr.decode().strip())
    return names, grp.getgrgid(100).gr_name
