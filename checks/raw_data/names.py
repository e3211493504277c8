"""Patterns of file names: which names a data set must have, may have, and lacks.

    T{000000..999999}.jpg           every number from 000000 to 999999, written this wide
    new{c=000..999}/{c}_{0..49}.jpg the same number twice: `c`
    {class}/{class}_#+.JPEG         every class of a list, and the same one again; a number of any length
    <class>/val_{001..500}.JPEG     every number once, in the folder of any class of the list
    (####)_c{1..6}s#_*.jpg          a digit each, any text without a slash; what stands in ( ) is an identity

What stands in braces must be there with each of its values; all else says what a name may look like.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from encore.runtime.refusal import Refusal

TOKEN = re.compile(
    r"\{(?:(?P<name>[a-z]+)=)?(?P<first>\d+)\.\.(?P<last>\d+)\}|\{(?P<again>[a-z]+)\}|<class>|#\+|[#*()]"
)
FREE = {"#": "[0-9]", "#+": "[0-9]+", "*": "[^/]*", "(": "(?P<group>", ")": ")"}
CLASS = "class"


@dataclass(frozen=True)
class Part:
    """One piece of a pattern: text, a range of numbers, a class, or something that may vary."""

    kind: str  # text, range, class, any_class, again, free
    text: str
    name: str = ""
    numbers: range = range(0)
    width: int = 0

    def values(self, classes):
        """Every text that this piece, in braces, must stand for."""
        if self.kind == "class":
            return classes
        return [f"{number:0{self.width}d}" for number in self.numbers]


@dataclass(frozen=True)
class NamePattern:
    """One pattern, taken apart."""

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, text, where):
        """The pattern that `text` writes down; raises Refusal, `where` being its file and key."""
        parts, at, known = [], 0, set()
        for match in TOKEN.finditer(text):
            parts.append(Part("text", text[at : match.start()]))
            parts.append(_part(match, known))
            at = match.end()
        parts.append(Part("text", text[at:]))
        stray = next(
            (char for part in parts if part.kind == "text" for char in part.text if char in "{}<>"), None
        )
        bad = next((part.text for part in parts if part.kind == "range" and not part.numbers), stray)
        if bad is not None:
            raise Refusal(f"{where}: `{bad}` in `{text}`: expected a pattern like T{{000000..999999}}.jpg")
        return cls(tuple(part for part in parts if part.text))

    @property
    def needs_classes(self):
        return any(part.kind in ("class", "any_class") for part in self.parts)

    @property
    def exact(self):
        """Whether the pattern says every name, letter by letter."""
        return all(
            part.kind in ("text", "range", "class", "again") or part.text in "()" for part in self.parts
        )

    @property
    def count(self):
        """How many names it stands for; None where that depends on a list, or is left open."""
        if not self.exact or self.needs_classes:
            return None
        product = 1
        for part in self.parts:
            product *= len(part.numbers) if part.kind == "range" else 1
        return product

    @property
    def slashes(self):
        return sum(part.text.count("/") for part in self.parts)

    def keys(self, classes):
        """Every combination of values in braces, each a tuple of texts."""
        return itertools.product(*(part.values(classes) for part in self._every()))

    def written(self, key):
        """The name of one combination; what may vary stays as the pattern has it."""
        values, names, pieces = iter(key), {}, []
        for part in self.parts:
            if part.kind in ("range", "class"):
                names[part.name] = next(values)
                pieces.append(names[part.name])
            elif part.text not in "()":
                pieces.append(names.get(part.name, part.text) if part.kind == "again" else part.text)
        return "".join(pieces)

    def names(self, classes):
        """Every name that an exact pattern stands for; a million a second."""
        if any(part.kind == "again" for part in self.parts):
            return map(self.written, self.keys(classes))
        parts = [part for part in self.parts if part.text not in "()"]
        columns = [part.values(classes) if part in self._every() else (part.text,) for part in parts]
        return map("".join, itertools.product(*columns))

    def matcher(self, classes):
        """A function from a name to its key, or None where the name does not fit."""
        expression, fields = self.expression()
        match, known = re.compile(expression).fullmatch, frozenset(classes)
        listed = CLASS if f"(?P<{CLASS}>" in expression else None
        limits = [(place, part.numbers) for place, (part, _) in enumerate(fields) if part.kind == "range"]
        wanted = [field for _, field in fields]

        def key(name):
            found = match(name)
            if found is None or (listed and found[listed] not in known):
                return None
            values = tuple(map(found.__getitem__, wanted))
            return values if all(int(values[place]) in numbers for place, numbers in limits) else None

        return key

    def _every(self):
        return [part for part in self.parts if part.kind in ("range", "class")]

    def expression(self):
        """(regular expression, [(part in braces, its field)]); the field `group` is what stands in ( )."""
        pieces, fields, seen = [], [], set()
        for part in self.parts:
            if part.kind == "again" or (part.kind == "any_class" and CLASS in seen):
                pieces.append(f"(?P={part.name})")
                continue
            if part.kind == "range":
                field = part.name or f"n{len(fields)}"
                digits = f"[0-9]{{{part.width}}}" if part.width else "(?:0|[1-9][0-9]*)"
                pieces.append(f"(?P<{field}>{digits})")
                fields.append((part, field))
            elif part.kind in ("class", "any_class"):
                pieces.append(f"(?P<{CLASS}>[^/]+)")
                seen.add(CLASS)
                if part.kind == "class":
                    fields.append((part, CLASS))
            else:
                pieces.append(FREE[part.text] if part.kind == "free" else re.escape(part.text))
        return "".join(pieces), fields


def _part(match, known):
    text, first, last = match.group(), match["first"], match["last"]
    if first is not None:
        if match["name"]:
            known.add(match["name"])
        # bash's rule: a leading zero, or as many digits at both ends, fixes the width
        width = len(first) if first.startswith("0") and len(first) > 1 or len(first) == len(last) else 0
        return Part("range", text, match["name"] or "", range(int(first), int(last) + 1), width)
    if match["again"]:
        if match["again"] in known:
            return Part("again", text, match["again"])
        if match["again"] != CLASS:
            return Part("range", text)  # an empty range: refused by its text
        known.add(CLASS)
        return Part("class", text, CLASS)
    if text == "<class>":
        known.add(CLASS)
        return Part("any_class", text, CLASS)
    return Part("free", text)
