"""The ArcFace head against the whole-matrix formula, worked examples and the published code's numbers."""

import json
import math
import os
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

if int(torch.__version__.split(".")[0]) < 2:
    pytest.skip("this head needs torch 2", allow_module_level=True)

from encore.losses.arcface import ArcFace, class_columns, with_margin
from encore.runtime.refusal import Refusal
from encore.training.distributed import Processes
from tests.golden_files import golden

M = 0.4
COS_M, SIN_M = 0.921060994, 0.389418342


def whole_matrix(embeddings, kernel, labels, scale=40.0, margin=M):
    """The formula as it is written, every map of B x C: loss, logits, cosines."""
    weights = kernel / (kernel.norm(dim=0, keepdim=True) + 1e-6)
    cosines = (embeddings @ weights).clamp(-1, 1)
    sine = torch.sqrt(1 - cosines**2)
    moved = cosines * math.cos(margin) - sine * math.sin(margin)
    beyond = cosines - math.cos(math.pi - margin) <= 0
    moved = torch.where(beyond, cosines - margin * math.sin(margin), moved)
    one_hot = F.one_hot(labels, kernel.shape[1]).bool()
    logits = scale * torch.where(one_hot, moved, cosines)
    return F.cross_entropy(logits, labels), logits, cosines


def head_with(kernel, **options):
    head = ArcFace(kernel.shape[0], kernel.shape[1], **options).to(kernel.dtype)
    head.set_kernel(kernel)
    return head


def gradients(loss, *tensors):
    return torch.autograd.grad(loss, tensors)


def near_labels(draw, count, features, classes, dtype=torch.float64):
    """Unit vectors at angles from 0.3 to 3.1 to the kernel columns of their labels, both of random length."""
    kernel = torch.randn(features, classes, generator=draw, dtype=dtype)
    labels = torch.randint(0, classes, (count,), generator=draw)
    own = F.normalize(kernel[:, labels].t(), dim=1)
    other = torch.randn(count, features, generator=draw, dtype=dtype)
    other = F.normalize(other - (other * own).sum(1, keepdim=True) * own, dim=1)
    angle = 0.3 + 2.8 * torch.rand(count, 1, generator=draw, dtype=dtype)
    return angle.cos() * own + angle.sin() * other, kernel, labels


def test_worked_example():
    # |k| = sqrt 5, sqrt 10, 2.5; e . k / |k| = 2.2/2.236, 0, 1.6/2.5; ...; the third label's -.948683 lies
    # beyond cos(pi - .4) = -.92106, so its logit is 40 (-.948683 - .4 sin .4)
    kernel = torch.tensor([[1.0, 0, 2], [0, 1, -1], [2, 0, 0.5], [0, 3, 1]])
    embeddings = torch.tensor([[0.6, 0, 0.8, 0], [-0.5, 0.5, -0.5, 0.5], [0, -0.6, 0, -0.8]])
    labels = torch.tensor([0, 2, 1])
    rows = [
        [2.2 / 5**0.5, 0, 1.6 / 2.5],
        [-1.5 / 5**0.5, 2 / 10**0.5, -1.25 / 2.5],
        [0, -3 / 10**0.5, -0.2 / 2.5],
    ]
    # the length of the third column is sqrt(4 + 1 + .25 + 1) = 2.5
    head = head_with(kernel)
    assert torch.allclose(head.cosines(embeddings), torch.tensor(rows), atol=2e-6)
    first = 40 * (rows[0][0] * COS_M - math.sqrt(1 - rows[0][0] ** 2) * SIN_M)
    second = 40 * (rows[1][2] * COS_M - math.sqrt(1 - rows[1][2] ** 2) * SIN_M)
    third = 40 * (rows[2][1] - 0.4 * SIN_M)
    found = 40 * with_margin(torch.tensor([rows[0][0], rows[1][2], rows[2][1]]), M)
    assert found.tolist() == pytest.approx([first, second, third], abs=1e-4)
    assert found.tolist() == pytest.approx([33.461674, -31.91106, -44.178013], abs=2e-4)
    losses = [
        math.log(math.exp(first) + 1 + math.exp(40 * rows[0][2])) - first,
        math.log(math.exp(40 * rows[1][0]) + math.exp(40 * rows[1][1]) + math.exp(second)) - second,
        math.log(1 + math.exp(third) + math.exp(40 * rows[2][2])) - third,
    ]
    loss, predictions = head(embeddings, labels)
    assert loss.item() == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert loss.item() == pytest.approx(33.809208, rel=1e-6)
    assert predictions.tolist() == [0, 1, 0]


def test_outputs_of_the_published_code():
    with open(golden("drip/model.json"), encoding="utf-8") as file:
        expected = json.load(file)["head"]
    arrays = {key: torch.from_numpy(value) for key, value in np.load(str(golden("drip/model.npz"))).items()}
    embeddings = arrays["head_emb"].requires_grad_()
    head = head_with(arrays["head_kernel"], columns=16)
    labels = arrays["head_labels"]
    loss, predictions = head(embeddings, labels)
    assert loss.item() == pytest.approx(expected["loss"], rel=1e-5)
    assert torch.allclose(head.cosines(embeddings), arrays["head_cos"], rtol=0, atol=1e-6)
    own = head.cosines(embeddings)[torch.arange(6), labels]
    assert (40 * with_margin(own, M)).tolist() == pytest.approx(expected["label_logits"], rel=1e-5)
    assert torch.equal(predictions, arrays["head_cos"].argmax(1))
    for found, name in zip(gradients(loss, embeddings, head.kernel), ("head_gemb", "head_gkernel")):
        assert (found - arrays[name]).norm() <= 1e-5 * arrays[name].norm()


def test_initial_kernel_of_the_published_code():
    with open(golden("drip/model.json"), encoding="utf-8") as file:
        expected = json.load(file)["kernel_init"]
    torch.manual_seed(expected["torch_seed"])
    kernel = ArcFace(256, expected["classes"]).kernel.detach()
    assert kernel[:8, 0].tolist() == expected["first_col_first8"]  # to the last bit
    assert kernel.norm(dim=0).tolist() == pytest.approx(expected["col_norms"], abs=3e-7)
    torch.manual_seed(expected["torch_seed"])
    assert torch.equal(ArcFace(256, expected["classes"], processes=Processes(1, 2)).kernel, kernel[:, 6:])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 40), st.integers(1, 50))
def test_against_the_whole_matrix_in_double_precision(seed, count, classes, columns):
    embeddings, kernel, labels = near_labels(torch.Generator().manual_seed(seed), count, 6, classes)
    head = head_with(kernel, columns=columns)
    embeddings.requires_grad_()
    kernel.requires_grad_()
    expected, logits, cosines = whole_matrix(embeddings, kernel, labels)
    loss, predictions = head(embeddings, labels)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9, abs=1e-12)
    assert torch.equal(predictions, cosines.argmax(1))
    expected_gradients = gradients(3 * expected, embeddings, kernel)
    for found, wanted in zip(gradients(3 * loss, embeddings, head.kernel), expected_gradients):
        assert (found - wanted).norm() <= 1e-8 * wanted.norm() + 1e-12


def test_finite_differences():
    embeddings, kernel, labels = near_labels(torch.Generator().manual_seed(1), 5, 4, 7)
    head = head_with(kernel, columns=3, scale=5.0)
    values = (embeddings.requires_grad_(), head.kernel)
    found = gradients(head(embeddings, labels).loss, *values)
    with torch.no_grad():
        for value, gradient in zip(values, found):
            for place in np.ndindex(*value.shape):
                losses = []
                for step in (1e-5, -2e-5):
                    value[place] += step
                    losses.append(head(embeddings, labels).loss.item())
                value[place] += 1e-5
                assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(gradient[place].item(), abs=1e-7)


@pytest.mark.parametrize("columns", [None, 1000])
def test_single_precision_agrees_to_1e_6(columns):
    """With the whole matrix in double precision: in single precision that is itself up to 1.6e-6 off (torch
    2.0.1; its logits are rounded to 4e-6), and ours must not be further off."""
    embeddings, kernel, labels = near_labels(torch.Generator().manual_seed(5), 64, 256, 9000, torch.float32)
    exact = [value.double().requires_grad_() for value in (embeddings, kernel)]
    head = head_with(kernel, columns=columns)
    embeddings.requires_grad_()
    kernel.requires_grad_()
    expected, _, _ = whole_matrix(*exact, labels)
    loss = head(embeddings, labels).loss
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    found, wanted = gradients(loss, embeddings, head.kernel), gradients(expected, *exact)
    literal = gradients(whole_matrix(embeddings, kernel, labels)[0], embeddings, kernel)
    for ours, other, right in zip(found, literal, wanted):
        assert (ours - right).norm() <= min(1e-6 * right.norm(), (other - right).norm())


def test_cosines_beyond_1_give_no_gradient_and_zero_columns_are_allowed():
    draw = torch.Generator().manual_seed(2)
    embeddings = 3 * F.normalize(torch.randn(6, 4, generator=draw, dtype=torch.float64), dim=1)
    kernel = torch.randn(4, 9, generator=draw, dtype=torch.float64)
    kernel[:, 5] = 0
    labels = (whole_matrix(embeddings, kernel, torch.zeros(6, dtype=torch.int64))[2].abs()).argmin(1)
    embeddings.requires_grad_()
    kernel.requires_grad_()
    expected, _, cosines = whole_matrix(embeddings, kernel, labels)
    assert (cosines.abs() == 1).any()
    head = head_with(kernel.detach(), columns=4)
    loss = head(embeddings, labels).loss
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    # Written as it is, sqrt'(0) times nothing is not a number at the clamped places; written at the label:
    weights = kernel / (kernel.norm(dim=0, keepdim=True) + 1e-6)
    free = (embeddings @ weights).clamp(-1, 1)
    own = free.gather(1, labels[:, None])
    logits = 40 * free.scatter(1, labels[:, None], with_margin(own[:, 0], M)[:, None])
    wanted = gradients(F.cross_entropy(logits, labels), embeddings, kernel)
    for found, other in zip(gradients(loss, embeddings, head.kernel), wanted):
        assert torch.isfinite(other).all() and torch.allclose(found, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cosine, slope", [(0.5, COS_M + SIN_M / 3**0.5), (-0.93, 1.0)])
def test_slope_on_both_sides_of_the_threshold(cosine, slope):
    cosines = torch.tensor([cosine], dtype=torch.float64, requires_grad=True)
    moved = with_margin(cosines, M)
    expected = math.cos(math.acos(cosine) + M) if cosine > -0.92 else cosine - M * math.sin(M)
    assert moved.item() == pytest.approx(expected, rel=1e-12)
    assert gradients(moved.sum(), cosines)[0].item() == pytest.approx(slope, rel=1e-8)


def test_published_fallback_raises_no_easy_margin():
    # continuous it is not: just above the threshold the angle reaches pi, just below it jumps up
    threshold = -math.cos(M)
    above, below = with_margin(torch.tensor([threshold + 1e-9, threshold], dtype=torch.float64), M)
    assert above.item() == pytest.approx(-1, abs=1e-8)
    assert below.item() == pytest.approx(threshold - M * math.sin(M), rel=1e-12) and below < above


def test_half_precision_rounds_cosines_as_autocast_does():
    embeddings, kernel, labels = near_labels(torch.Generator().manual_seed(3), 16, 32, 50, torch.float32)
    head = head_with(kernel, columns=20)
    with torch.autocast("cpu", torch.bfloat16):
        cosines = head.cosines(embeddings)
        loss, predictions = head(embeddings.requires_grad_(), labels)
    assert cosines.dtype == torch.bfloat16 and loss.dtype == torch.float32
    assert torch.equal(predictions, cosines.argmax(1))
    own = cosines[torch.arange(16), labels]
    logits = (40 * cosines).float()
    logits[torch.arange(16), labels] = (40 * with_margin(own, M)).float()
    assert loss.item() == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)
    exact = whole_matrix(embeddings, head.kernel, labels)[0]
    for found, wanted in zip(*(gradients(one, embeddings, head.kernel) for one in (loss, exact))):
        assert found.dtype == torch.float32 and (found - wanted).norm() < 0.02 * wanted.norm()


def test_a_cosine_of_exactly_1_in_half_precision_leaves_finite_gradients():
    """Published trap: sqrt'(0) of another class's column makes the published gradient not a number."""
    kernel = torch.eye(4)
    embeddings = torch.tensor([[1.0, 0, 0, 0]], requires_grad=True)
    head = head_with(kernel)
    with torch.autocast("cpu", torch.bfloat16):
        assert head.cosines(embeddings)[0, 0] == 1
        loss = head(embeddings, torch.tensor([1])).loss
    assert all(torch.isfinite(gradient).all() for gradient in gradients(loss, embeddings, head.kernel))


def test_one_map_is_kept():
    """Bytes that autograd holds after forward: the map, and what is as small as a row or a column."""
    embeddings, kernel, labels = near_labels(torch.Generator().manual_seed(4), 16, 8, 5000, torch.float32)
    head = head_with(kernel, columns=1024)
    loss = head(embeddings.requires_grad_(), labels).loss
    kept = loss.grad_fn.map_
    others = [one for one in loss.grad_fn.saved_tensors if one is not embeddings and one is not head.kernel]
    assert kept.untyped_storage().nbytes() == 4 * 16 * 5000
    assert sum(one.untyped_storage().nbytes() for one in others) < 0.1 * kept.untyped_storage().nbytes()
    loss.backward(retain_graph=True)
    assert loss.grad_fn.map_ is None
    with pytest.raises(RuntimeError, match="can be taken once"):
        loss.backward()
    with torch.no_grad():
        assert head(embeddings, labels).loss == loss and not head(embeddings, labels).loss.requires_grad


def test_ties_go_to_the_first_class():
    head = head_with(torch.ones(3, 10), columns=4)
    assert head(torch.ones(2, 3) / 3**0.5, torch.tensor([4, 7])).predictions.tolist() == [0, 0]


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: ArcFace(4, 3)(torch.ones(2, 4), torch.tensor([0, 3])),
            "labels must lie in 0 to 2, found 0 to 3",
        ),
        (lambda: ArcFace(4, 3)(torch.ones(2, 4), torch.tensor([-1, 0])), "found -1 to 0"),
        (
            lambda: ArcFace(4, 3).set_kernel(torch.ones(4, 5)),
            r"kernel is \(4, 3\), found a matrix of \(4, 5\)",
        ),
        (lambda: ArcFace(4, 0), "must be 1 at least"),
        (lambda: class_columns(2, 0, 4), "2 classes cannot be spread over 4 processes"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(Refusal, match=message):
        call()


def test_columns_of_processes_cover_the_classes_once():
    assert list(class_columns(10, 0, 4)) == [0, 1] and list(class_columns(10, 3, 4)) == [6, 7, 8, 9]
    for classes in (4, 5, 7, 11, 1500000):
        for count in (1, 2, 4):
            shares = [class_columns(classes, rank, count) for rank in range(count)]
            assert sum(map(len, shares)) == classes and shares[0].start == 0 and min(map(len, shares)) > 0
            assert all(one.stop == other.start for one, other in zip(shares, shares[1:]))


def _of_one_process(rank, folder):
    torch.set_num_threads(1)
    # They meet at a file: a free port that is looked up beforehand can be taken by another program meanwhile.
    torch.distributed.init_process_group(
        "gloo", init_method="file://%s" % os.path.join(folder, "meeting"), rank=rank, world_size=2
    )
    embeddings, kernel, labels = near_labels(torch.Generator().manual_seed(6), 8, 5, 11)
    torch.manual_seed(9)
    head = ArcFace(5, 11, columns=4, processes=Processes(rank, 2)).double()
    drawn = head.whole_kernel()
    head.set_kernel(kernel)
    loss, predictions = head(embeddings.requires_grad_(), labels)
    to_embeddings, to_kernel = gradients(loss, embeddings, head.kernel)
    found = (loss.detach(), predictions, to_embeddings, to_kernel, drawn, head.whole_kernel())
    torch.save(found, os.path.join(folder, str(rank)))
    torch.distributed.barrier()
    os._exit(0)  # as call_and_end does; gloo of torch 2.0.1 can wait in destroy_process_group for ever


def test_two_processes_share_the_columns(tmp_path):
    started = torch.multiprocessing.spawn(_of_one_process, (str(tmp_path),), nprocs=2, join=False)
    until = time.monotonic() + 300
    try:
        while not started.join(1):
            assert time.monotonic() < until, "the processes wait for each other"
    finally:
        for process in started.processes:
            process.kill()
    first, second = (torch.load(str(tmp_path / str(rank))) for rank in range(2))
    embeddings, kernel, labels = near_labels(torch.Generator().manual_seed(6), 8, 5, 11)
    assert {0, 1} == {int(label >= 6) for label in labels}  # 6 columns (round half to even of 5.5) and 5
    expected, _, cosines = whole_matrix(embeddings.requires_grad_(), kernel.requires_grad_(), labels)
    to_embeddings, to_kernel = gradients(expected, embeddings, kernel)
    for loss, predictions, found, _, _, _ in (first, second):
        assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
        assert torch.equal(predictions, cosines.argmax(1))
        assert (found - to_embeddings).norm() <= 1e-8 * to_embeddings.norm()
    assert torch.equal(first[2], second[2])
    assert (torch.cat([first[3], second[3]], 1) - to_kernel).norm() <= 1e-8 * to_kernel.norm()
    torch.manual_seed(9)
    assert torch.equal(first[4], ArcFace(5, 11).kernel.double()) and torch.equal(second[4], first[4])
    assert torch.equal(first[5], kernel)
