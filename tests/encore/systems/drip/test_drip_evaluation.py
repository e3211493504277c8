import json

import numpy as np
import pytest

from encore.data.descriptors import Submission
from encore.metrics.predictions import write_ground_truth, write_predictions
from encore.runtime.refusal import Refusal
from encore.search.products import HostProducts, TorchProducts
from encore.systems.drip.descriptors_file import open_descriptors, write_descriptors
from encore.systems.drip.evaluation import DescriptorValue, evaluate_descriptors, evaluate_table
from tests.encore.systems.drip.eval_golden import arrays, sections

SETS = range(10)


def descriptor_set(number, folder):
    """(Submission, path of the ground truth) of a published set: queries after the end of the list have no
    row."""
    stored = arrays()
    query, reference, true = (stored["uap{}_{}".format(number, name)] for name in ("q", "r", "gt"))
    ids = ["Q{:05d}".format(row) for row in range(len(query))]
    reference_ids = ["R{:06d}".format(row) for row in range(len(reference))]
    matches = ["" if row < 0 else reference_ids[row] for row in true]
    write_ground_truth(folder / "truth.csv", ids[: len(true)], matches)
    return Submission(query, reference, ids, reference_ids), folder / "truth.csv"


def exhaustive(query, reference, true):
    """(average precision, recall at precision 0.9, squared distances kept, sorted) by the definition, in
    float64."""
    query, reference = query[: len(true)].astype(np.float64), reference.astype(np.float64)
    distances = ((query[:, None] - reference[None]) ** 2).sum(axis=2)
    flat = [
        (distance, true[row] == column, row, column)
        for (row, column), distance in np.ndenumerate(distances.astype(np.float32))
    ]
    kept = sorted(flat, key=lambda entry: (entry[0], entry[2], entry[3]))[: 10 * len(true)]
    kept.sort(key=lambda entry: entry[:2])  # of equal distances the false pairs first
    found, average, best, positives = 0, 0.0, 0.0, int((np.asarray(true) >= 0).sum())
    for rank, (_, correct, _, _) in enumerate(kept, 1):
        found += bool(correct)
        average += bool(correct) * found / rank / positives
        best = max(best, found / positives if found / rank >= 0.9 else 0.0)
    return average, best, [entry[0] for entry in kept]


@pytest.mark.parametrize("number", SETS)
def test_the_published_code_values_descriptors_alike(number, tmp_path):
    facts = sections()["uap_descriptor"][number]
    descriptors, truth = descriptor_set(number, tmp_path)
    value = evaluate_descriptors(descriptors, truth)
    assert value.average_precision == pytest.approx(facts["average_precision"], abs=1e-9)
    assert value.recall_p90 == pytest.approx(facts["recall_p90"], abs=1e-9)


@pytest.mark.parametrize("number", SETS)
def test_an_exhaustive_search_values_descriptors_alike(number, tmp_path):
    stored, facts = arrays(), sections()["uap_descriptor"][number]
    average, recall, distances = exhaustive(
        *(stored["uap{}_{}".format(number, name)] for name in ("q", "r", "gt"))
    )
    value = evaluate_descriptors(*descriptor_set(number, tmp_path))
    assert (value.average_precision, value.recall_p90) == pytest.approx((average, recall), abs=1e-9)
    assert len(distances) == facts["rows"]
    scores = [-distance for distance in distances]
    assert scores[:5][::-1] == pytest.approx(sorted(facts["best5"]), abs=1e-5)
    assert scores[-5:] == pytest.approx(sorted(facts["worst5"], reverse=True), abs=1e-5)


def as_pandas_reads(score):
    """The score as pandas of the time reads it from a CSV: no more than 17 digits, the zero before the point
    counted (0.30000000000000004 is read as 0.3)."""
    text = repr(score)
    return float(text[: 18 + text.startswith("-")])


def table_value(number, folder, read):
    facts = sections()["uap_table"][number]
    write_ground_truth(folder / "truth.csv", *zip(*facts["ground_truth"]))
    query, reference, score = zip(*facts["rows"])
    write_predictions(folder / "rows.csv", query, reference, list(map(read, score)))
    return evaluate_table(folder / "rows.csv", folder / "truth.csv"), facts


@pytest.mark.parametrize("number", SETS)
def test_the_published_code_values_tables_alike(number, tmp_path):
    value, facts = table_value(number, tmp_path, as_pandas_reads)
    assert value.average_precision == pytest.approx(facts["average_precision"], abs=1e-9)
    assert value.recall_p90 == pytest.approx(facts["recall_p90"], abs=1e-9)


def test_scores_are_read_exactly(tmp_path):
    # of twelve pairs to find, the sixth found has 0.30000000000000004 and leads two false ones of 0.3: rank
    # 32; pandas of the time took all three as equal: rank 34. Its precision is 6 over that rank
    value, facts = table_value(6, tmp_path, float)
    assert value.average_precision - facts["average_precision"] == pytest.approx((6 / 32 - 6 / 34) / 12)
    for number in set(SETS) - {6}:
        assert table_value(number, tmp_path, float) == table_value(number, tmp_path, as_pandas_reads)


def test_a_table_worked_by_hand(tmp_path):
    # ranks: Q1-R1 true, Q1-R9 false, of the two at -.3 the false Q3-R3 before the true Q2-R2, then Q4-R4:
    # precisions at the true ones 1/1, 2/4, 3/5; four pairs to find: (1 + .5 + .6) / 4
    write_ground_truth(tmp_path / "truth.csv", ["Q1", "Q2", "Q3", "Q4", "Q5"], ["R1", "R2", "", "R4", "R7"])
    write_predictions(
        tmp_path / "rows.csv",
        ["Q1", "Q1", "Q2", "Q3", "Q4"],
        ["R1", "R9", "R2", "R3", "R4"],
        [-0.1, -0.2, -0.3, -0.3, -0.4],
    )
    value = evaluate_table(tmp_path / "rows.csv", tmp_path / "truth.csv")
    assert (value.average_precision, value.recall_p90) == pytest.approx((0.525, 0.25), abs=1e-12)
    assert json.loads(value.json()) == {"average_precision": value.average_precision, "recall_p90": 0.25}


def test_the_line_has_the_published_names():
    assert DescriptorValue(0.5, 0.25).json() == '{"average_precision": 0.5, "recall_p90": 0.25}'


def worked_descriptors(references):
    """Q0, unlabelled, stands on R0; Q1 and Q2 are labelled, on the numbers 5 and 100 of a line."""
    line = np.array(references, np.float32)[:, None]
    ids = ["R{:06d}".format(row) for row in range(len(line))]
    return Submission(np.array([[0], [5], [100]], np.float32), line, ["Q00000", "Q00001", "Q00002"], ids)


def test_only_labelled_queries_are_searched_and_ten_times_as_many_pairs_kept(tmp_path):
    # 30 references 0 to 29 around Q1, one at 130 for Q2. The 20 nearest pairs of both labelled queries are
    # all Q1's: those at distances 0; 1 1 2 2 ... 5 5; 6 to 14. R30 is 30 from Q2 (900): beyond the cut.
    # R10 for Q1 is at distance 5 with R0: 11th rank, the false one first. 1/11 of two pairs to find.
    descriptors = worked_descriptors(list(range(30)) + [130])
    write_ground_truth(tmp_path / "truth.csv", ["Q00002", "Q00001"], ["R000030", "R000010"])
    value = evaluate_descriptors(descriptors, tmp_path / "truth.csv")
    assert value == DescriptorValue(pytest.approx(1 / 11 / 2), 0.0)
    # with R30 at 101 its pair comes after Q1's own: distances 0, then three of 1, the true one last
    descriptors = worked_descriptors(list(range(30)) + [101])
    value = evaluate_descriptors(descriptors, tmp_path / "truth.csv")
    assert value.average_precision == pytest.approx((1 / 4 + 2 / 12) / 2)


def test_longer_queries_are_ranked_by_distance_and_not_by_cosine(tmp_path):
    # Q1 = 2 x unit on its reference: distance 1; Q2 is 45 degrees off: 2 - sqrt(2) = .59. By cosine Q1 leads.
    query = np.array([[2, 0], [0.5**0.5, 0.5**0.5]], np.float32)
    descriptors = Submission(query, np.array([[1, 0]], np.float32), ["Q1", "Q2"], ["R1"])
    write_ground_truth(tmp_path / "truth.csv", ["Q1", "Q2"], ["R1", ""])
    assert evaluate_descriptors(descriptors, tmp_path / "truth.csv").average_precision == 0.5


@pytest.mark.parametrize("number", [1, 6])
def test_files_and_torch_give_the_same(number, tmp_path):
    descriptors, truth = descriptor_set(number, tmp_path)
    value = evaluate_descriptors(descriptors, truth)
    write_descriptors(tmp_path / "a_REF.h5", descriptors)
    assert evaluate_descriptors(open_descriptors(tmp_path / "a_REF.h5"), truth) == value
    by_torch = evaluate_descriptors(descriptors, truth, TorchProducts("cpu", "squared_l2"))
    assert by_torch.average_precision == pytest.approx(value.average_precision, abs=1e-9)


def test_refusals(tmp_path):
    descriptors, path = worked_descriptors([0, 5]), tmp_path / "truth.csv"
    write_ground_truth(path, ["Q00001", "Q00009"], ["R000001", ""])
    with pytest.raises(Refusal, match=r"truth\.csv: .*every query, found none of Q00009 \(1 in all\)"):
        evaluate_descriptors(descriptors, path)
    write_ground_truth(path, ["Q00001"], ["R000009"])
    with pytest.raises(Refusal, match="every reference, found none of R000009"):
        evaluate_descriptors(descriptors, path)
    write_ground_truth(path, ["Q00001"], [""])
    with pytest.raises(Refusal, match="at least one true pair"):
        evaluate_descriptors(descriptors, path)
    with pytest.raises(ValueError, match="squared_l2, not inner_product"):
        evaluate_descriptors(descriptors, path, HostProducts())
