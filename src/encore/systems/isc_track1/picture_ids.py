"""Picture ids as integers: Q50000, Q50000_13, R000123, R000123_7 (spec isc-track1-test 0 and 1).

A code holds the picture's number and its part, the k behind the underscore, so that codes sort by picture
and part, and leaving a part's k out is one operation on the bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.runtime.refusal import Refusal

MARGIN = 8  # bytes before and behind a text, so that eight bytes can be read anywhere in it
_ZEROS = np.uint64(0x3030303030303030)
_ABOVE_NINE = np.uint64(0x7676767676767676)
_HIGH_BITS = np.uint64(0x8080808080808080)


class Digits:
    """The numbers in a text, many at once. `data`: bytes."""

    def __init__(self, data):
        self._bytes = np.frombuffer(b"0" * MARGIN + data + b"\n" * 2 * MARGIN, dtype=np.uint8)
        self._words = np.ndarray(shape=(len(self._bytes) - 7,), dtype="<u8", buffer=self._bytes, strides=(1,))

    def at(self, position):
        """uint8 (n,): the characters at `position`, int64 (n,)."""
        return self._bytes[position + MARGIN]

    def number(self, start, end):
        """int64 (n,): the number that text[start:end] spells; -1 where that is not one to eight digits."""
        length = end - start
        fits = (length >= 1) & (length <= 8)
        dropped = (8 * (8 - np.where(fits, length, 8))).astype(np.uint64)
        word = ((self._words[end + MARGIN - 8] ^ _ZEROS) >> dropped) << dropped  # first digit lowest
        fits &= (((word + _ABOVE_NINE) | word) & _HIGH_BITS) == 0
        for factor, bits, kept in (
            (10, 8, 0x00FF00FF00FF00FF),
            (100, 16, 0x0000FFFF0000FFFF),
            (10000, 32, 0x00000000FFFFFFFF),
        ):
            word = (word * np.uint64(factor) + (word >> np.uint64(bits))) & np.uint64(kept)
        return np.where(fits, word.astype(np.int64), -1)


@dataclass(frozen=True)
class IdSpace:
    """All ids of one letter. A code is an int32: number * 2**part_bits + k + 1, or + 0 without a part."""

    letter: str
    digits: int
    part_bits: int

    @property
    def example(self):
        return "{0}{1:0{2}d} or {0}{1:0{2}d}_13".format(self.letter, 10 ** (self.digits - 1), self.digits)

    def parse(self, text, start, end):
        """int32 (n,): codes of the ids at text[start:end] (`text`: Digits); -1 where there is no such id.

        A part with a leading zero is none of ours: it would not come back as it was.
        """
        stem = start + 1 + self.digits
        number = text.number(start + 1, stem)
        good = (text.at(start) == ord(self.letter)) & (number >= 0) & (end >= stem)
        part = np.full(len(start), -1, dtype=np.int64)
        parted = np.flatnonzero(good & (end > stem))
        if len(parted):
            first, last = stem[parted] + 1, end[parted]
            found = text.number(first, last)
            found[(text.at(first) == ord("0")) & (last - first > 1)] = -1
            found[text.at(first - 1) != ord("_")] = -1
            part[parted] = found
            good[parted] = (found >= 0) & (found < 2**self.part_bits - 1)
        return np.where(good, (number << self.part_bits) + part + 1, -1).astype(np.int32)

    def encode(self, ids, where):
        """int32 (n,): codes of `ids`, a list of str; Refusal naming `where` and the row of one that is no
        id."""
        lines = [text.encode("utf-8") for text in ids]
        ends = np.cumsum([len(line) + 1 for line in lines], dtype=np.int64) - 1
        starts = np.append(np.zeros(1, dtype=np.int64), ends[:-1] + 1)[: len(lines)]
        codes = self.parse(Digits(b"\n".join(lines)), starts, ends)
        wrong = np.flatnonzero(codes < 0)
        if len(wrong):
            raise Refusal(
                "{}: row {}: expected an id like {}, found {!r}".format(
                    where, wrong[0] + 1, self.example, ids[wrong[0]][:80]
                )
            )
        return codes

    def texts(self, codes):
        """The ids of `codes` as a list of str."""
        whole = "{}{{:0{}d}}".format(self.letter, self.digits).format
        return [
            whole(number) if part < 0 else "{}_{}".format(whole(number), part)
            for number, part in zip(self.number(codes).tolist(), self.part(codes).tolist())
        ]

    def number(self, codes):
        """The pictures' numbers, in the dtype of `codes`."""
        return codes >> self.part_bits

    def part(self, codes):
        """The parts' k; -1 for an id without a part."""
        return (codes & (2**self.part_bits - 1)) - 1

    def whole(self, codes):
        """The codes of the same pictures without a part: Q50000_13 -> Q50000."""
        return codes >> self.part_bits << self.part_bits


QUERIES = IdSpace("Q", 5, 14)
"""Parts 0 to 999 are turned, central and proposed crops, from 1000 on detections."""
REFERENCES = IdSpace("R", 6, 11)
