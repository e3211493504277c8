"""One reading of a file in this process, and whether its refusal is one."""

from __future__ import annotations

from encore.runtime.refusal import Refusal, printable


def reading(reader, path):
    """(end, text) of one reading."""
    try:
        reader.read(path)
    except Refusal as refusal:
        return judged(refusal, path)
    except BaseException as error:  # whatever it is, it is no refusal
        return "failed", printable(f"{type(error).__name__}: {error}", 300)
    return "returned", ""


def judged(refusal, path):
    """(end, text) of a refusal: it has one line, names the file, and is not owed to the limit of memory."""
    text, cause = str(refusal), refusal
    while cause is not None:
        if isinstance(cause, MemoryError) or "allocate" in str(cause):
            return "failed", printable(f"only the limit of memory stopped it: {cause}", 300)
        cause = cause.__cause__ or cause.__context__
    if "\n" in text:
        return "failed", printable(f"a refusal of several lines: {text}", 300)
    names = {printable(part) for part in (path.name, path.parent.name, path.parent.parent.name)}
    if not any(name in text for name in names):
        return "failed", f"a refusal that does not name {printable(path.name)}: {text[:300]}"
    return "refused", text[:300]
