"""Hostile and broken files: whoever made a file, reading it gives its content or a refusal of one line.

Every reader of files from outside (`readers.READERS`; `openers` finds the modules) is given hostile files of
its form: code in pickles, YAML and headers; members of archives that lead outside; bombs; links, named pipes,
devices and holes; text that is too deep or too wide; odd names; files that were cut or garbled. A file is
survived where no code of it ran, no program was started and no connection made (an audit hook sees them),
nothing was written outside its folder, and within 10 s of processor time and 1 GiB of memory the reader
raised a Refusal of one line that names the file, or read it where the case says why that does no harm.

Fuzzing: hypothesis changes valid samples (flips, cuts, repeats, splices, numbers), atheris looks for inputs
that reach new code of ours. A fault is an input on which the reader did anything but return or refuse. What
was found once is kept in corpus/ and starts both.

Not proven: that Pillow, libhdf5, LMDB and onnxruntime, which are in C, have no fault that a fuzzer of our
code does not reach.
"""

from __future__ import annotations

from collections.abc import Iterator

from faults.fault import Row


def rows(full: bool) -> Iterator[Row]:
    """The Rows of all readers: of each family of hostile files, of the kept inputs and of both fuzzers."""
    from faults.hostile.suite import suite_rows  # which needs torch; builders of pickles are read without

    yield from suite_rows(full)
