import numpy as np
import pytest
from PIL import Image

from encore.runtime.refusal import Refusal
from encore.systems.reid import market_evaluation
from encore.systems.reid.evaluation_pictures import open_evaluation_pictures
from encore.systems.reid.evaluators import evaluator_config, find_evaluator
from encore.systems.reid.features import Extraction, extract
from encore.systems.reid.market_evaluation import MarketFeatures
from stages.reid.evaluate.lfw_evaluate import Pair, read_pairs
from stages.reid.evaluate.market_evaluate import read_features, write_features
from tests.encore.systems.reid.market_set import GALLERY, QUERY, SIZE, MeanColours, pictures_of, write_set
from tests.encore.systems.reid.reid_pictures import params, png, tar_of, write


def config_of(root, **blocks):
    own = dict(blocks.pop("encore", {}), evaluation_root=root and str(root))
    values = params("S", encore=own, num_preprocess_workers=0, **blocks)
    return evaluator_config(values, MeanColours().eval(), 3, 0, str(root), "cpu")


def test_market_gives_the_metrics_and_the_published_line(tmp_path, capsys):
    evaluator, config = find_evaluator("market_evaluate"), config_of(write_set(tmp_path))
    evaluator.check(config)
    measured = evaluator.measure(config)
    pictures = open_evaluation_pictures(str(tmp_path))
    expected = market_evaluation.evaluate(MeanColours(), pictures, how=Extraction(SIZE))
    assert measured.metrics == expected and measured.value == expected["rank1"]
    assert capsys.readouterr().out == market_evaluation.log_line(expected) + "\n"
    assert evaluator.module.run_eval(config) == expected["rank1"]


def test_market_with_the_further_keys(tmp_path, capsys):
    config = config_of(
        write_set(tmp_path), spectral_transform=0.5, reranking=True, encore={"query_flip": True}
    )
    evaluator = find_evaluator("market_evaluate", best_by="reranked_mAP")
    measured = evaluator.measure(config)
    assert {"spectral_rank1", "reranked_mAP", "reranked_torchreid_mAP"} <= set(measured.metrics)
    assert measured.value == measured.metrics["reranked_mAP"]
    assert capsys.readouterr().out == market_evaluation.log_line(measured.metrics, "spectral_") + "\n"
    assert evaluator.module.run_eval(config) == measured.metrics["spectral_rank1"]


def test_the_published_number_decides_after_the_transform(tmp_path):
    config = config_of(write_set(tmp_path), spectral_transform=0.5)
    evaluator = find_evaluator("market_evaluate")
    evaluator.check(config)
    evaluator.module.evaluate = lambda config: {"rank1": 0.25, "spectral_rank1": 0.75}
    assert evaluator.measure(config).value == evaluator.module.run_eval(config) == 0.75
    assert evaluator.measure(dict(config, spectral_transform=0)).value == 0.25


@pytest.mark.parametrize("further", [{}, {"spectral_transform": 0.5, "reranking": True, "multi_query": True}])
@pytest.mark.parametrize("name", ["market_evaluate", "msmt_evaluate"])
def test_the_names_of_the_metrics_are_known_before(name, further, tmp_path):
    if name == "market_evaluate":
        write(write_set(tmp_path), ["multi-query/" + name for name in QUERY[:2]])
    else:
        write_msmt(tmp_path)
    evaluator, config = find_evaluator(name), config_of(tmp_path, **further)
    assert sorted(evaluator.module.METRICS(config)) == sorted(evaluator.measure(config).metrics)
    with pytest.raises(Refusal, match="encore.best_by: expected a metric of .*, found map"):
        find_evaluator(name, best_by="map").check(config)


@pytest.mark.parametrize("packed", [False, True])
def test_empty_pictures_are_refused_before(packed, tmp_path):
    root = tmp_path / "set"
    write(write_set(root), ["multi-query/" + QUERY[0]])
    (root / "multi-query" / QUERY[0]).write_bytes(b"")
    config = config_of(tar_of(root, "set") if packed else root)
    evaluator = find_evaluator("market_evaluate")
    evaluator.check(config)  # those pictures are not asked for
    with pytest.raises(Refusal, match="multi-query: 1 of 1 pictures are empty .*, the first is " + QUERY[0]):
        evaluator.check(dict(config, multi_query=True))
    (root / "gallery" / GALLERY[2]).write_bytes(b"")
    with pytest.raises(Refusal, match="gallery: 1 of 8 pictures are empty .*, the first is " + GALLERY[2]):
        evaluator.check(config_of(tar_of(root, "set") if packed else root))


def test_queries_that_cannot_be_found_are_refused_before(tmp_path):
    evaluator = find_evaluator("market_evaluate")
    alone = [name for name in GALLERY if "_c1" in name]
    write_set(tmp_path / "one", alone, QUERY[:1])
    with pytest.raises(Refusal, match=r"none of 1 queries .*; the gallery has the cameras \[1\]: check"):
        evaluator.check(config_of(tmp_path / "one"))
    evaluator.check(config_of(write_set(tmp_path / "two", alone, QUERY[:2])))  # one of two
    write_set(tmp_path / "junk", query=QUERY + ["-1/-1_c2s1_000001_00.png"])
    with pytest.raises(Refusal, match="-1_c2s1_000001_00.png: a query of label -1"):
        evaluator.check(config_of(tmp_path / "junk"))


def test_multi_query_where_it_is_asked_for(tmp_path):
    write(write_set(tmp_path), ["multi-query/" + name for name in QUERY[:2]])
    path, module = str(tmp_path / "features.pkl"), find_evaluator("market_evaluate").module
    config = dict(config_of(tmp_path), feature_path=path)
    plain = module.evaluate(config)
    assert "multi_query_rank1" not in plain
    asked = dict(config, multi_query=True)
    with pytest.raises(Refusal, match="has no features of the multi-query pictures"):
        module.evaluate(asked)
    (tmp_path / "features.pkl").unlink()
    metrics = module.evaluate(asked)
    assert module.evaluate(asked) == metrics and "multi_query_rank1" in metrics  # from the kept features
    assert module.evaluate(config) == plain


def write_msmt(folder):
    names = ["0001_000_01_a.png", "0001_001_02_a.png", "0002_000_03_a.png"]
    write(folder, ["gallery/" + name for name in names] + ["query/0001_002_03_b.png"])


def test_msmt_reads_its_own_names_and_never_transforms(tmp_path):
    write_msmt(tmp_path)
    evaluator, config = find_evaluator("msmt_evaluate"), config_of(tmp_path, spectral_transform=0.5)
    evaluator.check(config)
    metrics = evaluator.measure(config).metrics
    assert (metrics["queries"], metrics["gallery"], metrics["left_out"]) == (1, 3, 0)
    assert "spectral_rank1" not in metrics


@pytest.mark.parametrize("name", ["market_evaluate", "msmt_evaluate", "classification_evaluate"])
def test_a_missing_root_is_refused(name, tmp_path):
    with pytest.raises(Refusal, match="encore.evaluation_root: missing"):
        find_evaluator(name).check(config_of(None))


def test_classes_of_the_run_or_before_it_of_the_training_pictures(tmp_path):
    write(
        tmp_path,
        ["train/%s/1.png" % name for name in "abc"] + ["validation/%s/1.png" % name for name in "bc"],
    )
    config = config_of(tmp_path / "validation", batches_dir=str(tmp_path / "train"))
    config["sub_working_dir"] = str(tmp_path / "run")
    evaluator = find_evaluator("classification_evaluate")
    evaluator.check(config)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "classes.json").write_text('{"classes": ["a", "b"]}')
    with pytest.raises(
        Refusal, match="1 of 2 classes are none that the network was trained on, the first is c"
    ):
        evaluator.check(config)


@pytest.mark.parametrize("multi", [False, True])
def test_features_are_kept_as_they_are(multi, tmp_path):
    draw = np.random.RandomState(0)
    parts = [draw.standard_normal((rows, 3)).astype(np.float32) for rows in (4, 2, 5)]
    path = str(tmp_path / "features.pkl")
    write_features(path, MarketFeatures(*parts[: 2 + multi]))
    found = read_features(path)
    np.testing.assert_array_equal(found.gallery, parts[0])
    np.testing.assert_array_equal(found.query, parts[1])
    assert (found.multi_query is not None) == multi


def test_other_pickles_are_no_features(tmp_path):
    import pickle

    for content in ([np.zeros((2, 2))], (np.zeros(2), np.zeros(2)), {"gallery": 1}, ("a", "b")):
        (tmp_path / "features.pkl").write_bytes(pickle.dumps(content, protocol=2))
        with pytest.raises(Refusal, match="features.pkl: expected a pickle of .gallery, query. features"):
            read_features(str(tmp_path / "features.pkl"))
    (tmp_path / "features.pkl").write_bytes(pickle.dumps(print, protocol=2))
    with pytest.raises(Refusal, match="asks to run"):
        read_features(str(tmp_path / "features.pkl"))


PAIRS = """2 2
Ann\t1\t2
Bob\t1\t2
Ann\t1\tBob\t1
Ann\t2\tCid\t1
Cid\t1\t2
Ann\t1\t2
Bob\t2\tCid\t2
Bob\t1\tAnn\t2
"""
PEOPLE = ["%s/%s_%04d.png" % (name, name, number) for name in ("Ann", "Bob", "Cid") for number in (1, 2)]


@pytest.fixture()
def faces(tmp_path):
    """Everybody's two pictures are the same, but for Ann's, which are nearly: verification is perfect."""
    for place, name in enumerate(PEOPLE):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(place // 2))
    nearly = np.array(Image.open(str(tmp_path / PEOPLE[1])))
    nearly[0, 0] ^= 64
    Image.fromarray(nearly).save(str(tmp_path / PEOPLE[1]))
    (tmp_path / "pairs.txt").write_text(PAIRS)
    return tmp_path


def test_pairs_by_hand(faces):
    pairs = read_pairs(str(faces / "pairs.txt"))
    assert pairs[0] == Pair("Ann/Ann_0001", "Ann/Ann_0002", True, 0)
    assert pairs[3] == Pair("Ann/Ann_0002", "Cid/Cid_0001", False, 0)
    assert [pair.fold for pair in pairs] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [pair.same for pair in pairs] == [True, True, False, False] * 2


def test_verification_of_like_pictures_is_perfect(faces, capsys):
    evaluator, config = find_evaluator("lfw_evaluate"), config_of("", lfw_root=str(faces))
    evaluator.check(config)
    measured = evaluator.measure(config)
    expected = {"accuracy": 1, "accuracy_deviation": 0, "tpr_at_fpr_0.001": 1, "pairs": 8, "pictures": 6}
    assert measured == (1.0, expected)
    assert capsys.readouterr().out == "[LFW_EVAL] accuracy: 1.000000 +- 0.000000\n"


def test_faces_and_pairs_in_a_tar(faces):
    evaluator = find_evaluator("lfw_evaluate")
    expected = evaluator.measure(config_of("", lfw_root=str(faces)))
    config = config_of("", lfw_root=tar_of(faces, "lfw"))
    evaluator.check(config)
    assert evaluator.measure(config) == expected
    (faces / "pairs.txt").unlink()
    with pytest.raises(Refusal, match="_lfw.tar#lfw: pairs.txt: no such file"):
        evaluator.check(config_of("", lfw_root=tar_of(faces, "lfw")))


def test_an_empty_face_is_refused(faces):
    (faces / PEOPLE[3]).write_bytes(b"")
    with pytest.raises(Refusal, match="1 pictures are empty .*, the first is Bob/Bob_0002.png"):
        find_evaluator("lfw_evaluate").check(config_of("", lfw_root=str(faces)))


def test_verification_by_its_own_similarities(faces):
    """One pair of the same person looks different: the fold that holds it loses a quarter."""
    (faces / PEOPLE[5]).write_bytes(png(9))
    config = config_of("", lfw_root=str(faces), lfw_pairs=str(faces / "pairs.txt"))
    pictures = pictures_of(["0001_c1"] * 6, lambda i: (faces / PEOPLE[i]).read_bytes())
    unit = extract(MeanColours(), pictures, Extraction(SIZE))
    cosine = {(a, b): float(unit[a] @ unit[b]) for a in range(6) for b in range(6)}
    assert cosine[4, 5] < 0.99 < cosine[0, 1]
    assert find_evaluator("lfw_evaluate").measure(config).value == pytest.approx((1 + 0.75) / 2)


def test_broken_pairs_are_refused_with_the_line(faces):
    path = faces / "pairs.txt"
    for text, match in (
        ("", "line 1: expected numbers of folds"),
        ("1 x\n", "line 1: expected numbers of folds"),
        (PAIRS.replace("Cid\t1\t2\n", ""), "expected 9 lines for 2 folds of 2 pairs of each kind, found 8"),
        (PAIRS.replace("Cid\t1\t2\n", "Cid\t1\n"), "line 6: expected a person and two numbers"),
        (PAIRS.replace("Cid\t1\t2\n", "Cid\t1\tx\n"), "line 6: expected a person and two numbers"),
        (
            PAIRS.replace("Cid\t1\t2\n", "Cid\t1\t7\n"),
            "1 of 7 pictures .* are missing, the first is Cid/Cid_0007",
        ),
    ):
        path.write_text(text)
        with pytest.raises(Refusal, match=match):
            find_evaluator("lfw_evaluate").check(config_of("", lfw_root=str(faces)))
    path.unlink()
    with pytest.raises(Refusal, match="pairs.txt: no such file: put it there, or name .* lfw_pairs"):
        find_evaluator("lfw_evaluate").check(config_of("", lfw_root=str(faces)))
    with pytest.raises(Refusal, match="cannot be read as pairs.txt"):
        find_evaluator("lfw_evaluate").check(config_of("", lfw_root=str(faces), lfw_pairs=str(path)))
    path.write_bytes(b"1 1\n\xff\n")
    with pytest.raises(Refusal, match="cannot be read as pairs.txt"):
        find_evaluator("lfw_evaluate").check(config_of("", lfw_root=str(faces)))
    with pytest.raises(Refusal, match="lfw_root: missing"):
        find_evaluator("lfw_evaluate").check(config_of(""))
