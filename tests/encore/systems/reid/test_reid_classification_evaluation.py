import numpy as np
import pytest
import torch

from encore.runtime.refusal import Refusal
from encore.systems.reid.classification_evaluation import evaluate
from encore.systems.reid.evaluation_input import evaluation_input
from encore.systems.reid.features import Extraction
from encore.systems.reid.network import NetworkShape, ReidNetwork
from encore.systems.reid.training_pictures import open_training_pictures
from tests.encore.systems.reid.reid_pictures import write

SIZE = (64, 16)
CLASSES = ("a", "b", "c", "d")


@pytest.fixture()
def pictures(tmp_path):
    write(tmp_path, ["{}/{}.png".format(name, number) for name in "acd" for number in range(4)])
    return open_training_pictures(str(tmp_path))


def network(parts=0, classification=True, state="S"):
    shape = NetworkShape(state, "resnet_18", 8, parts, width=4, layers=(1, 1, 1, 1))
    torch.manual_seed(1)
    return ReidNetwork(shape, len(CLASSES), classification)


@pytest.mark.parametrize("parts", [0, 2])
def test_share_of_pictures_by_the_mean_logits(pictures, parts):
    net = network(parts)
    images = torch.from_numpy(np.stack([evaluation_input(pictures.read(i), SIZE) for i in range(12)]))
    with torch.no_grad():
        logits = sum(net.eval().outputs(images).logits)
    labels = np.repeat([0, 2, 3], 4)  # of the network: b has no picture here
    expected = np.mean(logits.argmax(dim=1).numpy() == labels)
    found = evaluate(net.train(), pictures, CLASSES, Extraction(SIZE, 5))
    assert found == {"accuracy": pytest.approx(expected), "pictures": 12, "classes": 3}
    assert net.training


def test_a_perfect_and_a_wrong_network(pictures):
    net = network()
    net.classifier.weight.data.zero_()
    for number, expected in ((2, 4 / 12), (1, 0.0)):
        net.classifier.bias.data = torch.eye(4)[number]
        assert evaluate(net, pictures, CLASSES, Extraction(SIZE))["accuracy"] == pytest.approx(expected)


def test_what_does_not_fit_is_refused(pictures):
    with pytest.raises(Refusal, match="1 of 3 classes are none .* the first is d"):
        evaluate(network(), pictures, ("a", "b", "c", "e"), Extraction(SIZE))
    with pytest.raises(Refusal, match="classifiers of 3 classes, found 4"):
        evaluate(network(), pictures, CLASSES[:3], Extraction(SIZE))
    with pytest.raises(Refusal, match="of 4 classes, found None"):
        evaluate(network(classification=False), pictures, CLASSES, Extraction(SIZE))
