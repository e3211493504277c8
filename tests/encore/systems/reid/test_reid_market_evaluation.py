import json
from dataclasses import replace

import numpy as np
import pytest

from encore.metrics.evidence.person_rankings import OrderKeeper, PersonRankings
from encore.metrics.person_ranking import market_ranking
from encore.runtime.refusal import Refusal
from encore.search.k_reciprocal import KReciprocal
from encore.systems.reid import market_evaluation
from encore.systems.reid.evaluation_pictures import EvaluationPictures, open_evaluation_pictures
from encore.systems.reid.features import Extraction
from encore.systems.reid.market_evaluation import (
    MarketFeatures,
    MarketOptions,
    describe,
    evaluate,
    log_line,
    multi_query_features,
    spread_queries,
    top_ranks,
)
from tests.encore.systems.reid.market_set import (
    SIZE,
    WORKED,
    MeanColours,
    pictures_of,
    worked_example,
    write_set,
)
from tests.golden_files import golden

GOLDEN_SETS = range(10)


def golden_pictures(number):
    with np.load(str(golden("reid/parts_S.npz"))) as parts:
        held = {key: parts["m%d_%s" % (number, key)] for key in ("gf", "gp", "gc", "qf", "qp", "qc")}
    splits = []
    for side in "gq":
        names = ["%s%d" % (side, row) for row in range(len(held[side + "f"]))]
        split = pictures_of([])
        split.names, split.labels, split.cameras = names, held[side + "p"], held[side + "c"]
        splits.append(split)
    return MarketFeatures(held["gf"], held["qf"]), EvaluationPictures(splits[0], splits[1], None)


def golden_rows(state, number, temperature):
    rows = json.loads(golden("reid/parts_%s.json" % state).read_text())["market"]
    rows = [row for row in rows if row["set"] == number and row["spectral"] == temperature]
    return next((row for row in rows if row["sort"] == "stable"), rows[0])


@pytest.mark.parametrize("number", GOLDEN_SETS)
def test_published_galleries(number, capsys):
    features, pictures = golden_pictures(number)
    metrics, expected = evaluate(features, pictures), golden_rows("S", number, 0)
    assert [metrics["rank%d" % rank] for rank in (1, 5, 10)] == [
        pytest.approx(expected["rank%d" % rank], abs=1e-12) for rank in (1, 5, 10)
    ]
    assert metrics["mAP"] == pytest.approx(expected["mAP"], abs=1e-9)
    assert metrics["left_out"] == expected["skipped"]
    assert log_line(metrics) == expected["log"]


@pytest.mark.parametrize("temperature", [0.5, 0.7])
@pytest.mark.parametrize("number", GOLDEN_SETS)
def test_published_spectral_rescoring(number, temperature):
    features, pictures = golden_pictures(number)
    metrics = evaluate(features, pictures, MarketOptions(spectral=temperature))
    expected = golden_rows("H", number, temperature)
    for rank in (1, 5, 10):
        assert metrics["spectral_rank%d" % rank] == pytest.approx(expected["rank%d" % rank], abs=1e-12)
    assert metrics["spectral_mAP"] == pytest.approx(expected["mAP"], abs=1e-9)
    assert log_line(metrics, "spectral_") == expected["log"]


def test_worked_example_by_both_protocols(capsys):
    gallery, query, pictures = worked_example()
    metrics = evaluate(MarketFeatures(gallery, query), pictures)
    expected = {"rank1": 0.25, "rank5": 0.75, "rank10": 0.75, "mAP": 0.448611}
    expected.update(torchreid_rank1=1 / 3, torchreid_rank5=1, torchreid_rank10=1, torchreid_mAP=0.687037)
    expected.update(queries=4, left_out=1, gallery=11, junk=1, distractors=1)
    assert metrics == {name: pytest.approx(value, abs=1e-6) for name, value in expected.items()}
    assert "1 of 4 queries have no gallery picture" in capsys.readouterr().err
    assert log_line(metrics) == "[MARKET_EVAL] top1: 0.250000 top5: 0.750000 top10: 0.750000 mAP: 0.448611"


def test_heads_of_rankings(capsys):
    gallery, query, pictures = worked_example()
    first, third = top_ranks(MarketFeatures(gallery, query), pictures, [0, 2], depth=5)
    names = list(WORKED)
    assert first.query == 0 and [names[row][:4] for row in first.gallery] == [
        "0002",
        "0000",
        "0001",
        "0001",
        "0001",
    ]
    assert first.correct.tolist() == [False, False, True, True, True]
    np.testing.assert_allclose(first.scores, np.array([0.95, 0.80, 0.70, 0.60, 0.40]) / 4, rtol=1e-6)
    assert third.query == 2 and third.correct.tolist()[:3] == [False, True, True]
    assert len(top_ranks(MarketFeatures(gallery, query), pictures, [0], depth=99)[0].gallery) == 10
    assert spread_queries(pictures, 2).tolist() == [0, 3] and spread_queries(pictures, 9).tolist() == [
        0,
        1,
        2,
        3,
    ]


def test_equal_pictures_tie_whatever_the_chunks(monkeypatch):
    draw = np.random.RandomState(0)
    gallery = draw.standard_normal((37, 301)).astype(np.float32)
    gallery[[5, 36]] = gallery[20]
    query = draw.standard_normal((9, 301)).astype(np.float32)
    pictures = EvaluationPictures(
        pictures_of(["%04d_c%d" % (row % 4 + 1, row % 3 + 1) for row in range(37)]),
        pictures_of(["%04d_c%d" % (row % 4 + 1, row % 3 + 1) for row in range(9)]),
        None,
    )
    features, options = MarketFeatures(gallery, query), MarketOptions(spectral=0.5)
    whole = evaluate(features, pictures, options)
    head = top_ranks(features, pictures, range(9), depth=37)
    monkeypatch.setattr(market_evaluation, "CHUNK_BYTES", 8 * 37 * 2)
    monkeypatch.setattr(market_evaluation, "GALLERY_TILE", 7)
    assert evaluate(features, pictures, options) == whole
    for again, before in zip(top_ranks(features, pictures, range(9), depth=37), head):
        np.testing.assert_array_equal(again.gallery, before.gallery)
        np.testing.assert_array_equal(again.scores, before.scores)
        places = [list(again.gallery).index(row) for row in (36, 20, 5) if row in again.gallery]
        assert places == list(range(min(places), min(places) + len(places)))  # larger rows first


def test_reranked_metrics_are_those_of_its_distances():
    features, pictures = golden_pictures(2)
    rerank = KReciprocal(k1=10, k2=3)
    metrics = evaluate(features, pictures, MarketOptions(rerank=rerank))
    unit, query, gallery = features.normalised(pictures), pictures.query, pictures.gallery
    distances = rerank.distances(unit.query, unit.gallery)
    for protocol, prefix in (("published", "reranked_"), ("torchreid", "reranked_torchreid_")):
        ranking = market_ranking(
            -distances, query.labels, query.cameras, gallery.labels, gallery.cameras, protocol
        )
        assert metrics[prefix + "rank1"] == ranking.rank(1)
        assert metrics[prefix + "mAP"] == ranking.mean_average_precision
    assert metrics["reranked_mAP"] != metrics["mAP"]


def test_multi_query_by_hand():
    gallery = np.array([[1, 0], [0, 1]], np.float32)
    query, multi = (
        np.array([[0.8, 0.6], [0, 2]], np.float32),
        np.array([[0.6, 0.8], [0, 1], [1, 0]], np.float32),
    )
    pictures = EvaluationPictures(
        pictures_of(["0002_c1", "0001_c2"]),
        pictures_of(["0001_c1", "0001_c3"]),
        pictures_of(["0001_c1", "0001_c1", "0001_c2"]),  # the last one is of another camera
    )
    features = MarketFeatures(gallery, query, multi)
    metrics = evaluate(features, pictures)
    assert (metrics["rank1"], metrics["multi_query_rank1"]) == (0.5, 1.0)
    mean = np.array([0.3, 0.9]) / np.hypot(0.3, 0.9)
    joined = multi_query_features(features.normalised(pictures), pictures)
    np.testing.assert_allclose(joined, [mean, [0, 1]], rtol=1e-6)
    assert "multi_query_rank1" not in evaluate(features, pictures, MarketOptions(multi_query=False))


def test_a_network_over_a_folder(tmp_path):
    pictures = open_evaluation_pictures(str(write_set(tmp_path)))
    how = Extraction(SIZE, 3)
    metrics = evaluate(MeanColours(), pictures, how=how)
    assert metrics == evaluate(describe(MeanColours(), pictures, how), pictures)
    assert (metrics["queries"], metrics["gallery"], metrics["junk"], metrics["distractors"]) == (3, 7, 1, 1)
    flipped = describe(MeanColours(), pictures, how, query_flip=True)
    plain = describe(MeanColours(), pictures, how)
    np.testing.assert_array_equal(flipped.gallery, plain.gallery)
    assert not np.allclose(flipped.query, plain.query)


def test_one_camera_only_is_refused_by_name():
    gallery, query, pictures = worked_example()
    one = pictures_of(["%s_c1" % name.split("_")[0] for name in WORKED])
    queries = pictures_of(["0001_c1", "0002_c1", "0003_c1", "0005_c1"])
    with pytest.raises(Refusal, match=r"all 4 queries \(0001_c1, .* of the cameras \[1\]"):
        evaluate(MarketFeatures(gallery, query), EvaluationPictures(one, queries, None))


def test_features_of_other_pictures_are_refused():
    gallery, query, pictures = worked_example()
    with pytest.raises(Refusal, match="query features: expected one row for each of 4 pictures"):
        evaluate(MarketFeatures(gallery, query[:3]), pictures)
    with pytest.raises(Refusal, match="multi_query features: expected one row for each of 0"):
        evaluate(MarketFeatures(gallery, query, query), pictures)
    zero = replace(MarketFeatures(gallery, query), gallery=gallery * 0)
    with pytest.raises(Refusal, match="0001_c1s1: its feature is all zeros"):
        evaluate(zero, pictures)


def test_what_was_ranked_gives_every_number_again(capsys):
    gallery, query, pictures = worked_example()
    options = MarketOptions(spectral=0.5, rerank=KReciprocal(3, 2, 0.3))
    keeper = OrderKeeper()
    metrics = evaluate(MarketFeatures(gallery, query), pictures, options, keeper=keeper)
    assert list(keeper.orders) == ["", "spectral_", "reranked_"]
    assert PersonRankings.of(pictures.query, pictures.gallery, keeper).measure() == metrics
