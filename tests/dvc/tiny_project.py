"""A DVC project of two files without git, and the commands that REPRODUCE.md gives for its store."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys

from checks.size import PROJECT

SECTION = "## Sharing artefacts"
BIG = 8_000_000
SECONDS = 120


def documented(scheme):
    """The `dvc remote` commands, as argument lists, that REPRODUCE.md gives for a store whose URL begins with
    `scheme`."""
    text = (PROJECT / "REPRODUCE.md").read_text(encoding="utf-8").split(f"\n{SECTION}\n")[1].split("\n## ")[0]
    blocks = [block for block in text.split("\n```\n")[1::2] if f" lab {scheme}" in block]
    assert len(blocks) == 1, f"{SECTION} of REPRODUCE.md: one block for {scheme}, not {len(blocks)}"
    commands = [shlex.split(line) for line in blocks[0].splitlines()]
    assert all(words[:2] == [".venv/bin/dvc", "remote"] for words in commands)
    return [words[1:] for words in commands]


class TinyProject:
    """A project in `folder`, apart from the settings of whoever runs the tests; `data` is its one output."""

    def __init__(self, folder):
        self.folder = folder
        (folder / ".dvc").mkdir(parents=True)
        (folder / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
        places = {"HOME": str(folder / "home"), "DVC_SITE_CACHE_DIR": str(folder / "site")}
        known = {**places, "DVC_NO_ANALYTICS": "1"}
        left_out = ("PYTHONPATH", "SSH_AUTH_SOCK", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
        kept = {key: value for key, value in os.environ.items() if key not in left_out}
        self.environment = {**kept, **known}

    def add(self):
        """Put two files into `data` and let DVC follow them."""
        data = self.folder / "data"
        data.mkdir()
        (data / "big.bin").write_bytes(os.urandom(BIG))
        (data / "small.txt").write_text("small\n")
        self.run("add", "--quiet", "data")
        return self

    def clone(self, folder):
        """A project that has the same data to pull, and the same settings."""
        other = TinyProject(folder)
        shutil.copy(self.folder / "data.dvc", folder)
        shutil.copy(self.folder / ".dvc" / "config.local", folder / ".dvc")
        return other

    def copy(self, folder):
        """The same with its data and cache, as if its commands had been run in `folder`."""
        other = self.clone(folder)
        for name in ("data", ".dvc/cache"):
            shutil.copytree(self.folder / name, folder / name)
        return other

    def configure(self, scheme, values):
        """Name the store by the documented commands, with `values` in the place of their words."""
        for words in documented(scheme):
            self.run(*(values.get(word, word) for word in words))
        return self

    def replace_setting(self, values):
        """Write other words into .dvc/config.local."""
        path = self.folder / ".dvc" / "config.local"
        text = path.read_text()
        for old, new in values.items():
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)

    def start(self, *words):
        """Start dvc in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "dvc", *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def call(self, *words):
        """(exit status, all that it printed) of dvc."""
        return finish(self.start(*words))

    def run(self, *words):
        """What dvc printed; it has to end well."""
        status, text = self.call(*words)
        assert status == 0, f"dvc {' '.join(words)}: {text}"
        return text

    def files(self):
        """{path: bytes} of the data in the workspace."""
        data = self.folder / "data"
        paths = (path for path in data.rglob("*") if path.is_file())
        return {path.relative_to(data).as_posix(): path.read_bytes() for path in paths}


def finish(process):
    """(exit status, all that it printed) of a started dvc; one that hangs is ended, and fails the test."""
    try:
        text = process.communicate(timeout=SECONDS)[0]
    except subprocess.TimeoutExpired:
        kill(process)
        raise AssertionError(f"dvc hangs: {process.communicate()[0]}") from None
    return process.returncode, text


def kill(process):
    """End a started dvc as a power cut does."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
