"""What a crate that is given away must not tell: keys, passwords, and where files lie on somebody's disk."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

WITHHELD = "(withheld)"
SECRET_NAME = re.compile(
    r"(^|_)((api|access|private|wandb)_?key|token|secret|password|passwd|credentials?)($|_)", re.I
)
PASSWORD_IN_ADDRESS = re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)(?=@)")
HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
SHORTEST_SECRET = 8  # a shorter text stands in too many harmless places to be searched for
SURELY_NO_WORD = 20  # from this length on, or with a digit in it, a text is no word of a report


@dataclass(frozen=True)
class Discretion:
    """Texts and what stands in for each: `secrets` anywhere, `places` (absolute paths) in records."""

    secrets: tuple[tuple[str, str], ...]
    places: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, root, values, environment=None):
        """What to withhold: the secrets in `values` (nested mappings) and in the environment, by their names
        or as the password of an address, the project's folder, the home folder, and every value that is an
        absolute path."""
        environment = os.environ if environment is None else environment
        leaves = [leaf for value in values for leaf in _leaves("", value)]
        secrets = {text for name, text in leaves if is_secret(name, text)}
        secrets |= {password for _, text in leaves for password in _passwords(text)}
        known = {text for name, text in environment.items() if is_secret(name, text)}
        known |= {password for text in environment.values() for password in _passwords(text)}
        secrets |= set(filter(_is_no_word, known))
        secrets |= {json.dumps(text, ensure_ascii=plain)[1:-1] for text in secrets for plain in (True, False)}
        places = {text: f"…/{PurePosixPath(text).name}" for _, text in leaves if text.startswith("/")}
        places = {text: short for text, short in places.items() if len(PurePosixPath(text).parts) > 2}
        home = str(Path.home())
        places.update({f"{root}/": "", str(root): ".", f"{home}/": "~/", home: "~"})
        return cls(
            tuple((text, WITHHELD) for text in sorted(secrets, key=_longest)),
            tuple((text, places[text]) for text in sorted(places, key=_longest)),
        )

    def clean(self, text, is_record=True):
        """`text` with what is withheld replaced; places, and whatever stands as the password of an address,
        only in records, since no code holds any by right."""
        for secret, stand_in in self.secrets:
            text = text.replace(secret, stand_in)
        if is_record:
            text = PASSWORD_IN_ADDRESS.sub(WITHHELD, text)
        for place, stand_in in self.places if is_record else ():
            if place in text:
                after = "" if place.endswith("/") else r"(?![\w.-])"
                text = re.sub(rf"(?<![\w./~-]){re.escape(place)}{after}", lambda _, new=stand_in: new, text)
        return text

    def clean_bytes(self, data, is_record=True):
        """The same for the bytes of a file; what is no UTF-8 text is searched for secrets alone."""
        try:
            return self.clean(data.decode("utf-8"), is_record).encode("utf-8")
        except UnicodeDecodeError:
            for secret, stand_in in self.secrets:
                data = data.replace(secret.encode("utf-8"), stand_in.encode("utf-8"))
            return data


def is_secret(name, value):
    """Whether a value of this name is one that only its owner should know."""
    known = isinstance(value, str) and SECRET_NAME.search(HUMP.sub("_", name)) is not None
    return known and len(value) >= SHORTEST_SECRET


def _passwords(text):
    """The passwords of the addresses in a text, long enough to be searched for."""
    found = (password for _, password in PASSWORD_IN_ADDRESS.findall(text))
    return [password for password in found if len(password) >= SHORTEST_SECRET]


def _is_no_word(text):
    return len(text) >= SURELY_NO_WORD or any(letter.isdigit() for letter in text)


def _longest(text):
    return (-len(text), text)


def _leaves(name, value):
    """(name, text) of every text in nested mappings and lists."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(str(key), item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(name, item)
    elif isinstance(value, str):
        yield name, value
