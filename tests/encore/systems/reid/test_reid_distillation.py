import dataclasses
import json
import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from encore.runtime.refusal import Refusal
from encore.systems.reid.distillation import Distillation, load_teacher
from encore.systems.reid.network import NetworkShape, Outputs, ReidNetwork
from encore.systems.reid.params_json import Teacher, params_from

NAMES = ("temperature", "weight", "feature_weight")
SHAPE = NetworkShape(model="resnet_18", feature_dim=8, pcb_n_parts=2, width=2, layers=(1, 1, 1, 1))
IMAGES = torch.randn(3, 3, 64, 32, generator=torch.Generator().manual_seed(0))


class Fixed(torch.nn.Module):
    """A teacher with given outputs."""

    def __init__(self, logits, features=()):
        super().__init__()
        self.given = Outputs(logits, list(features), None)

    def outputs(self, images):
        return self.given


def settings(temperature=2.0, weight=1.0, feature_weight=0.0):
    return Teacher("", temperature, weight, feature_weight)


def network(classes=3, **changes):
    torch.manual_seed(1)
    return ReidNetwork(dataclasses.replace(SHAPE, **changes), classes, classes > 0)


def test_logits_by_hand():
    # the teacher's mean logits (ln 3 * 2, 0) at T = 2: probabilities 3/4, 1/4; the student's are 1/2, 1/2
    teacher = [torch.tensor([[math.log(3), 0.0]]), torch.tensor([[3 * math.log(3), 0.0]])]
    student = Outputs([torch.zeros(1, 2), torch.zeros(1, 2)], [], None)
    found = Distillation(Fixed(teacher), settings(weight=0.5))(IMAGES, student)
    divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert found.item() == pytest.approx(0.5 * 4 * divergence, rel=1e-5)


def test_features_by_hand():
    teacher = Fixed([], [torch.tensor([[3.0]]), torch.tensor([[4.0]])])
    student = Outputs([], [torch.tensor([[0.0, 2.0]])], None)
    found = Distillation(teacher, settings(weight=0.0, feature_weight=10.0))(IMAGES, student)
    assert found.item() == pytest.approx(10 * (0.6**2 + 0.2**2) / 2)


def test_a_network_learns_nothing_from_itself_and_the_teacher_gets_no_gradient():
    student = network().eval()
    teaching = Distillation(network(), settings(feature_weight=1.0))
    outputs = student.outputs(IMAGES)
    mean = torch.stack(outputs.logits).mean(0)
    loss = teaching(IMAGES, Outputs([mean], outputs.features, None))
    assert loss.item() == pytest.approx(0, abs=1e-5)
    teaching(IMAGES, outputs).backward()
    assert student.model.conv1.weight.grad.abs().sum() > 0
    assert not teaching.teacher.training
    assert all(p.grad is None and not p.requires_grad for p in teaching.teacher.parameters())


def test_against_the_divergence_written_out():
    draw = torch.Generator().manual_seed(3)
    teacher, first, second = (torch.randn(5, 4, generator=draw, dtype=torch.float64) for _ in range(3))
    found = Distillation(Fixed([teacher]), settings(3.0))(IMAGES, Outputs([first, second], [], None))
    expected = 0
    for student in (first, second):
        p, q = F.softmax(teacher / 3, 1), F.softmax(student / 3, 1)
        expected += 9 * (p * (p / q).log()).sum(1).mean() / 2
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_students_that_do_not_fit_are_refused():
    teaching = Distillation(network(), settings(feature_weight=1.0))
    teaching.check_student(network(pcb_n_parts=0))
    with pytest.raises(Refusal, match="found 3 in the teacher and 4 in the student"):
        teaching.check_student(network(4))
    with pytest.raises(Refusal, match="features of one size, found 8 in the teacher and 16"):
        teaching.check_student(network(feature_dim=16))
    with pytest.raises(Refusal, match="found None in the teacher and 3"):
        Distillation(network(0), settings()).check_student(network())
    Distillation(network(0), settings(weight=0.0)).check_student(network(0))


@pytest.mark.parametrize("values", [(0.0, 1.0, 0.0), (2.0, -1.0, 0.0), (2.0, 1.0, -1.0)])
def test_settings_out_of_range_are_refused(values):
    with pytest.raises(Refusal, match="encore.teacher: expected a temperature above 0"):
        Distillation(Fixed([]), SimpleNamespace(**dict(zip(NAMES, values))))


def run_folder(folder, **files):
    mapping = {
        "encore": {"state": "S", "width": 2, "layers": [1, 1, 1, 1]},
        "model_params": {"model": "resnet_18", "feature_dim": 8, "pcb_n_parts": 2},
    }
    params = params_from(mapping, "test")[0]
    folder.mkdir()
    (folder / "params.json").write_text(json.dumps(params.as_mapping()))
    for name, state in files.items():
        torch.save(state, str(folder / (name + ".pth")))
    return str(folder)


def test_the_best_weights_of_a_run_teach(tmp_path):
    best, last = network().state_dict(), network().state_dict()
    last["model.conv1.weight"] = last["model.conv1.weight"] + 1
    teacher = load_teacher(run_folder(tmp_path / "both", model=last, model_best=best), 3)
    assert torch.equal(teacher.model.conv1.weight, best["model.conv1.weight"]) and not teacher.training
    teacher = load_teacher(run_folder(tmp_path / "one", model=last), 3)
    assert torch.equal(teacher.model.conv1.weight, last["model.conv1.weight"])


def test_folders_that_hold_no_run_are_refused(tmp_path):
    with pytest.raises(
        Refusal, match="expected the folder of a finished run with params.json and model_best"
    ):
        load_teacher(str(tmp_path), 3)
    state = network().state_dict()
    with pytest.raises(Refusal, match=r"classifier.0.weight has the shape \(3, 4\), expected \(7, 4\)"):
        load_teacher(run_folder(tmp_path / "other", model=state), 7)
    del state["Pcb.branch.0.0.bias"]
    with pytest.raises(Refusal, match="lacks 1 tensors of the network, the first is Pcb.branch.0.0.bias"):
        load_teacher(run_folder(tmp_path / "short", model=state), 3)
