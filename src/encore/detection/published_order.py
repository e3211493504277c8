"""The order in which the published test meets its proposals: that of a Python 3.7 set, then of an unstable
sort.

Both decide which of two overlapping proposals survives, and the number of each crop, but neither is promised
by Python or numpy. They are worked out here as CPython 3.7 and numpy 1.16 (the published versions) do it, so
that every interpreter makes the published crops (spec isc-track1-test 1.1 and 7.14).
"""

from __future__ import annotations

WORD = (1 << 64) - 1
LINEAR_PROBES = 9
LEAST_SORTED = (
    16  # numpy sorts parts of at most this many entries by insertion, which keeps equal ones in order
)


def tuple_hash(entries):
    """CPython 3.7's hash of a tuple of small natural numbers, as an unsigned 64-bit number."""
    value, factor = 0x345678, 1000003
    for left in range(len(entries) - 1, -1, -1):
        value = ((value ^ entries[len(entries) - 1 - left]) * factor) & WORD
        factor = (factor + 82520 + 2 * left) & WORD
    value = (value + 97531) & WORD
    return WORD - 1 if value == WORD else value


def set_order(tuples):
    """Different tuples of small natural numbers in the order of `list(set)` after adding them one by one in
    CPython 3.7."""
    table, used = [None] * 8, 0
    for entry in tuples:
        _place(table, (tuple_hash(entry), entry))
        used += 1
        if used * 5 >= (len(table) - 1) * 3:
            size = 8
            while size <= used * (2 if used > 50000 else 4):
                size *= 2
            old, table = table, [None] * size
            for kept in old:
                if kept is not None:
                    _place(table, kept)
    return [kept[1] for kept in table if kept is not None]


def _place(table, entry):
    """Put `entry` = (hash, value) into the first free place of its probe sequence."""
    mask = len(table) - 1
    perturbed, start = entry[0], entry[0] & mask
    while True:
        probes = LINEAR_PROBES + 1 if start + LINEAR_PROBES <= mask else 1
        for place in range(start, start + probes):
            if table[place] is None:
                table[place] = entry
                return
        perturbed >>= 5
        start = (start * 5 + 1 + perturbed) & mask


def equal_scores_order(count):
    """`numpy.argsort(numpy.ones(count))` of numpy 1.16 as a list: its quicksort with all entries equal."""
    order, parts = list(range(count)), [(0, count - 1)]
    while parts:
        left, right = parts.pop()
        while right - left > LEAST_SORTED - 1:
            middle, i, j = left + ((right - left) >> 1), left, right - 1
            order[middle], order[j] = order[j], order[middle]
            while True:
                i, j = i + 1, j - 1  # both stop at once: nothing is smaller or larger than the pivot
                if i >= j:
                    break
                order[i], order[j] = order[j], order[i]
            order[i], order[right - 1] = order[right - 1], order[i]
            if i - left < right - i:
                parts.append((i + 1, right))
                right = i - 1
            else:
                parts.append((left, i - 1))
                left = i + 1
    return order
