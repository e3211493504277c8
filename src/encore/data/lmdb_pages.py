"""The pages of an LMDB file, checked before LMDB follows them: it trusts what it reads, and a damaged page
ends the process."""

from __future__ import annotations

import struct

import numpy as np

MAGIC, VERSION = 0xBEEFC0DE, 1
BRANCH, LEAF, OVERFLOW = 1, 2, 4
BIG = 1
"""Flag of an entry whose value lies on pages of its own."""
PAGE = struct.Struct("<QHHHH")
"""The head of a page: its number, -, flags, where free room begins and ends."""
META = struct.Struct("<II16s48sIHH3QQQQQ")
"""Behind the head of pages 0 and 1: magic, version, -, list of free pages, main tree (-, flags, depth, -,
entries, root), last page, transaction."""
ENTRY = struct.Struct("<HHHH")
"""The head of an entry: size of the value or number of the page below, flags, bytes of the key."""
NO_ROOT = 2**64 - 1
DEEPEST = 32
LARGEST_MAP = 1 << 44
"""Bytes that a database may have room for: 16 TiB, of addresses, not of memory."""


HEAD_BYTES = PAGE.size + META.size


def is_lmdb(head):
    """Whether the first HEAD_BYTES of a file say that it is one."""
    return struct.unpack_from("<I", head, PAGE.size)[0] == MAGIC


def page_bytes(head):
    """Bytes of a page by the first HEAD_BYTES of a file; ValueError for a size that none has."""
    found = struct.unpack_from("<I", META.unpack_from(head, PAGE.size)[3])[0]
    if found < 512 or found > 1 << 16 or found & (found - 1):
        raise ValueError("pages of {} bytes".format(found))
    return found


def used_bytes(head, width):
    """Bytes of all pages that are used, by the first two pages of `width` bytes; what lies behind is room."""
    return (max(_meta(head, width, number)[1] for number in (0, 1)) + 1) * width


def check_pages(data, page_bytes):
    """Raise ValueError unless every page that the main tree leads to lies in the file and says nothing that
    leads out of itself. data: bytes or a map of the whole file; page_bytes: of one page."""
    pages = len(data) // page_bytes
    tree = _Tree(data, page_bytes, pages)
    for root, last in (_meta(data, page_bytes, number) for number in (0, 1)):
        if last >= pages:
            raise ValueError("it was cut off, {} bytes are left".format(len(data)))
        tree.walk(root)


def _meta(data, page_bytes, number):
    """(root of the main tree, last page) of page 0 or 1; ValueError where it is no such page."""
    found = META.unpack_from(data, number * page_bytes + PAGE.size)
    if found[:2] != (MAGIC, VERSION) or struct.unpack_from("<I", found[3])[0] not in (0, page_bytes):
        raise ValueError("page {} is none of LMDB".format(number))
    if found[5] or found[6] > DEEPEST:
        raise ValueError("a tree of another kind, or deeper than {}".format(DEEPEST))
    if struct.unpack_from("<Q", found[2], 8)[0] > LARGEST_MAP:
        raise ValueError("room for more than {} bytes".format(LARGEST_MAP))
    free = struct.unpack_from("<Q", found[3], 40)[0]
    if free != NO_ROOT and free > found[12]:
        raise ValueError("the list of free pages lies outside")
    return found[11], found[12]


class _Tree:
    def __init__(self, data, page_bytes, pages):
        self.data, self.page_bytes, self.pages, self.seen = data, page_bytes, pages, set()

    def walk(self, root):
        waiting = [] if root == NO_ROOT else [(root, 0)]
        while waiting:
            number, depth = waiting.pop()
            if depth > DEEPEST or not 2 <= number < self.pages:
                raise ValueError("page {} of {}".format(number, self.pages))
            if number not in self.seen:
                self.seen.add(number)
                waiting += [(below, depth + 1) for below in self._below(number)]

    def _below(self, number):
        """The pages that a page leads to further down."""
        start = number * self.page_bytes
        own, _, flags, lower, upper = PAGE.unpack_from(self.data, start)
        if own != number or flags & 0x2F not in (BRANCH, LEAF):
            raise ValueError("page {} is of another kind".format(number))
        if lower % 2 or not PAGE.size <= lower <= upper <= self.page_bytes:
            raise ValueError("page {} contradicts itself".format(number))
        entries = np.frombuffer(self.data, "<u2", (lower - PAGE.size) // 2, start + PAGE.size)
        below = []
        for at, entry in enumerate(entries.tolist()):
            if not upper <= entry <= self.page_bytes - ENTRY.size:
                raise ValueError("an entry of page {} lies outside".format(number))
            low, high, kind, key = ENTRY.unpack_from(self.data, start + entry)
            end = entry + ENTRY.size + key
            if flags & BRANCH:
                below.append(low | high << 16 | kind << 32)
            else:
                end += self._value_bytes(start + end, low | high << 16, kind)
            if end > self.page_bytes or (not key and not (flags & BRANCH and at == 0)):
                raise ValueError("an entry of page {} is longer than it".format(number))
        if flags & BRANCH and len(below) < 2:
            raise ValueError("page {} leads nowhere".format(number))
        return below

    def _value_bytes(self, at, size, kind):
        """Bytes of a value within its page; one of pages of its own is checked."""
        if kind not in (0, BIG):
            raise ValueError("an entry of another kind")
        if not kind:
            return size
        first = struct.unpack_from("<Q", self.data, at)[0]
        count = -(-(PAGE.size + size) // self.page_bytes)
        if not 2 <= first <= self.pages - count:
            raise ValueError("a value ends behind the file")
        own, _, flags, low, high = PAGE.unpack_from(self.data, first * self.page_bytes)
        if own != first or not flags & OVERFLOW or low | high << 16 != count:
            raise ValueError("page {} is of another kind".format(first))
        return 8
