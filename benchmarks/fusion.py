"""How fast twelve folders of a scale are voted, combined and brought to final scores, against plain pandas.

Each folder holds the CSV lists of three backbones, ROWS rows each, so that a vote joins a million rows:
eleven lists of augmented queries and the multi-part list. Both sides read the same files and end in the same
submission. `python -m benchmarks.fusion` prints JSON; pandas is needed.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

from encore.metrics.predictions import PREDICTIONS_HEADER
from encore.systems.isc_track1.data_sets import DATA_SETS
from encore.systems.isc_track1.final_rule import MAX_RESULTS, best_two, most_confident
from encore.systems.isc_track1.fusion import Combination, TrustedQueries
from encore.systems.isc_track1.penalty import Penalty, read_back
from encore.systems.isc_track1.picture_ids import QUERIES, REFERENCES
from encore.systems.isc_track1.submission import PART_LIST, QUERY_LIST, Fusion, PublishedFiles, fused_models
from encore.systems.isc_track1.test_plan import TestPlan

ROWS = 333334
"""A third of a million: with a million in each of the 36 files pandas needs about half an hour and 9 GB."""
SHARED = 0.7  # of a list's pairs are drawn from the pairs that all three backbones can find
QUERIES_ASKED = 50000
PARTS = np.array(list(range(9)) + list(range(10, 24)) + list(range(1000, 1006)))
BACKBONES = ("50", "152", "ibn")
SCALE = 256
PLAN = TestPlan(tuple(data_set.tag for data_set in DATA_SETS), (), BACKBONES, ("all",), (SCALE,), SCALE)
REF = "V5_baseline_CC_ref"
ONE_SIDE = """
import json, sys
from benchmarks import fusion
print(json.dumps(fusion.measure(*sys.argv[1:])))
"""


def write_lists(folder, seed=0):
    """Write the 36 lists, query_wrong_<side>_VD.npy and face_del.npy into `folder`."""
    random = np.random.RandomState(seed)
    names = ["Q{:05d}_{}".format(50000 + number, part) for number in range(QUERIES_ASKED) for part in PARTS]
    for side, share in ((100, 0.05), (150, 0.1), (200, 0.15)):
        small = [name for name, drawn in zip(names, random.random_sample(len(names))) if drawn < share]
        np.save(os.path.join(folder, "query_wrong_{}_VD.npy".format(side)), np.array(small))
    faces = np.sort(random.permutation(1000000)[:47687])
    np.save(os.path.join(folder, "face_del.npy"), np.array(["R{:06d}".format(face) for face in faces]))
    for data_set in DATA_SETS:
        _write_folder(os.path.join(folder, "final", data_set.folder), QUERY_LIST, random, PARTS)
    _write_folder(os.path.join(folder, "final", REF), PART_LIST, random, np.arange(19))


def _write_folder(folder, name, random, parts):
    shared = _pairs(int(1.5 * ROWS), random, parts)
    line = "R{2:06d}_{1},Q{0:05d},{3:.6f}\n" if name == PART_LIST else "Q{:05d}_{},R{:06d},{:.6f}\n"
    for backbone in BACKBONES:
        own = _pairs(int(1.2 * (1 - SHARED) * ROWS), random, parts)
        found = shared[random.random_sample(len(shared)) < SHARED / 1.4]
        pairs = np.unique(np.concatenate([found, own]), axis=0)
        pairs = pairs[np.sort(random.permutation(len(pairs))[:ROWS])]  # by query, as the search writes them
        query, part = pairs[:, 0] // len(parts), parts[pairs[:, 0] % len(parts)]
        columns = query + 50000, part, pairs[:, 1], np.round(0.3 * random.standard_normal(len(pairs)), 6)
        os.makedirs(os.path.join(folder, backbone))
        with open(os.path.join(folder, backbone, name), "wb") as file:
            file.write(PREDICTIONS_HEADER + b"\n")
            file.write("".join(map(line.format, *(column.tolist() for column in columns))).encode("ascii"))


def _pairs(count, random, parts):
    """int64 (count, 2): number of query and part, and reference; two in three references are among 20 near
    the query's number, so that crops of one query find the same pictures."""
    query = random.randint(0, QUERIES_ASKED * len(parts), count)
    near = query // len(parts) * 20 + random.randint(0, 20, count)
    return np.stack(
        [query, np.where(random.randint(0, 3, count) < 2, near, random.randint(0, 10**6, count))], 1
    )


def fuse(folder):
    """(Predictions of the submission, rows that were joined) by Encore."""

    def ids(name, space):
        return space.encode(np.load(os.path.join(folder, name)).tolist(), name)

    penalty = Penalty()
    small = {side: ids("query_wrong_{}_VD.npy".format(side), QUERIES) for side in (100, 150, 200)}
    combination = Combination(small, ids("face_del.npy", REFERENCES), TrustedQueries(), penalty)
    fusion = Fusion(
        fused_models(PLAN),
        lambda *place: os.path.join(folder, *place),
        combination,
        PublishedFiles(folder, penalty, intermediate=False),
    )
    lists = fusion.scale(SCALE, fusion.parts()).values()
    return most_confident(best_two(lists, penalty).final()), sum(map(len, lists))


def fuse_by_pandas(folder):
    """(DataFrame of the submission, rows that were joined): the rules of spec isc-track1-test 4 in plain
    pandas."""
    import pandas

    keys = ["query_id", "reference_id"]

    def read(test_folder, name):
        for backbone in BACKBONES:
            yield pandas.read_csv(os.path.join(folder, "final", test_folder, backbone, name))

    def voted(tables, least):
        """Rows of the keys in at least `least` of three lists; multiplicities, which the next step drops, are
        left out."""
        rows = pandas.concat(tables, ignore_index=True)
        return rows[rows.groupby(keys)["score"].transform("size") >= least].drop_duplicates()

    def stripped(names):
        return names.str.split("_").str[0]

    def saved(name):
        return np.load(os.path.join(folder, name))

    lists = []
    for data_set in DATA_SETS:
        rows = voted(read(data_set.folder, QUERY_LIST), 2)
        small = saved("query_wrong_{}_VD.npy".format(data_set.least_query))
        lists.append(rows[~rows["query_id"].isin(small)])
        if data_set.tag == "baseline_CC":
            rows = voted(read(REF, PART_LIST), 3)
            rows = rows.rename(columns={"query_id": "reference_id", "reference_id": "query_id"})
            rows = rows.assign(**{key: stripped(rows[key]) for key in keys})
            rows = rows[~rows["reference_id"].isin(saved("face_del.npy"))]
            lists.append(rows.drop_duplicates(keep=False)[keys + ["score"]])
    rows = pandas.concat(lists, ignore_index=True)
    del lists
    trusted = [
        "Q{}_{}".format(number, part)
        for number in range(50000, 100000)
        for part in [0] + list(range(1000, 1020))
    ]
    penalised = ~rows["query_id"].isin(trusted)
    rows.loc[penalised, "score"] = _read_back(rows.loc[penalised, "score"] - 0.05)
    joined = len(rows)
    raw = rows.drop_duplicates()
    raw = raw.assign(**{key: stripped(raw[key]) for key in keys})
    del rows
    best = raw.groupby(keys, as_index=False)["score"].max()
    second = pandas.concat([raw, best, best]).drop_duplicates(keep=False)
    second = second.groupby(keys, as_index=False)["score"].max()
    final = pandas.concat([second, best]).groupby(keys, as_index=False)["score"].mean()
    return final.sort_values("score", ascending=False)[:MAX_RESULTS], joined


def _read_back(scores):
    """Scores as the published chain reads its own CSV file (today's pandas reads what was written)."""
    distinct, where = np.unique(scores.to_numpy(), return_inverse=True)
    return np.array([read_back(score) for score in distinct.tolist()])[where]


def measure(folder, side):
    """{wall_seconds, seconds, peak_memory_bytes, joined_rows} of one side, run in this process; its
    submission is saved. `seconds` are the processor's: both sides use one core, and a busy machine counts
    less."""
    start, processor_start = time.perf_counter(), time.process_time()
    result, joined = (fuse if side == "encore" else fuse_by_pandas)(folder)
    wall_seconds, seconds = time.perf_counter() - start, time.process_time() - processor_start
    if side == "encore":
        columns = result.query, result.reference, result.score
    else:
        columns = (
            result["query_id"].str[1:].astype(int).to_numpy(),
            result["reference_id"].str[1:].astype(int).to_numpy(),
            result["score"].to_numpy(),
        )
    np.savez(os.path.join(folder, side + ".npz"), *columns)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "seconds": seconds,
        "wall_seconds": wall_seconds,
        "peak_memory_bytes": memory,
        "joined_rows": joined,
    }


def compare(folder):
    """How many rows above the lowest score differ between the two submissions, and the largest difference of
    a score. At the cut equal scores are arbitrary."""
    tables = []
    for side in ("encore", "pandas"):
        with np.load(os.path.join(folder, side + ".npz")) as saved:
            query, reference, score = (saved["arr_{}".format(column)] for column in range(3))
        above = score > score.min() + 1e-9 if len(score) == MAX_RESULTS else score > -np.inf
        pairs = (query.astype(np.int64) * 10**6 + reference)[above]
        order = np.argsort(pairs)
        tables.append((pairs[order], score[above][order]))
    (pairs, score), (other_pairs, other_score) = tables
    differing = len(np.setxor1d(pairs, other_pairs))
    return differing, (float(np.abs(score - other_score).max()) if not differing and len(score) else 0.0)


def run():
    """Flat dict: seconds and peak memory of both sides, each in a process of its own, and how their
    submissions compare."""
    with tempfile.TemporaryDirectory() as folder:
        write_lists(folder)
        found = {
            side: json.loads(subprocess.check_output([sys.executable, "-c", ONE_SIDE, folder, side]))
            for side in ("encore", "pandas")
        }
        differing, difference = compare(folder)
    values = {"{}_{}".format(key, side): found[side][key] for side in found for key in found[side]}
    return dict(
        values,
        rows_per_list=ROWS,
        rows_per_second=(len(DATA_SETS) + 1) * len(BACKBONES) * ROWS / values["wall_seconds_encore"],
        pandas_over_encore=values["seconds_pandas"] / values["seconds_encore"],
        differing_rows=differing + abs(values["joined_rows_encore"] - values["joined_rows_pandas"]),
        difference_of_scores=difference,
    )


if __name__ == "__main__":
    print(json.dumps(run(), indent=1, sort_keys=True))
