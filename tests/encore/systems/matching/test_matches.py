import numpy as np
import pytest

from encore.runtime.refusal import Refusal
from encore.search.score_normalisation import PUBLISHED, ScoreNormalisation, normalised_pairs
from encore.search.tiling import InMemory
from encore.systems.matching import matches
from encore.systems.matching.matches import MatchRecipe, match


def rows(values, what="queries"):
    return InMemory(np.array(values, dtype=np.float32), what)


def units(count, seed, width=8):
    vectors = np.random.RandomState(seed).standard_normal((count, width)).astype(np.float32)
    return rows(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_the_best_references_of_each_query_come_by_score_then_query_then_reference():
    # products: query 0: 1, 0, 0.8, 1; query 1: 0, 1, 0.6, 0
    found = match(rows([[1, 0], [0, 1]]), rows([[1, 0], [0, 1], [0.8, 0.6], [1, 0]]), MatchRecipe(top=2))
    assert found.pairs.query.tolist() == [0, 0, 1, 1]
    assert found.pairs.reference.tolist() == [0, 3, 1, 2]
    assert found.pairs.score.tolist() == pytest.approx([1, 1, 1, 0.6])
    assert found.left_out == 0 and found.unlike is None


def test_only_the_best_rows_are_kept():
    found = match(rows([[1, 0], [0, 1]]), rows([[1, 0], [0, 1], [0.8, 0.6]]), MatchRecipe(top=3, max_rows=4))
    assert found.pairs.score.tolist() == pytest.approx([1, 1, 0.8, 0.6]) and found.left_out == 2


def test_what_a_query_shares_with_pictures_unlike_both_is_taken_off():
    # query 0 is near both training pictures: beta = (0.8 + 0.6) / 2; query 1: (0.6 + 0.8) / 2, all times 2
    queries, references, training = rows([[1, 0], [0, 1]]), rows([[1, 0]]), rows([[0.8, 0.6], [0.6, 0.8]])
    found = match(queries, references, MatchRecipe(normalisation=ScoreNormalisation(2, 2.0)), training)
    assert found.pairs.score.tolist() == pytest.approx([1 - 2 * 0.7, 0 - 2 * 0.7])
    # the nearest training picture of either is at 0.8
    assert found.unlike == pytest.approx(0.8 - 2 * 0.7)


def test_normalised_scores_are_those_of_the_published_search():
    queries, references, training = units(40, 0), units(300, 1), units(90, 2)
    normalisation = ScoreNormalisation()
    assert (normalisation.neighbours, normalisation.factor) == (10, 2.0)
    found = match(queries, references, MatchRecipe(300, normalisation=normalisation), training)
    norms = normalisation.norms(queries, training)
    published = normalised_pairs(queries, references, norms, 40 * 300)
    order = np.lexsort((found.pairs.reference, found.pairs.query))
    assert np.array_equal(found.pairs.reference[order], published.reference)
    assert np.allclose(found.pairs.score[order], published.score, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_norms_are_those_of_the_score_normalisation_for_any_block(monkeypatch, rows):
    queries, references, training = units(40, 0), units(3, 1), units(90, 2)
    monkeypatch.setattr(matches, "block_rows", lambda width: rows)
    plain = match(queries, references, MatchRecipe(3))
    found = match(queries, references, MatchRecipe(3, normalisation=PUBLISHED), training)
    norms = PUBLISHED.norms(queries, training)
    order, before = (np.lexsort((pairs.reference, pairs.query)) for pairs in (found.pairs, plain.pairs))
    expected = plain.pairs.score[before] + np.repeat(norms, 3)
    assert np.allclose(found.pairs.score[order], expected, atol=1e-6)
    nearest = queries.read(0, 40).dot(training.read(0, 90).T).max(axis=1) + norms
    assert found.unlike == pytest.approx(nearest.max(), abs=1e-6)


def test_the_smallest_of_the_neighbours_can_be_taken_off_too():
    queries, references, training = rows([[1, 0]]), rows([[1, 0]]), rows([[0.8, 0.6], [0.6, 0.8]])
    recipe = MatchRecipe(normalisation=ScoreNormalisation(2, 2.0, "min"))
    assert match(queries, references, recipe, training).pairs.score.tolist() == pytest.approx([1 - 2 * 0.6])


def test_of_many_queries_one_in_a_hundred_may_exceed_the_score_of_the_unlike():
    queries, training = units(1000, 0), units(50, 2)
    recipe = MatchRecipe(1, normalisation=ScoreNormalisation(1, 0.0))
    found = match(queries, units(10, 1), recipe, training)
    nearest = queries.read(0, 1000).dot(training.read(0, 50).T).max(axis=1)
    assert (nearest > found.unlike + 1e-6).sum() == 10


def test_too_few_pictures_to_normalise_with_are_refused():
    recipe = MatchRecipe(normalisation=ScoreNormalisation(10))
    with pytest.raises(Refusal, match="--normalise-with: expected at least 10 .* found 9"):
        match(units(2, 0), units(3, 1), recipe, units(9, 2))


@pytest.mark.parametrize(("values", "message"), [({"top": 0}, "--top"), ({"max_rows": 0}, "--max-rows")])
def test_rows_below_one_are_refused(values, message):
    with pytest.raises(Refusal, match=message):
        MatchRecipe(**values)
