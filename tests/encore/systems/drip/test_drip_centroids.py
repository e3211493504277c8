import json
import os
import pickle
import pickletools
import random
import shutil
import threading

import numpy as np
import pytest
import torch
import torch.nn as nn

from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.systems.drip import centroids
from encore.systems.drip.centroids import build_centroids, read_w, write_w
from encore.systems.drip.clean_view import clean_view
from encore.systems.drip.network import NetworkShape, build
from encore.systems.drip.step_failures import StepFailures
from encore.systems.drip.view_batches import ViewBatch, ViewBatches
from encore.training.distributed import Processes
from tests.encore.data.augment import drip_golden
from tests.encore.systems.drip.drip_formula import clean_views, formula_tensor, formula_weights
from tests.encore.systems.drip.drip_stage_pictures import views, write_pictures
from tests.encore.systems.drip.test_drip_network import content, needs_timm
from tests.golden_files import golden

MADE_OF = {"checkpoint": "0" * 64, "intensity": "0.75", "seed": "7"}


class PublishedDraws:
    """The batches of the recorded runs: all draws one after the other, also one for each clean view."""

    def __init__(self):
        record = content("model.json")["W_stub"]
        self.rng, self.state = random.Random(record["seed"]), np.random.RandomState(record["seed"])
        self.names = ["photo0", "photo1"] + drip_golden.recorded()["pool"]
        self.chain = drip_golden.chain(record["intensity"])
        self.views = record["classes"]

    def in_order(self, ranges, workers):
        for pass_, first, last in ranges:
            pictures = [drip_golden.picture(name) for name in self.names[first:last]]
            augmented = [self.chain(picture, self.rng, self.state).pixels for picture in pictures]
            clean = [clean_view(picture) for picture in pictures]
            shown = np.stack(augmented if pass_ else clean)[..., :3].transpose(0, 3, 1, 2)
            shown = torch.from_numpy(np.ascontiguousarray(shown))
            given = (None, shown) if pass_ else (shown, None)
            yield ViewBatch(torch.arange(first, last), *given, {}, "imagenet")


def assert_is_published(found, expected, exact):
    """Within 1e-5; where one of the four augmented views was encoded as JPEG, in bits that depend on the
    build of libjpeg, within 5e-3."""
    with_jpeg = [2, 3, 4]
    difference = np.abs(found - expected).max(axis=0)
    assert np.delete(difference, [] if exact else with_jpeg).max() < 1e-5
    assert difference.max() < 5e-3


class LinearStandIn(nn.Module):
    """As in the recorded run: 16x16 means, a linear map, norm 1 (L2 with epsilon, as the network's)."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(formula_tensor("stub.weight", (256, 300)))

    def forward(self, x):
        flat = torch.nn.functional.avg_pool2d(x, 16).flatten(1) @ self.weight.T
        return flat / (flat.norm(dim=1, keepdim=True) + 1e-6)


@pytest.fixture(scope="module")
def arrays():
    return dict(np.load(str(golden("drip/model.npz"))).items())


def test_the_published_matrix_of_a_linear_network(arrays, tmp_path):
    draws = PublishedDraws()
    path = build_centroids(LinearStandIn(), draws, tmp_path, MADE_OF).path
    found = read_w(path, (256, 6))
    assert_is_published(found, arrays["W_stub"], exact=False)
    record = content("model.json")["W_stub"]
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), record["col_norms"], rtol=1e-3)
    assert draws.rng.random() == record["next_random"]
    clean = build_centroids(LinearStandIn(), PublishedDraws(), tmp_path, MADE_OF, passes=0).path
    assert_is_published(read_w(clean, (256, 6)), arrays["W_stub_pass0"], exact=True)


@needs_timm
def test_the_published_matrix_of_the_published_network_and_its_first_loss(arrays, tmp_path):
    network = formula_weights(build(NetworkShape(), seed=0, classes=6))
    path = build_centroids(network, PublishedDraws(), tmp_path, MADE_OF).path
    found = read_w(path, (256, 6))
    assert_is_published(found, arrays["W_full"], exact=False)
    write_w(path, arrays["W_full"])
    labels, expected = torch.tensor([0, 1]), content("model.json")["W_loss_after_set"]["loss"]
    for matrix_, relative in ((read_w(path, (256, 6)), 1e-4), (found, 1e-3)):
        network.criterion.set_kernel(torch.from_numpy(matrix_))
        with torch.no_grad():
            loss = network.eval().criterion(network(clean_views()), labels).loss
        assert abs(loss.item() / expected - 1) < relative


class Small(nn.Module):
    """Small, with running statistics that show in which mode it worked; counts its forwards."""

    def __init__(self, breaks_at=None):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.AvgPool2d(8), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(108, 10))
        self.calls, self.breaks_at, self.seen = 0, breaks_at, []

    def forward(self, x):
        if self.calls == self.breaks_at:
            raise KeyboardInterrupt
        self.calls += 1
        self.seen.append((self.training, torch.is_grad_enabled(), torch.is_autocast_enabled(), x.dtype))
        return self.layers(x)


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    root = write_pictures(tmp_path_factory.mktemp("drip") / "pictures")
    return ViewBatches(views(root), 7, 3)


def built(batches, folder, network=None, made_of=MADE_OF, **options):
    given = dict(passes=2, chunk=4, batch=2)
    given.update(options)
    result = build_centroids(network or Small(), batches, folder, made_of, **given)
    return read_w(result.path, (10, 8)), result


def test_a_column_is_the_mean_of_a_clean_view_and_augmented_ones(batches, tmp_path):
    found, result = built(batches, tmp_path)
    assert found.dtype == np.float32 and result.views == 2 * 8
    network, made = Small().eval().double(), batches.views
    for class_ in range(8):
        shown = [made.clean(class_)]
        for pass_ in (1, 2):
            shown.append(
                made.augmented(class_, derive_seed(7, "drip", "view", "centroids", pass_, class_))[0]
            )
        with torch.no_grad():
            mean = network(torch.from_numpy(np.stack(shown)).double()).numpy().mean(axis=0)
        np.testing.assert_allclose(found[:, class_], mean, rtol=0, atol=1e-6)


def test_published_columns_are_shorter_than_one(batches, tmp_path):
    network = build(NetworkShape("resnet", 10, width=4, layers=(1, 1, 1, 1), small_stem=True), 0)
    norms = np.linalg.norm(built(batches, tmp_path, network)[0], axis=0)
    assert norms.max() < 1 and norms.min() > 0.05


def test_evaluation_mode_without_gradients_or_autocast_and_the_mode_comes_back(batches, tmp_path):
    network = Small().train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = built(batches, tmp_path / "a", network)
    assert set(network.seen) == {(False, False, False, torch.float32)}
    assert network.training and network.layers.training and torch.is_grad_enabled()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    np.testing.assert_array_equal(found, built(batches, tmp_path / "b", Small().eval())[0])


def test_chunks_workers_and_an_incomplete_last_chunk_change_no_bit(batches, tmp_path):
    whole = built(batches, tmp_path / "a", chunk=8192)[0]
    for name, options in {"b": {"chunk": 1}, "c": {"chunk": 6}, "d": {"chunk": 5, "workers": 2}}.items():
        np.testing.assert_array_equal(built(batches, tmp_path / name, **options)[0], whole)


@pytest.mark.parametrize("breaks_at", [1, 6, 7, 11])
def test_a_killed_run_goes_on_with_the_chunk_that_is_missing(batches, tmp_path, breaks_at):
    whole, expected = built(batches, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        built(batches, tmp_path / "killed", Small(breaks_at))
    assert not os.path.exists(str(tmp_path / "killed" / "W.pickle"))
    network = Small()
    found, result = built(batches, tmp_path / "killed", network)
    np.testing.assert_array_equal(found, whole)
    assert result[1:] == expected[1:]
    assert network.calls == (12 if breaks_at < 6 else 6)  # a chunk is 3 passes of 2 batches
    assert sorted(os.listdir(str(tmp_path / "killed"))) == ["W.json", "W.pickle"]


def test_what_a_run_left_that_was_killed_at_its_very_end_is_removed(batches, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        built(batches, tmp_path, Small(breaks_at=7))
    shutil.copytree(str(tmp_path / "W.parts"), str(tmp_path / "kept"))
    built(batches, tmp_path)
    shutil.move(str(tmp_path / "kept"), str(tmp_path / "W.parts"))
    (tmp_path / "W.pickle.tmp-1").write_bytes(b"half")
    network = Small()
    built(batches, tmp_path, network)
    assert network.calls == 0
    assert sorted(os.listdir(str(tmp_path))) == ["W.json", "W.pickle"]


def test_a_damaged_chunk_is_made_again(batches, tmp_path):
    whole, _ = built(batches, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        built(batches, tmp_path / "killed", Small(breaks_at=6))
    (parts,) = (tmp_path / "killed" / "W.parts").iterdir()
    part = parts / "000000.npz"
    part.write_bytes(part.read_bytes()[:100])
    network = Small()
    np.testing.assert_array_equal(built(batches, tmp_path / "killed", network)[0], whole)
    assert network.calls == 12


def test_a_matrix_of_the_same_is_kept_and_one_of_anything_else_made_again(batches, tmp_path):
    first, made = built(batches, tmp_path)
    network = Small()
    again, kept = built(batches, tmp_path, network, chunk=6)
    assert network.calls == 0 and kept == made
    np.testing.assert_array_equal(again, first)
    for changed in ({"made_of": dict(MADE_OF, intensity="0.5")}, {"passes": 1}, {"batch": 4}):
        network = Small()
        built(batches, tmp_path, network, **changed)
        assert network.calls > 0
    (tmp_path / "W.json").unlink()  # a matrix of nobody knows what
    network = Small()
    built(batches, tmp_path, network)
    assert network.calls == 12


def test_chunks_of_other_weights_are_not_taken(batches, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        built(batches, tmp_path, Small(breaks_at=7))
    network = Small()
    built(batches, tmp_path, network, dict(MADE_OF, checkpoint="1" * 64))
    assert network.calls == 12


class Raising:
    """Views of which a step raised: once in each augmented view of the classes from `first` on."""

    def __init__(self, batches, first=0):
        self.batches, self.views, self.first = batches, batches.views, first

    def in_order(self, ranges, workers):
        for batch in self.batches.in_order(ranges, workers):
            count = int((batch.classes >= self.first).sum()) if batch.augmented is not None else 0
            yield batch._replace(raised={"meme_format": count} if count else {})


def test_steps_that_raised_are_counted_also_of_a_matrix_that_is_kept(batches, tmp_path):
    for _ in range(2):
        failures = StepFailures(1)
        failures.add({"blur": 1}, 3)
        _, result = built(Raising(batches), tmp_path, failures=failures)
        assert result.raised == {"meme_format": 16} and result.views == 16
        assert failures.state() == {"views": 19, "counts": {"blur": 1, "meme_format": 16}}


def test_the_chunk_in_which_steps_raise_too_often_is_not_kept(batches, tmp_path):
    failures = StepFailures(0.01)
    with pytest.raises(Refusal, match="augmentation steps raise .*: meme_format 8 times in 16 views"):
        built(Raising(batches, first=4), tmp_path / "refused", failures=failures)
    (part,) = (tmp_path / "refused").glob("W.parts/*/*")
    assert part.name == "000000.npz" and not (tmp_path / "refused" / "W.pickle").exists()
    network = Small()
    whole, _ = built(batches, tmp_path / "whole")
    np.testing.assert_array_equal(built(batches, tmp_path / "refused", network, failures=failures)[0], whole)
    assert network.calls == 6 and failures.state() == {"views": 16, "counts": {}}


def test_chunks_of_before_a_kill_count_too(batches, tmp_path):
    """Of 8 views at 0.55 4.4 + 4 sqrt(4.4) + 1 = 13.8 may raise, of 16 views 21.7; 12 and 24 do."""

    class More(Raising):
        def in_order(self, ranges, workers):
            for batch in super().in_order(ranges, workers):
                yield batch._replace(raised={name: 3 for name in batch.raised})

    whole, resumed = StepFailures(1), StepFailures(1)
    built(More(batches), tmp_path / "whole", failures=whole)
    assert whole.state() == {"views": 16, "counts": {"meme_format": 24}}
    with pytest.raises(KeyboardInterrupt):
        built(More(batches), tmp_path / "killed", Small(breaks_at=7), failures=StepFailures(0.55))
    with pytest.raises(Refusal, match="meme_format 24 times in 16 views"):
        built(More(batches), tmp_path / "killed", failures=StepFailures(0.55))
    assert len(list((tmp_path / "killed").glob("W.parts/*/*"))) == 1
    built(More(batches), tmp_path / "killed", failures=resumed)
    assert resumed.state() == whole.state()


def test_what_raises_too_often_in_all_chunks_together_leaves_nothing(batches, tmp_path):
    """As of two processes, each of which has seen its own chunks only."""
    work = centroids._Work(tmp_path, {}, 8, 4)
    os.makedirs(work.parts)
    for number in range(2):
        work.write(number, np.zeros((4, 10), np.float32), {"meme_format": 3})
    with pytest.raises(Refusal, match="meme_format 6 times in 16 views"):
        work.finish(16, 0.05)
    assert not os.path.exists(work.parts) and not os.path.exists(work.path)


def test_a_matrix_that_is_not_the_one_of_its_record_is_made_again(batches, tmp_path, capsys):
    whole, _ = built(batches, tmp_path)
    path = tmp_path / "W.pickle"
    content = path.read_bytes()
    write_w(str(path), whole + 1)
    swapped = path.read_bytes()
    assert len(swapped) == len(content)
    for changed in (swapped, content[:100], content + b"."):
        path.write_bytes(changed)
        network = Small()
        capsys.readouterr()
        np.testing.assert_array_equal(built(batches, tmp_path, network)[0], whole)
        assert network.calls == 12 and path.read_bytes() == content
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("encore: ")]
        assert "W.pickle: not the file that W.json describes: it is made again" in line


def test_descriptors_that_are_not_finite_are_refused_by_class(batches, tmp_path):
    class Broken(Small):
        def forward(self, x):
            found = super().forward(x)
            return found / torch.tensor([[1.0], [0.0 if self.calls == 8 else 1.0]])

    with pytest.raises(Refusal, match=r"descriptors of class 7 \(1 such of 4 to 7\) are not finite"):
        built(batches, tmp_path, Broken())


class Threads(Processes):
    """Processes that are threads of this one."""

    barriers = threading.Barrier(2, timeout=20)
    said = None

    def barrier(self):
        self.barriers.wait()

    def first_says(self, path, device):
        if self.is_first:
            Threads.said = path
        self.barrier()
        said = Threads.said
        self.barrier()
        return said


def test_two_processes_share_the_chunks(batches, tmp_path):
    whole = built(batches, tmp_path / "one", chunk=2)[0]
    networks, found = [Small(), Small()], {}

    def work(rank):
        options = dict(processes=Threads(rank, 2), chunk=2)
        found[rank] = [built(batches, tmp_path / "two", networks[rank], **options)[0] for _ in range(2)]

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rank in range(2):
        assert networks[rank].calls == 6  # two chunks of 3 batches each; the second call kept the matrix
        for matrix in found[rank]:
            np.testing.assert_array_equal(matrix, whole)


def matrix(features=3, classes=5):
    return np.random.RandomState(0).standard_normal((features, classes)).astype(np.float32)


@pytest.mark.parametrize("shape", [(3, 5), (1, 4), (4, 1)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_written_matrix_is_a_pickle_of_a_numpy_array(tmp_path, shape, order):
    path, expected = str(tmp_path / "W.pickle"), np.asarray(matrix(*shape), order=order)
    write_w(path, expected)
    with open(path, "rb") as file:
        found = pickle.load(file)
    assert type(found) is np.ndarray and found.dtype == np.float32 and found.flags.f_contiguous
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(read_w(path, shape), expected)
    torch.from_numpy(read_w(path, shape)).add_(1)


def test_the_pickle_asks_for_nothing_that_numpy_1_lacks(tmp_path):
    path = str(tmp_path / "W.pickle")
    write_w(path, matrix())
    with open(path, "rb") as file:
        codes = list(pickletools.genops(file.read()))
    asked = [argument for code, argument, _ in codes if code.name == "GLOBAL"]
    assert asked == ["numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"]
    assert max(code.proto for code, _, _ in codes) == 4


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_published_matrix_is_read(tmp_path, protocol, transposed):
    path, expected = tmp_path / "W.pickle", matrix()
    stored = np.ascontiguousarray(expected.T).T if transposed else expected
    path.write_bytes(pickle.dumps(stored, protocol))
    np.testing.assert_array_equal(read_w(str(path), (3, 5)), expected)


def test_what_is_no_such_matrix_is_refused(tmp_path):
    path = tmp_path / "W.pickle"
    with pytest.raises(Refusal, match="found none"):
        read_w(str(path), (3, 5))
    for content_, match in (
        (matrix(3, 4), r"expected the centroids as float32 \(3, 5\), found float32 \(3, 4\)"),
        (matrix().astype(np.float64), r"found float64 \(3, 5\)"),
        ([1.0], "found list: make them for these classes"),
        (matrix() * np.nan, "expected finite centroids"),
        (print, "asks to run builtins.print"),
    ):
        path.write_bytes(pickle.dumps(content_, 4))
        with pytest.raises(Refusal, match=match):
            read_w(str(path), (3, 5))
    write_w(str(path), matrix())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Refusal, match="damaged"):
        read_w(str(path), (3, 5))
    with pytest.raises(ValueError, match=r"expected \(features, classes\)"):
        write_w(str(path), matrix()[0])


def test_a_record_that_is_damaged_makes_the_matrix_again(batches, tmp_path):
    built(batches, tmp_path)
    for text in ("{", "[]", json.dumps({"made_of": None})):
        (tmp_path / "W.json").write_text(text)
        network = Small()
        built(batches, tmp_path, network)
        assert network.calls == 12


def test_the_work_shows_how_far_it_is(batches, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(centroids, "progress", lambda made, total, what: shown.append((total, what)) or made)
    built(batches, tmp_path)
    assert shown == [(12, "batches of centroids")]
