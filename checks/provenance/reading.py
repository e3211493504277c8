"""A crate that is there: its entities by id, and whether every file that it holds is what it says."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import unquote

from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal

METADATA = "ro-crate-metadata.json"


class Crate:
    """The entities of the crate in `folder`; raises Refusal where there is none."""

    def __init__(self, folder):
        self.folder = Path(folder)
        path = self.folder / METADATA
        try:
            rows = read_json_file(path)["@graph"]
            self.entities = {row["@id"]: row for row in rows}
            if not all(isinstance(identity, str) for identity in self.entities):
                raise TypeError("an @id that is no text")
        except FileNotFoundError:
            raise Refusal(f"{path}: no such file: write the crate first, see `encore crate --help`") from None
        except (KeyError, OSError, RecursionError, TypeError, ValueError):
            raise Refusal(f"{path}: not the metadata of a crate: write the crate again") from None

    def get(self, identity, key):
        """The values of a property as a list: ids of references, and plain values as they are."""
        found = self.entities.get(identity, {}).get(key, [])
        found = found if isinstance(found, list) else [found]
        return [one.get("@id") if isinstance(one, dict) else one for one in found]

    def first(self, identity, key):
        """The first value of a property, or None."""
        return next(iter(self.get(identity, key)), None)

    def is_a(self, identity, kind):
        return kind in self.get(identity, "@type")

    def holds(self, identity):
        """Whether an entity is a file within the crate."""
        return self.is_a(identity, "File") and "://" not in identity and not identity.startswith("#")

    def problem(self, identity):
        """What is wrong with the bytes of a file that the crate holds, or None."""
        path = self.folder / unquote(identity)
        if not path.is_file():
            return f"{identity}: not in the crate any more"
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != self.first(identity, "sha256"):
            return f"{identity}: not the bytes that the crate was made with: its SHA-256 differs"
        md5 = self.first(identity, "md5")
        if md5 and hashlib.md5(data).hexdigest() != md5:
            return f"{identity}: not the bytes that its stage met: its md5 differs"
        return None

    def problems(self):
        """What is wrong with the files of the crate, one line each; files that it does not name count too."""
        held = [identity for identity in self.entities if self.holds(identity)]
        found = [line for line in map(self.problem, held) if line]
        named = {unquote(identity) for identity in held} | {METADATA}
        lying = (
            path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()
        )
        return found + [f"{name}: in the folder, and not in the crate" for name in sorted(set(lying) - named)]
