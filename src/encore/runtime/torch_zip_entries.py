"""The entries of a torch file in zip form, refused where readers of zip files may differ about them.

Python's zipfile looks for the directory directly before the end record, and takes names as they are; torch's
reader looks for it where the end record says, and takes capitals for small letters. A file that gives one
pickle to the first and another to the second would be loaded unchecked.
"""

from __future__ import annotations

import os
import struct
import zipfile

from encore.runtime.pickle_parts import wrong

ENCRYPTED = 0x1
END = struct.Struct("<4s4H2IH")
END_START = b"PK\x05\x06"
PLACE_64 = struct.Struct("<4sIQI")
"""Where END_64 is; torch.save writes both into every file."""
PLACE_64_START = b"PK\x06\x07"
END_64 = struct.Struct("<4sQ2H2I4Q")
END_64_START = b"PK\x06\x06"
SIZES_64 = 1
"""The kind of further field of an entry that holds its sizes and place where these take more than 32 bits."""


def checked_entries(archive, file):
    """{name: ZipInfo} of `archive`, a zipfile.ZipFile of the open `file`.

    Raises pickle.UnpicklingError for a file that torch.save does not write: a name twice, also in capitals;
    compressed or encrypted entries; names that lead out of it; bytes before its first entry, or behind its
    directory that are not of the end record.
    """
    entries, names, size = {}, set(), file.seek(0, os.SEEK_END)
    for entry in archive.infolist():
        _check_entry(entry)
        if entry.filename.lower() in names:
            raise wrong("each name once, in small letters or capitals", entry.filename)
        names.add(entry.filename.lower())
        entries[entry.filename] = entry
    total = sum(entry.file_size for entry in entries.values())
    if total > size:
        raise wrong("at most {} bytes in all entries".format(size), total)
    found = len(entries), archive.start_dir
    if found != _stored_directory(file, size) or min(entry.header_offset for entry in entries.values()) != 0:
        raise wrong("one directory, as torch.save writes it, and nothing before the first entry", found)
    return entries


def _check_entry(entry):
    parts = entry.filename.split("/")
    if ".." in parts or parts[0] == "" or entry.filename != entry.orig_filename:
        raise wrong("a name within the archive", entry.orig_filename)
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & ENCRYPTED:
        raise wrong("entries as torch.save writes them, not compressed or encrypted", entry.filename)
    if entry.compress_size != entry.file_size:
        raise wrong("{} bytes of {}".format(entry.file_size, entry.filename), entry.compress_size)
    if entry.extra and struct.unpack("<HH", entry.extra[:4]) != (SIZES_64, len(entry.extra) - 4):
        raise wrong("no further fields of {}".format(entry.filename), entry.extra)


def _stored_directory(file, size):
    """(entries, first byte) of the directory as the end record of `file` has them; the directory must end
    where the end records begin, and these with the file."""
    file.seek(max(0, size - END_64.size - PLACE_64.size - END.size))
    tail = file.read()
    start, _, _, _, count, length, first, comment = END.unpack(tail[-END.size :])
    end = size - END.size
    if start != END_START or comment:
        raise wrong("the end of a zip file", start)
    if tail[-END.size - PLACE_64.size :].startswith(PLACE_64_START):
        end -= PLACE_64.size + END_64.size
        place = PLACE_64.unpack(tail[-END.size - PLACE_64.size : -END.size])
        record = END_64.unpack(tail[: END_64.size])
        if place[1:] != (0, end, 1) or record[0] != END_64_START:
            raise wrong("the large end record directly before its place", place)
        count, length, first = record[7:]
    if first + length != end:
        raise wrong("a directory up to the end record", (first, length))
    return count, first
