import io
import os

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from encore.data.descriptors import chunk_files, read_descriptors
from encore.data.faiss_transform import read_pca
from encore.runtime.refusal import Refusal
from encore.search.pca_whitening import train_pca
from encore.systems.isc.extraction import ExtractionRecipe, Extractor
from encore.systems.isc.prepared_pictures import PictureReader, Preparation
from encore.systems.isc_track1.data_sets import DATA_SETS
from encore.systems.isc_track1.extraction import (
    ExtractParameters,
    PcaParameters,
    PictureSet,
    Sources,
    chosen_for_pca,
    disk_bytes,
    extract_model,
    preparations,
)
from encore.systems.isc_track1.original_queries import original_queries
from encore.systems.isc_track1.reference_parts import ReferenceParts, part_file
from encore.systems.isc_track1.test_plan import TestPlan
from tests.encore.systems.isc.pictures import Pictures, png, wide_network

PLAN = TestPlan(("baseline_CC", "blur_BW"), ("baseline_CC_pair",), ("50",), ("all",), (32, 40), 32)
RECIPE = ExtractionRecipe(PLAN.scales, batch_size=4, batches_per_chunk=3)
PCA = PcaParameters(dimensions=6, images=10)


def make_sources():
    training = Pictures({"T{:06d}.png".format(number): png(number) for number in range(14)})
    references = Pictures({"R{:06d}.png".format(number): png(20 + number) for number in range(2)})
    queries = Pictures({"Q{:05d}.png".format(number): png(30 + number) for number in range(4)})
    augmented = Pictures(
        {"Q{:05d}_{}.jpg".format(n, k): png(40 + 3 * n + k) for n in (1, 3) for k in (0, 1, 10)}
    )
    return Sources(
        PictureSet(training, "photos.tar#training"),
        PictureSet(references, "raw/reference_images"),
        PictureSet(augmented, "data/isc_track1/queries"),
        PictureSet(original_queries(queries, augmented), "data/isc_queries"),
        PictureSet(ReferenceParts(references), "raw/reference_images"),
    )


def extracted(folder, tag, reader=None, sources=None):
    extractor = Extractor(wide_network(), RECIPE, reader, head="embedding")
    extract_model(extractor, tag, "50", PLAN, PCA, sources or make_sources(), str(folder))
    return folder


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    return extracted(tmp_path_factory.mktemp("baseline"), "baseline_CC")


def read(folder, name):
    return read_descriptors(chunk_files(os.path.join(str(folder), name)), width=6)


def by_the_definition(images, size, blurred, grey):
    """Features of PIL images, step by step (spec 2.1 and 2.2), float32 (n, 32)."""
    network, features = wide_network().eval(), []
    for image in images:
        image = image.convert("RGB")
        image = image.filter(ImageFilter.GaussianBlur(5)) if blurred else image
        image = image.convert("L").convert("RGB") if grey else image
        array = np.asarray(image.resize((size, size), Image.BICUBIC), np.float64) / 255
        array = (array - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        with torch.no_grad():
            maps = torch.from_numpy(array.transpose(2, 0, 1)[None].astype(np.float32))
            for layer in list(network.base)[:10]:
                maps = layer(maps)
            pooled = maps.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3)  # p = 3 whatever was trained
            features.append(network.projector_feat_bn(pooled)[0].numpy())
    return np.stack(features)


def whitened(features, trained_on, like):
    """PCA whitening by a singular value decomposition, L2-normalised; the signs of `like`."""
    mean = trained_on.mean(axis=0, dtype=np.float64)
    _, values, axes = np.linalg.svd(trained_on - mean, full_matrices=False)
    white = (features - mean).dot(axes[:6].T) / values[:6]
    white *= np.sign((white * like).sum(axis=0))
    return white / np.linalg.norm(white, axis=1, keepdims=True)


def decoded(pictures):
    return [Image.open(io.BytesIO(pictures.images.read(row))) for row in range(len(pictures.images))]


@pytest.mark.parametrize("tag, blurred, grey", [("baseline_CC", False, False), ("blur_BW", True, True)])
def test_descriptors_follow_the_definition(tmp_path, tag, blurred, grey):
    sources = make_sources()
    extracted(tmp_path, tag)
    picks = np.random.RandomState(123).choice(14, size=10, replace=False)
    for scale in (32, 40):
        place = tmp_path / tag / "50" / str(scale)
        training = by_the_definition(decoded(sources.training), scale, blurred, grey)
        for pictures, name, blur in (
            (sources.training, "train_byol.hdf5", blurred),
            (sources.references, "references_byol.hdf5", blurred),
            (sources.queries, "query_byol_VD_50k.hdf5", False),  # published quirk: never blurred
        ):
            ids, vectors = read(place, name)
            assert ids == [name[:-4] for name in pictures.images.names]
            features = by_the_definition(decoded(pictures), scale, blur, grey)
            assert np.abs(vectors - whitened(features, training[picks], vectors)).max() < 1e-3, name


def test_only_queries_are_left_unblurred():
    for data_set in DATA_SETS:
        known, asked = preparations(data_set.tag, 256)
        assert known == Preparation(256, blurred="blur" in data_set.tag, grey=data_set.tag.endswith("BW"))
        assert asked == Preparation(256, blurred=False, grey=data_set.tag.endswith("BW"))
    assert preparations("baseline_CC_pair", 256) == preparations("baseline_CC", 256)


def test_files_have_the_published_names(baseline):
    found = sorted(
        os.path.relpath(os.path.join(p, f), str(baseline)) for p, _, fs in os.walk(str(baseline)) for f in fs
    )
    # 4 pictures a batch, 3 batches a chunk: 14 training pictures are 12 + 2, 38 parts 12 + 12 + 12 + 2
    own = ["train_0_byol.hdf5", "train_1_byol.hdf5", "references_0_byol.hdf5", "query_0_byol_VD_50k.hdf5"]
    parts = ["references_{}_byol_exp.hdf5".format(chunk) for chunk in range(4)] + ["query_0_byol.hdf5"]
    assert found == sorted(
        ["baseline_CC/50/{}/{}".format(scale, name) for scale in (32, 40) for name in own + ["pca_byol.vt"]]
        + ["baseline_CC_ref/50/32/" + name for name in own[:2] + parts + ["pca_byol.vt"]]
    )


def test_references_in_parts_meet_the_original_queries(baseline):
    sources = make_sources()
    place = baseline / "baseline_CC_ref" / "50" / "32"
    ids, vectors = read(place, "references_byol_exp.hdf5")
    assert ids == ["R{:06d}_{}".format(number, part) for number in range(2) for part in range(19)]
    wholes = decoded(sources.references)
    images = [Image.open(io.BytesIO(part_file(whole, part))) for whole in wholes for part in range(19)]
    training = by_the_definition(decoded(sources.training), 32, False, False)
    picks = np.random.RandomState(123).choice(14, size=10, replace=False)
    features = by_the_definition(images, 32, False, False)
    assert np.abs(vectors - whitened(features, training[picks], vectors)).max() < 1e-3
    ids, vectors = read(place, "query_byol.hdf5")
    assert ids == ["Q00001", "Q00003"]
    features = by_the_definition(decoded(sources.original_queries), 32, False, False)
    assert np.abs(vectors - whitened(features, training[picks], vectors)).max() < 1e-3


def test_the_files_of_the_parts_equal_those_computed_again(baseline, tmp_path):
    sources, place = make_sources(), baseline / "baseline_CC_ref" / "50" / "32"
    extractor = Extractor(wide_network(), RECIPE, head="embedding")
    rows = chosen_for_pca(14, 10)
    pca = train_pca(extractor.features(sources.training.images, rows, Preparation(32)), 6)
    assert read_pca(place / "pca_byol.vt").digest == pca.digest
    extractor.whiten_by(pca)
    images, folder = sources.training
    for again in extractor.to_files(images, Preparation(32), tmp_path / "train_byol.hdf5", folder):
        with open(again, "rb") as first, open(str(place / os.path.basename(again)), "rb") as second:
            assert first.read() == second.read()


def contents(folder):
    return {
        os.path.join(os.path.relpath(place, str(folder)), name): open(os.path.join(place, name), "rb").read()
        for place, _, names in os.walk(str(folder))
        for name in names
    }


@pytest.mark.parametrize("reader", [PictureReader(2), PictureReader(0, 10**6)], ids=["2 workers", "kept"])
def test_the_same_bits_with_any_number_of_workers_and_from_memory(baseline, tmp_path, reader):
    assert contents(extracted(tmp_path, "baseline_CC", reader)) == contents(baseline)


def test_a_killed_run_goes_on_where_it_stopped(baseline, tmp_path):
    extracted(tmp_path, "baseline_CC")
    for name in ("baseline_CC/50/40/train_1_byol.hdf5", "baseline_CC_ref/50/32/query_0_byol.hdf5"):
        os.unlink(str(tmp_path / name))
    sources = make_sources()
    extracted(tmp_path, "baseline_CC", sources=sources)
    assert contents(tmp_path) == contents(baseline)
    reads = [pictures.images.reads for pictures in (sources.training, sources.references, sources.queries)]
    assert reads == [2, 0, 0]


def test_pair_models_are_extracted_at_one_scale(tmp_path):
    extracted(tmp_path, "baseline_CC_pair")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*/*")) == [
        "baseline_CC_pair/50/32"
    ]


def test_pictures_for_the_whitening_are_those_of_the_published_seed():
    # numpy's choice without replacement is the start of a permutation
    assert (
        chosen_for_pca(10, 4).tolist()
        == np.random.RandomState(123).permutation(10)[:4].tolist()
        == [4, 0, 7, 5]
    )
    with pytest.raises(
        Refusal, match=r"pca\.images: expected at most the 9 training pictures there are, found 10"
    ):
        chosen_for_pca(9, 10)


def test_too_few_pictures_for_the_dimensions_are_refused(tmp_path):
    with pytest.raises(
        Refusal, match=r"pca\.images: expected at least as many as dimensions \(12\), found 10"
    ):
        PcaParameters(12, 10)
    sources = make_sources()
    same = Pictures({name: png(0) for name in sources.training.images.names})
    sources = sources._replace(training=PictureSet(same, "training"))
    extractor = Extractor(wide_network(), RECIPE, head="embedding")
    with pytest.raises(Refusal, match=r"span at least 6 dimensions, found [0-5] \(10 pictures\)"):
        extract_model(extractor, "blur_BW", "50", PLAN, PCA, sources, str(tmp_path))


def test_broken_weights_are_refused_by_picture(tmp_path):
    network = wide_network()
    network.base[0].weight.data.fill_(float("nan"))
    extractor = Extractor(network, RECIPE, head="embedding")
    first = "T{:06d}.png".format(chosen_for_pca(14, 10)[0])
    with pytest.raises(Refusal, match=r"NaN or infinity in row 0 \({}\)".format(first)):
        extract_model(extractor, "blur_BW", "50", PLAN, PCA, make_sources(), str(tmp_path))


def test_published_values_and_the_disk_they_need():
    parameters = ExtractParameters("t", "r", "q", "o")
    assert parameters.pca == PcaParameters(1500, 20000) and parameters.gem_exponent == 3.0
    assert (parameters.batch_size, parameters.batches_per_chunk) == (500, 100)
    plan = TestPlan(("baseline_CC",), ("baseline_CC_pair",), ("50",), ("all",), (256, 200, 320), 256)
    assert parameters.recipe(plan).scales == (256, 200, 320)
    million = 10**6
    counts = {
        "training": million,
        "references": million,
        "queries": 1450000,
        "original_queries": 50000,
        "parts": 19 * million,
    }

    def gigabytes(tag):
        return disk_bytes([(tag, "50")], plan, parameters, counts, {"50": 8192}) / 1e9

    # 20.7 GB per model and scale, 114 GB of parts (spec 6); with the parts training, queries and PCA again
    assert gigabytes("baseline_CC_pair") == pytest.approx(20.7, rel=0.03)
    assert gigabytes("baseline_CC") == pytest.approx(3 * 20.7 + 114 + 6 + 0.3, rel=0.03)


def test_disk_estimates_cover_what_is_written(baseline):
    parameters = ExtractParameters("t", "r", "q", "o", PCA)
    sources = make_sources()
    estimate = disk_bytes([("baseline_CC", "50")], PLAN, parameters, sources.counts, {"50": 32})
    files = contents(baseline)
    assert sum(len(content) for content in files.values()) < estimate + 8192 * len(files)  # headers of HDF5
