"""Replicas of a batch: against torch's own pieces, and on one, two and four processes."""

import io

import pytest
import torch
import torch.nn.functional as F

from encore.runtime.refusal import Refusal
from encore.systems.reid.params_json import params_from
from encore.systems.reid.replica_shares import ReplicaShares
from encore.systems.reid.run_folder import RunFolder
from encore.systems.reid.training import train_reid
from encore.systems.reid.training_pictures import open_training_pictures
from encore.systems.reid.training_run import ReidRun
from encore.systems.reid.training_steps import ReidTraining
from encore.training.distributed import Processes
from tests.encore.gloo_processes import run_on
from tests.encore.killed_run import assert_same_bits, die
from tests.encore.systems.reid.tiny_reid_run import draw_people, evaluated, params_of

OWN = {"state": "S", "seed": 3, "width": 4, "layers": [1, 1, 1, 1]}
LATER = dict(
    model_params={"pcb_n_parts": 2, "feature_gobal_dim": 4, "random_drop_branchs": 2},
    img_h=64,
    batch_sampling_params={"batch_size": 12},
)


@pytest.fixture(scope="module")
def size(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reid")
    draw_people(folder / "people", pictures=5)
    return folder


def test_shares_are_cut_as_torchs_chunk_and_dealt_out_in_order():
    for replicas in (1, 2, 4, 8):
        for size in range(1, 20):
            expected = [len(part) for part in torch.arange(size).chunk(replicas)]
            assert ReplicaShares(replicas).sizes(size) == expected
    shares = [ReplicaShares(4, Processes(rank, 2)) for rank in range(2)]
    assert shares[0].of_processes(5) == [4, 1]
    assert [list(each.rows(5)) for each in shares] == [[0, 1, 2, 3], [4]]
    assert shares[1].parts(5) == [(2, slice(4, 5))] and list(shares[1].rows(2)) == []
    with pytest.raises(Refusal, match="3 replicas .* cannot be shared by 2 processes"):
        ReplicaShares(3, Processes(0, 2))


def test_two_replicas_are_two_networks_whose_outputs_share_one_loss(size):
    params = params_of(size, parallels=[0, 1], encore=dict(OWN, replicas=2))
    run = ReidRun(params, open_training_pictures(params.batches_dir))
    assert run.replicas(torch.device("cpu")) == 2
    training = ReidTraining(params, 3, run.network(), None, torch.device("cpu"), 2)
    draws = torch.Generator().manual_seed(0)
    images, labels = torch.randn(7, 3, 32, 16, generator=draws), torch.tensor([0, 1, 2, 3, 0, 1, 2])
    twins = [run.network().train() for _ in range(2)]
    logits = torch.cat([twin(part).logits[0] for twin, part in zip(twins, images.split([4, 3]))])
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    assert training.step(0, 0, (images, labels)).loss == pytest.approx(loss.item(), rel=1e-6)
    found = dict(training.network.named_parameters())
    pairs = zip(*(twin.named_parameters() for twin in twins))
    for (name, first), (_, second) in pairs:
        assert torch.allclose(found[name].grad, first.grad + second.grad, rtol=1e-4, atol=1e-6), name
    statistics = training.network.state_dict()
    for name, value in twins[0].state_dict().items():
        if "running" in name or "tracked" in name:
            assert torch.equal(statistics[name], value), name  # those of replica 0 alone
    assert all(name.startswith("module.") for name in training.weights())


def test_without_the_key_several_processes_are_refused_and_nothing_else_changes(size):
    params = params_of(size, parallels=[0, 1])
    run = ReidRun(params, open_training_pictures(params.batches_dir))
    assert run.replicas(torch.device("cpu")) == 1 and "replicas" not in params.as_mapping()["encore"]
    with pytest.raises(Refusal, match="encore.replicas: missing: 2 processes .* set it, to 2 for those of"):
        run.replicas(torch.device("cpu"), Processes(0, 2))
    given = params_of(size, encore=dict(OWN, replicas=4))
    assert params_from(given.as_mapping(), "test")[0] == given


def later(size):
    """State H; 20 pictures in batches of 12 and 8, on 4 replicas; a teacher; evaluations."""
    values = evaluated(size, **LATER)
    teacher = {"model": str(size / "teacher"), "temperature": 2.0, "weight": 1.0, "feature_weight": 1.0}
    own = dict(values["encore"], **dict(OWN, state="H"), replicas=4, save_every=1, teacher=teacher)
    return params_of(size, "H", **dict(values, encore=own))


def plain(size):
    """State S; 20 pictures in batches of 6 and a last one of 2, on 8 replicas: a process may have none."""
    own = dict(OWN, replicas=8, save_every=1)
    return params_of(size, batch_sampling_params={"batch_size": 6}, img_h=64, encore=own)


def train(size, make, folder, kill_after=None):
    def on_step(epoch, step, result):
        if (epoch, step) == kill_after:
            die()

    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    params = make(size)
    run = ReidRun(params, open_training_pictures(params.batches_dir), lambda line: None)
    train_reid(run, RunFolder(str(folder)) if not rank else None, "cpu", io.StringIO(), on_step)


def left(folder):
    found = RunFolder(str(folder))
    names = [name for name in ("model.pth", "model_best.pth", "history.jsonl") if (folder / name).exists()]
    return {name: (folder / name).read_bytes() for name in names}, found.load_resume()


@pytest.mark.parametrize("make", [plain, later])
def test_two_and_four_processes_end_in_the_bits_of_one(size, make, tmp_path):
    """Killed on two within the second epoch and gone on with on four."""
    if make is later and not (size / "teacher").exists():
        values = dict(LATER, encore=dict(OWN, state="H", max_iterations=1))
        params = params_of(size, "H", **values)
        run = ReidRun(params, open_training_pictures(params.batches_dir), lambda line: None)
        train_reid(run, RunFolder(str(size / "teacher")), "cpu", io.StringIO())
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert run_on(1, train, size, make, alone) == [0]
    assert not any(status == 0 for status in run_on(2, train, size, make, shared, (1, 1)))
    assert RunFolder(str(shared)).load_resume()["position"] == (1, 1)
    assert run_on(4, train, size, make, shared) == [0] * 4
    found, expected = left(shared), left(alone)
    assert found[0] == expected[0]
    assert_same_bits(found[1], expected[1])
