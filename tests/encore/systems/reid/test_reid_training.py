import io
import json
import os
import types

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from encore.runtime.refusal import Refusal
from encore.systems.reid.evaluators import Evaluator
from encore.systems.reid.objective import Objective
from encore.systems.reid.params_json import params_from
from encore.systems.reid.record import read_history
from encore.systems.reid.run_folder import RunFolder
from encore.systems.reid.training import resumed_identity, train_reid
from encore.systems.reid.training_pictures import open_training_pictures
from encore.systems.reid.training_run import ReidRun, parameter_identity
from encore.systems.reid.training_steps import ReidTraining
from tests.encore.killed_run import assert_same_bits
from tests.encore.systems.reid.tiny_reid_run import draw_people, evaluated, mapping, params_of

PCB = {"pcb_n_parts": 2}
TRIPLET = {"margin": 0.3, "lambda_cls": 1, "lambda_tri": 1}
LATE = {"decay_step": 2001}
OWN = {"state": "S", "seed": 3, "width": 4, "layers": [1, 1, 1, 1]}
LATER = dict(OWN, state="H")


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def size(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reid")
    draw_people(folder / "people")
    return folder


def own(**changes):
    return dict(OWN, **changes)


def start(params, folder, on_step=None, warn=None):
    run = ReidRun(params, open_training_pictures(params.batches_dir), warn or (lambda text: None))
    return train_reid(run, folder, "cpu", io.StringIO(), on_step)


def train(size, name, state="S", **changes):
    """(Trained, RunFolder) of a whole run in a folder of its own."""
    folder = RunFolder(str(size / name))
    return start(params_of(size, state, **changes), folder), folder


def loaded(folder, name="model.pth"):
    return torch.load(folder.file(name), map_location="cpu")


def left(folder):
    """What a run leaves that must not depend on where it was killed."""
    names = ("history.jsonl", "classes.json", "params.json")
    texts = [open(folder.file(name)).read() for name in names]
    weights = [open(folder.file(name), "rb").read() for name in ("model.pth", "model_best.pth")]
    return texts, weights, folder.load_resume()


def kill_after(number):
    seen = []

    def on_step(epoch, step, result):
        seen.append(step)
        if len(seen) == number:
            raise Killed

    return on_step


def assert_same(found, expected):
    assert found[:2] == expected[:2]
    assert_same_bits(found[2], expected[2])


def parts_params(size, every=1000, **changes):
    """Two parts, erased pictures, an evaluation after each epoch; five steps, the last epoch is cut short."""
    values = evaluated(size, encore=own(save_every=every, max_iterations=5))
    values.update(changes, model_params=PCB, data_augmentation={"random_erasing": True}, img_h=64)
    return params_of(size, **values)


@pytest.fixture(scope="module")
def whole(size):
    folder = RunFolder(str(size / "whole"))
    assert start(parts_params(size), folder).done == 5
    return left(folder)


@pytest.mark.parametrize("every, stops", [(2, (1, 2, 3)), (1000, (4,))])
def test_a_killed_run_ends_in_the_same_bits(size, every, stops, tmp_path, whole):
    killed = RunFolder(str(tmp_path / "killed"), str(tmp_path / "beside.pth"))
    for stop in stops:
        with pytest.raises(Killed):
            start(parts_params(size, every), killed, kill_after(stop))
    result = start(parts_params(size, every, num_preprocess_workers=2), killed)
    assert result.resumed and 0 < result.done < 5 and result.iterations == 5
    for _ in range(2):
        killed.describe(parts_params(size), ["0001", "0002", "0003", "0004"])  # save_every decides nothing
        assert_same(left(killed), whole)
        assert start(parts_params(size), killed).done == 0


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_kill_within_a_save_loses_nothing(size, number, monkeypatch, tmp_path, whole):
    killed, save, count = RunFolder(str(tmp_path / "killed")), torch.save, []

    def half(content, file):
        count.append(1)
        if len(count) == number:
            file.write(b"PK\x03\x04 half")
            raise Killed
        save(content, file)

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(Killed):
        start(parts_params(size), killed)
    start(parts_params(size), killed)
    assert_same(left(killed), whole)


@pytest.mark.parametrize("number", [3, 5])
def test_a_refused_evaluation_loses_no_step(size, number, tmp_path, whole):
    """The evaluation refuses, the cause is mended, and the same command goes on with it."""
    flag, params = tmp_path / "broken", parts_params(size)
    folder, steps = RunFolder(str(tmp_path / "run")), []
    measure = Evaluator.measure

    def refusing(self, config):
        if flag.exists() and config["global_step"] == number:
            raise Refusal("gallery/1.png: the picture is empty")
        return measure(self, config)

    flag.write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluator, "measure", refusing)
        for _ in range(2):
            with pytest.raises(Refusal, match="the picture is empty"):
                start(params, folder, lambda *step: steps.append(step[:2]))
        assert len(steps) == number and folder.load_resume()["evaluation_due"]
        flag.unlink()
        result = start(params, folder, lambda *step: steps.append(step[:2]))
    assert len(steps) == 5 and result.done == 5 - number
    assert_same(left(folder), whole)


def test_an_evaluation_that_was_written_is_not_written_twice(size, tmp_path, whole):
    folder, save, params = RunFolder(str(tmp_path / "run")), RunFolder.save_weights, parts_params(size)

    def killed_before_the_best(self, name, state):
        if name == "model_best.pth":
            raise Killed
        save(self, name, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "save_weights", killed_before_the_best)
        with pytest.raises(Killed):
            start(params, folder)
    assert "evaluation" in read_history(folder.file("history.jsonl"))[-1]
    start(params, folder)
    assert_same(left(folder), whole)
    events = EventAccumulator(folder.path)
    events.Reload()
    assert [event.step for event in events.Scalars("rank1")] == [3, 5]


def test_evaluation_pictures_may_be_mended_before_the_first_evaluation(size, tmp_path):
    root = tmp_path / "market"
    draw_people(root / "gallery")
    draw_people(root / "query", pictures=2)
    picture = root / "gallery" / "0001" / "0001_c1s1_000000_00.png"
    data = picture.read_bytes()
    picture.write_bytes(b"no picture")
    values = dict(evaluation_params={"type": "market_evaluate"}, encore=own(evaluation_root=str(root)))
    params, folder = params_of(size, **values), RunFolder(str(tmp_path / "run"))
    with pytest.raises(Refusal, match="0001_c1s1_000000_00.png"):
        start(params, folder)
    picture.write_bytes(data)
    assert start(params, folder).done == 3
    picture.write_bytes(data + b"1")
    with pytest.raises(Refusal, match="other values of evaluation pictures"):
        start(params, folder)


def test_the_accuracy_that_the_spectral_transform_waits_for_is_kept(size, tmp_path):
    params = params_of(size, "H", encore=dict(LATER, max_iterations=5))
    whole, killed = RunFolder(str(tmp_path / "whole")), RunFolder(str(tmp_path / "killed"))
    seen = {}

    def run(folder, accuracy, stop=None):
        training = []
        build = ReidTraining.__init__

        def with_accuracy(self, *arguments, **options):
            build(self, *arguments, **options)
            training.append(self)

        def on_step(epoch, step, result):
            if epoch == 0 and step == 0:
                training[0].accuracy = accuracy
            seen.setdefault(folder, []).append(result.terms["st_mean"])
            if stop == (epoch, step):
                raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ReidTraining, "__init__", with_accuracy)
            return start(params, folder, on_step)

    run(whole, 0.95)
    assert seen[whole][0] == 0.0 and seen[whole][1] > 0.0  # the transform works in the first epoch only
    content = whole.load_resume()
    assert content["counters"]["accuracy"] < 0.9
    with pytest.raises(Killed):
        run(killed, 0.95, (1, 1))
    start(params, killed)
    assert_same_bits(killed.load_resume(), content)


@pytest.mark.parametrize(
    "state, changes",
    [
        ("S", dict(tri_loss_params=TRIPLET, lr=LATE, optimizer="adam")),
        ("S", dict(tri_loss_params=dict(TRIPLET, lambda_cls=0, margin="soft_margin"), lr=LATE)),
        ("S", dict(tri_loss_params=TRIPLET, lr=LATE, model_params=PCB, img_h=64)),
        ("S", dict(batch_sampling_params={"class_balanced": True}, lr=LATE, optimizer="rmsprop")),
        ("H", dict(model_params=dict(PCB, feature_gobal_dim=4, random_drop_branchs=2))),
        ("H", dict(tri_loss_params=TRIPLET, batch_sampling_params={"class_balanced": True}, epochs=1)),
        ("H", dict(asoftmax_params={"margin": [0.1, 0.2], "step": 2}, focal_loss=True)),
    ],
)
def test_every_combination_trains(size, state, changes, tmp_path):
    later = {name: changes.pop(name) for name in ("asoftmax_params", "focal_loss") if name in changes}
    values = dict(encore=dict(OWN, state=state, max_iterations=3), **changes)
    params = params_from(dict(mapping(size, state, **values), **later), "test")[0]
    folder = RunFolder(str(tmp_path / "run"))
    result = start(params, folder)
    assert result.metrics["iterations"] == 3 and result.metrics["train_loss"] > 0
    assert ("train_accuracy" in result.metrics) == ("xent_loss" in params.losses)
    assert not os.path.exists(folder.file("model_best.pth"))
    assert ("classifier.weight" in loaded(folder)) == (
        "xent_loss" in params.losses and not params.model_params.pcb_n_parts
    )


def test_the_network_learns_and_the_best_weights_are_kept(size, tmp_path):
    values = evaluated(size, encore=own())
    folder = RunFolder(str(tmp_path / "run"))
    result = start(
        params_of(size, **dict(values, epochs=4, lr={"decay_step": 10, "base_lr": 0.002, "fc_lr": 0.02})),
        folder,
    )
    rows = read_history(folder.file("history.jsonl"))
    losses = [row["train_loss"] for row in rows if "train_loss" in row]
    assert len(losses) == 4 and losses[-1] < losses[0]
    measured = [row for row in rows if "evaluation" in row]
    best = max(measured, key=lambda row: row["value"])
    metrics = result.metrics
    assert metrics["best_value"] == best["value"] and metrics["best_iteration"] == best["iteration"]
    assert metrics["best_epoch"] == best["epoch"] and metrics["rank1"] == measured[-1]["value"]
    assert (metrics["images"], metrics["num_labels"], metrics["iterations"]) == (12, 4, 12)
    same = all(
        torch.equal(a, b) for a, b in zip(loaded(folder).values(), loaded(folder, "model_best.pth").values())
    )
    assert same == (best is measured[-1])
    events = EventAccumulator(folder.path)
    events.Reload()
    assert [event.step for event in events.Scalars("rank1")] == [3, 6, 9, 12]
    assert set(events.Tags()["scalars"]) == {"rank1", "mAP", "learning_rate", "fc_learning_rate"}


def test_a_step_is_the_published_one(size):
    """Plain S: one update by hand with torch's own pieces."""
    params = params_of(size)
    run = ReidRun(params, open_training_pictures(params.batches_dir))
    training = ReidTraining(params, 3, run.network(), None, torch.device("cpu"))
    images, labels = torch.randn(4, 3, 32, 16), torch.tensor([0, 1, 2, 3])
    twin = run.network().train()
    loss = torch.nn.functional.cross_entropy(twin(images).logits[0], labels)
    loss.backward()
    before = {name: value.detach().clone() for name, value in twin.named_parameters()}
    result = training.step(1, 0, (images, labels))
    assert result.loss == pytest.approx(loss.item(), rel=1e-6)
    assert result.terms["fc_learning_rate"] == pytest.approx(0.01) == 10 * result.learning_rate
    found = dict(training.network.named_parameters())
    for name, parameter in twin.named_parameters():
        rate = 0.001 if name.startswith("model.") else 0.01  # decayed before the update, as published
        expected = before[name] - rate * (parameter.grad + 4e-5 * before[name])
        assert torch.allclose(found[name], expected, rtol=1e-5, atol=1e-7), name


def test_a_loss_that_is_not_finite_updates_nothing(size):
    params = params_of(size)
    run = ReidRun(params, open_training_pictures(params.batches_dir))
    training = ReidTraining(params, 3, run.network(), None, torch.device("cpu"))
    before = {name: value.clone() for name, value in training.network.named_parameters()}
    images = torch.full((4, 3, 32, 16), float("nan"))
    with pytest.raises(Refusal, match="the loss is nan, expected a finite number"):
        training.step(0, 2, (images, torch.tensor([0, 1, 2, 3])))
    for name, value in training.network.named_parameters():
        assert torch.equal(value, before[name])


def test_fine_tuning_leaves_the_backbone_but_its_statistics(size, tmp_path):
    whole = RunFolder(str(tmp_path / "run"))
    params = params_of(size, fine_tune=True, encore=own(max_iterations=2))
    start(params, whole)
    first = ReidRun(params, open_training_pictures(params.batches_dir)).network().state_dict()
    for name, value in loaded(whole).items():
        moved = name.startswith(("fc.", "classifier.")) or "running" in name or "tracked" in name
        assert torch.equal(value, first[name]) != moved, name
    assert read_history(whole.file("history.jsonl"))[-1]["learning_rate"] == 0.0


def test_a_snapshot_gives_the_first_weights(size, tmp_path):
    _, folder = train(size, "snapshot", encore=own(max_iterations=1))
    said = []
    params = params_of(size, pretrain_snapshot=folder.file("model.pth"))
    run = ReidRun(params, open_training_pictures(params.batches_dir), said.append)
    assert_same_bits(run.network().state_dict(), loaded(folder))
    assert not said
    state = loaded(folder)
    del state["classifier.bias"]
    torch.save({"module." + name: value for name, value in state.items()}, str(tmp_path / "less.pth"))
    run = run._replace(params=params_of(size, pretrain_snapshot=str(tmp_path / "less.pth")))
    assert torch.equal(run.network().fc.weight, state["fc.weight"])
    assert len(said) == 1 and "lacks 1 tensors of the network" in said[0] and "classifier.bias" in said[0]
    run = run._replace(params=params_of(size, pretrain_snapshot="/nowhere/model.pth"))
    run.network()
    assert said[1:] == ["pretrain_snapshot /nowhere/model.pth: no such file, the run starts without it"]


def test_imagenet_weights_are_asked_for(size, tmp_path):
    params = params_of(size, imagenet_pretrain=True)
    pictures = open_training_pictures(params.batches_dir)
    with pytest.raises(
        Refusal, match="encore.imagenet_weights names no file.*resnet_18.*imagenet_pretrain to"
    ):
        start(params, RunFolder(str(tmp_path / "run")))
    backbone = ReidRun(params_of(size), pictures).network().model.state_dict()
    path = str(tmp_path / "resnet.pth")
    torch.save({name: torch.ones_like(value) for name, value in backbone.items()}, path)
    params = params_of(size, imagenet_pretrain=True, encore=own(imagenet_weights=path))
    network = ReidRun(params, pictures).network()
    assert network.model.conv1.weight.unique().tolist() == [1.0]
    params = params_of(size, imagenet_pretrain=True, encore=own(imagenet_weights=str(tmp_path / "none.pth")))
    with pytest.raises(Refusal, match="none.pth: no such file"):
        ReidRun(params, pictures).network()


def test_another_recipe_is_refused_by_name(size, tmp_path):
    folder = RunFolder(str(tmp_path / "run"))
    first = params_of(size, encore=own(max_iterations=1))
    start(first, folder)
    with pytest.raises(
        Refusal, match=r"other values of encore.seed \(3, now 4\), lr.base_lr \(0.01, now 0.02\)"
    ):
        start(params_of(size, lr={"base_lr": 0.02}, encore=own(max_iterations=1, seed=4)), folder)
    draw_people(tmp_path / "people", people=5)
    with pytest.raises(Refusal, match=r"other values of pictures \([0-9a-f]{64}, now [0-9a-f]{64}\)"):
        start(params_of(tmp_path, encore=own(max_iterations=1)), folder)
    held = resumed_identity(folder)
    assert {name: held[name] for name in parameter_identity(first)} == parameter_identity(first)
    assert resumed_identity(RunFolder(str(tmp_path / "none"))) is None


def test_a_teacher_changes_what_is_learnt(size, tmp_path):
    _, teacher = train(size, "teacher", encore=own(max_iterations=2))
    settings = {"model": teacher.path, "temperature": 2.0, "weight": 1.0, "feature_weight": 1.0}
    folder = RunFolder(str(tmp_path / "student"))
    terms = []
    params = params_of(size, encore=own(max_iterations=2, teacher=settings, seed=5))
    start(params, folder, lambda epoch, step, result: terms.append(result))
    assert all(one.terms["teacher"] > 0 for one in terms)
    assert terms[0].loss == pytest.approx(terms[0].terms["xent_loss"] + terms[0].terms["teacher"])
    assert resumed_identity(folder)["file of encore.teacher.model/model.pth"]
    draw_people(tmp_path / "people", first=2)
    other = params_of(tmp_path, encore=own(teacher=settings))
    with pytest.raises(Refusal, match=r"trained on other identities \(4 of them, here 4\)"):
        start(other, RunFolder(str(tmp_path / "other")))


def test_several_gpus_share_the_batch_of_all(size, monkeypatch):
    params = params_of(size, parallels=[0, 1])
    said = []
    run = ReidRun(params, open_training_pictures(params.batches_dir), said.append)
    assert params.batch == 8 and run.replicas(torch.device("cpu")) == 1 and not said
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert run.replicas(torch.device("cuda")) == 1
    assert said == ["parallels: 2 entries and 1 GPUs here: these share the whole batch of 8"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert run.replicas(torch.device("cuda")) == 2 and len(said) == 1


class TwoReplicas(torch.nn.Module):
    """DataParallel's scatter and gather of two replicas on the CPU."""

    def __init__(self, module, devices):
        super().__init__()
        assert devices == [0, 1]
        self.module = module

    def forward(self, images, *rest):
        labels = rest[0].chunk(2)
        outputs = [self.module(part, labels[i], *rest[1:]) for i, part in enumerate(images.chunk(2))]
        return self._gathered(outputs)

    def _gathered(self, outputs):
        if isinstance(outputs[0], torch.Tensor):
            return torch.cat(outputs)
        if outputs[0] is None:
            return None
        return type(outputs[0])(map(self._gathered, zip(*outputs)))


@pytest.mark.parametrize("state", "SH")
def test_outputs_of_several_gpus_are_gathered(size, state, monkeypatch):
    monkeypatch.setattr(torch.nn, "DataParallel", TwoReplicas)
    params = params_of(size, state, parallels=[0, 1])
    run = ReidRun(params, open_training_pictures(params.batches_dir))
    training = ReidTraining(params, 3, run.network(), None, torch.device("cpu"), 2)
    training.accuracy = 0.95
    result = training.step(0, 0, (torch.randn(8, 3, 32, 16), torch.tensor([0, 1, 2, 3] * 2)))
    assert ("st_mean" in result.terms) == (state == "H")
    assert all(name.startswith("module.") for name in training.weights())
    assert not any(name.startswith("module.") for name in training.content((0, 1), {})["network"])


def test_triplet_numbers_have_the_published_tags(size, tmp_path):
    params = params_of(size, tri_loss_params=dict(TRIPLET, lambda_cls=0), lr=LATE)
    run = ReidRun(params, open_training_pictures(params.batches_dir))
    training = ReidTraining(params, 3, run.network(), None, torch.device("cpu"))
    batch = (torch.randn(4, 3, 32, 16), torch.tensor([0, 0, 1, 1]))
    outputs = types.SimpleNamespace(logits=[], features=[run.network().train()(batch[0]).features[0]])
    statistics = Objective(params)(outputs, batch[1], None).triplet
    terms = training.step(0, 0, batch).terms
    assert terms["AN_lt_AP_ratio"] == pytest.approx(statistics.pull_ratio)
    assert terms["Active_Triplet"] == statistics.active
    difference = statistics.mean_negative - statistics.mean_positive
    assert terms["Mean_Dist_Difference"] == pytest.approx(difference, rel=1e-4)
    assert "accuracy" not in terms and json.dumps(terms, allow_nan=False)


def test_an_evaluation_that_cannot_be_is_refused_before_the_first_step(size, tmp_path):
    params = params_of(size, evaluation_params={"type": "market_evaluate"})
    with pytest.raises(Refusal, match="encore.evaluation_root: missing"):
        start(params, RunFolder(str(tmp_path / "run")))
    assert not os.path.exists(str(tmp_path / "run"))
    with pytest.raises(Refusal, match="evaluation_params.type: no evaluator nonsense"):
        start(params_of(size, evaluation_params={"type": "nonsense"}), RunFolder(str(tmp_path / "run")))
