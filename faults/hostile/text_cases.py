"""Texts that are too deep, too wide or too long, in JSON, YAML, CSV, Python and lists of lines."""

from __future__ import annotations

from faults.hostile.case import BOMB, CANARY, CODE, GARBLED, WIDE, Case

JSON, YAML, CSV, PYTHON = ("json",), ("yaml",), ("csv",), ("python",)
LISTS = (*CSV, "lines")
BYTES = "ids are bytes, taken as they stand"
WARNED = "an unknown key of a params.json is left out, with a warning that names it"
FIRST_DIGIT = "as published, the digit behind the c is the camera of Market-1501"


def cases(large):
    """large: bytes or columns of the large ones."""
    return [*_json(large), *_yaml(large), *_csv(large), *_lists(large), *_python()]


def _case(family, name, forms, data, harmless=""):
    def make(sample, around):
        made = data(sample, around) if callable(data) else data
        sample.write_bytes(made)

    return Case(family, name, make, forms, harmless)


def _json(large):
    return [
        _case(WIDE, "JSON: brackets within brackets", JSON, lambda *_: b"[" * large),
        _case(WIDE, "JSON: objects within objects", JSON, lambda *_: b'{"a":' * (large // 5)),
        _case(WIDE, "JSON: 101 levels", JSON, b"[" * 101 + b"]" * 101),
        _case(WIDE, "JSON: a number of 10^6 digits", JSON, b'{"epochs": ' + b"9" * 10**6 + b"}"),
        _case(WIDE, "JSON: an open text of escapes", JSON, b"[" * 101 + b'"' + b'\\"' * 400000),
        _case(WIDE, "JSON: a list of many lists", JSON, lambda *_: b"[" + b"[]," * (large // 3) + b"[]]"),
        _case(GARBLED, "JSON: NaN", JSON, b'{"epochs": NaN, "format": NaN, "mobile.png": NaN}'),
        _case(GARBLED, "JSON: infinity", JSON, b'{"epochs": 1e999, "format": 1e999, "mobile.png": 1e999}'),
        _case(GARBLED, "JSON: a key twice", JSON, b'{"epochs": 1, "epochs": 2, "mobile.png": 1}'),
        _case(GARBLED, "JSON: half a surrogate", JSON, b'{"\\ud800": [1, 2, 3]}', WARNED),
        _case(GARBLED, "JSON: not UTF-8", JSON, b'{"\xff\xfe": 1}'),
        _case(GARBLED, "JSON: a byte order mark", JSON, b"\xef\xbb\xbf{}"),
        _case(GARBLED, "JSON: a number alone", JSON, b"7"),
        _case(GARBLED, "JSON: a list of numbers", JSON, b"[1, 2]"),
    ]


def _yaml(large):
    bomb = "a0: &a0 [x, x]\n" + "".join(
        "a%d: &a%d [%s]\n" % (i, i, ",".join(["*a%d" % (i - 1)] * 9)) for i in range(1, 30)
    )
    merged = "a0: &a0 {x: 1}\n" + "".join(
        "a%d: &a%d {<<: [%s]}\n" % (i, i, ",".join(["*a%d" % (i - 1)] * 9)) for i in range(1, 30)
    )
    steps = "".join(" " * i + "a:\n" for i in range(3000))
    command = "!!python/object/apply:os.mkdir [%s]"
    tags = {
        "!!python/object/apply": command,
        "!!python/object/new": "!!python/object/new:os.mkdir {args: [%s]}",
        "!!python/name": "!!python/name:os.mkdir # %s",
        "!!python/module": "!!python/module:os # %s",
        "a tag of its own": "!encore/run {path: %s}",
    }
    return [
        *(_case(CODE, f"YAML: {name}", YAML, _tagged(text)) for name, text in tags.items()),
        _case(BOMB, "YAML: aliases of aliases", YAML, bomb.encode()),
        _case(BOMB, "YAML: merges of merges", YAML, merged.encode()),
        _case(BOMB, "YAML: a list in itself", YAML, b"queries: &a [*a]\nBATCH_SIZE: *a\n"),
        _case(BOMB, "YAML: a block that merges itself", YAML, b"queries: &a {<<: *a}\n"),
        _case(WIDE, "YAML: brackets within brackets", YAML, lambda *_: b"[" * large),
        _case(WIDE, "YAML: a list of 10^5 values", YAML, b"BATCH_SIZE: [" + b"1," * 10**5 + b"1]\n"),
        _case(WIDE, "YAML: 100,000 brackets", YAML, b"[" * 100000),
        _case(WIDE, "YAML: 100,000 dashes", YAML, b"- " * 100000),
        _case(WIDE, "YAML: 100,000 question marks", YAML, b"? " * 100000),
        _case(WIDE, "YAML: 3,000 blocks within each other", YAML, steps.encode()),
        _case(WIDE, "YAML: a number of 10^6 digits", YAML, b"queries: " + b"9" * 10**6),
        _case(WIDE, "YAML: sixties of sixties", YAML, b"queries: 1" + b":59" * 300000),
        *(
            _case(WIDE, f"YAML: sixties, {tag}", YAML, f'queries: {tag} "1{":1" * 500000}"\n'.encode())
            for tag in ("!!int", "!!float", "!")
        ),
        _case(GARBLED, "YAML: a key twice", YAML, b"queries: 1\nqueries: 2\nBATCH_SIZE: x\n"),
        _case(GARBLED, "YAML: a date that is none", YAML, b"queries: 2026-13-45\n"),
        _case(GARBLED, "YAML: a list as a key", YAML, b"? [a]\n: 1\n"),
        _case(GARBLED, "YAML: not UTF-8", YAML, b"queries: \xff\xfe\n"),
        _case(GARBLED, "YAML: zero bytes", YAML, b"queries: \0\n"),
    ]


def _tagged(text):
    return lambda _, around: ("queries: " + text % (around / CANARY) + "\n").encode()


def _csv(large):
    def changed(change):
        return lambda sample, _: change(sample.read_bytes())

    return [
        _case(WIDE, "CSV: many columns", CSV, changed(lambda data: b"," * large + b"\n" + data)),
        _case(WIDE, "CSV: many columns later", CSV, changed(lambda data: data + b"," * large + b"\n")),
        _case(WIDE, "CSV: one field of many bytes", CSV, changed(lambda data: data + b"a" * large)),
        _case(WIDE, "CSV: a number of 10^6 digits", CSV, changed(lambda data: data[:-2] + b"9" * 10**6)),
        _case(GARBLED, "CSV: zero bytes", CSV, changed(lambda data: data + b"\0,\0,\0\n")),
        _case(GARBLED, "CSV: an open quote", CSV, changed(lambda data: data + b'"a,b\nc,d\n')),
        _case(GARBLED, "CSV: a byte order mark", CSV, changed(lambda data: b"\xef\xbb\xbf" + data)),
        _case(
            GARBLED,
            "CSV: three ends of lines",
            CSV,
            changed(lambda data: data.replace(b"\n", b"\r\n") + b"\r"),
            "each end of a line is one, and as published ids are taken as they stand",
        ),
        _case(
            GARBLED, "CSV: not UTF-8", CSV, changed(lambda data: data + b"\xff,\xfe,0.5\n"), "ids are bytes"
        ),
        _case(GARBLED, "CSV: a score of nan", CSV, changed(lambda data: data + b"Q00000,R000001,nan\n")),
    ]


def _lists(large):
    return [
        _case(WIDE, "one line of many bytes", ("lines",), lambda *_: b"a" * large),
        _case(GARBLED, "zero bytes", ("lines",), bytes(1000)),
        _case(GARBLED, "not UTF-8", ("lines",), b"\xff\xfe\n" * 10),
        _case(WIDE, "a name of 10^6 digits", ("name",), b"9" * 10**6 + b"_000_01_0303morning_0015_0.jpg"),
        _case(WIDE, "a camera of 5,000 digits", ("name",), b"0001_c" + b"9" * 5000 + b"_f1.jpg", FIRST_DIGIT),
    ]


def _program(_, around):
    return f"import os\nos.mkdir({str(around / CANARY)!r})\nclass Args:\n    arc_s = 1\n".encode()


def _python():
    return [
        _case(
            CODE,
            "Python: a program",
            PYTHON,
            _program,
            "assigned literals are taken, and nothing is run",
        ),
        _case(WIDE, "Python: 10^5 brackets", PYTHON, b"arc_s = " + b"(" * 10**5 + b")" * 10**5),
        _case(WIDE, "Python: 10^5 signs", PYTHON, b"arc_s = " + b"-" * 10**5 + b"1"),
        _case(WIDE, "Python: 10^5 attributes", PYTHON, b"arc_s = a" + b".a" * 10**5),
        _case(WIDE, "Python: 10^5 blocks", PYTHON, b"".join(b" " * i + b"if a:\n" for i in range(600))),
        _case(WIDE, "Python: 10^5 sums", PYTHON, b"arc_s = 1" + b"+1" * 10**5),
        _case(WIDE, "Python: a number of 10^5 digits", PYTHON, b"arc_s = " + b"9" * 10**5),
        _case(WIDE, "Python: a power", PYTHON, b"arc_s = 9**9**9**9\n"),
        _case(GARBLED, "Python: zero bytes", PYTHON, b"arc_s = 1\0"),
    ]
