"""The published chain in plain Python lists of (query, reference, score), read off its rules; slow."""

from collections import Counter, defaultdict
from itertools import combinations

from tests.encore.systems.isc_track1.test_penalty import read_by_character


def vote(lists):
    """Two of three: for each two lists their common pairs, each with a row of both."""
    rows = []
    for one, other in combinations(lists, 2):
        common = {row[:2] for row in one} & {row[:2] for row in other}
        rows += [row for row in one + other if row[:2] in common]
    return rows


def vote_of_parts(lists):
    common = set.intersection(*({row[:2] for row in rows} for rows in lists))
    return [row for rows in lists for row in rows if row[:2] in common]


def stripped(rows):
    return [(query.split("_")[0], reference.split("_")[0], score) for query, reference, score in rows]


def combine(lists, parts, small, faces, first, count, detections=20, penalty=0.05):
    """`lists`: [(least side, rows)], the first one's followed by the multi-part rows."""
    allowed = {
        "Q{:05d}_{}".format(number, part)
        for number in range(first, first + count)
        for part in [0] + list(range(1000, 1000 + detections))
    }
    whole = [row for row in stripped(sorted(set(parts))) if row[1] not in faces]
    times = Counter(whole)
    combined = []
    for position, (least, rows) in enumerate(lists):
        combined += [row for row in sorted(set(rows)) if row[0] not in small[least]]
        if position == 0:
            combined += [row for row in whole if times[row] == 1]
    penalised = [(q, r, read_by_character(repr(s - penalty))) for q, r, s in combined if q not in allowed]
    return penalised + [row for row in combined if row[0] in allowed]


def final_scores(rows):
    """{(query, reference): score} by the published steps: maximum; what is left without it and without what
    occurs more than once; mean."""
    best = defaultdict(lambda: -float("inf"))
    for query, reference, score in stripped(rows):
        best[query, reference] = max(best[query, reference], score)
    once = Counter(stripped(set(rows)))
    for pair, score in best.items():
        once[pair + (score,)] += 2
    left = defaultdict(list)
    for (query, reference, score), times in once.items():
        if times == 1:
            left[query, reference].append(score)
    return {pair: (score + max(left[pair])) / 2 if left[pair] else score for pair, score in best.items()}


def closed_form(rows):
    """The same by the closed form: (m1 + max U) / 2, U the values other than m1 that exactly one distinct row
    has."""
    values = defaultdict(list)
    for row in set(rows):
        (whole,) = stripped([row])
        values[whole[:2]].append(row[2])
    result = {}
    for pair, scores in values.items():
        single = [score for score in scores if score != max(scores) and scores.count(score) == 1]
        result[pair] = (max(scores) + max(single)) / 2 if single else max(scores)
    return result


def submission(scores, count):
    return sorted(((pair[0], pair[1], score) for pair, score in scores.items()),
                  key=lambda row: (-row[2], row[0], row[1]))[:count]  # fmt: skip


def second_submission(first, pairs, count):
    best = {(query, reference): score for query, reference, score in first}
    for query, reference, score in stripped(pairs):
        best[query, reference] = max(score, best.get((query, reference), -float("inf")))
    return submission(best, count)
