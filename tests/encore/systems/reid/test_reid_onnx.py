import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from encore.metrics.evidence.feature_pairs import FeaturePairs
from encore.runtime.refusal import Refusal
from encore.systems.reid.evaluation_input import evaluation_input
from encore.systems.reid.features import Extraction, extract_raw
from encore.systems.reid.network import NetworkShape, ReidNetwork
from encore.systems.reid.onnx_export import export_onnx
from encore.systems.reid.onnx_predictor import ONNXPredictor
from tests.encore.systems.reid.market_set import MeanColours, pictures_of
from tests.encore.systems.reid.reid_pictures import png

SIZE = (64, 32)
SMALL = {"model": "resnet_18", "feature_dim": 12, "width": 4, "layers": (1, 1, 1, 1)}
SHAPES = {
    "S plain": {"state": "S", "pcb_n_parts": 0},
    "S parts": {"state": "S", "pcb_n_parts": 2},
    "H plain": {"state": "H", "pcb_n_parts": 0, "spectral_trans": 0.3, "feature_mask": True},
    "H parts": {"state": "H", "pcb_n_parts": 4, "last_conv_stride": 1, "feature_gobal_dim": 6},
}
DATA = [png(number, (20 + number, 50)) for number in range(5)]


def inputs():
    return np.stack([evaluation_input(data, SIZE) for data in DATA])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(network, path) of a small network."""
    path, net = tmp_path_factory.mktemp("onnx") / "mean.onnx", MeanColours().eval()
    assert export_onnx(net, str(path), inputs()[:2]) <= 1e-5
    return net, str(path)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_each_head_exported_equals_torch_for_any_batch(name, tmp_path):
    torch.manual_seed(0)
    net = ReidNetwork(NetworkShape(**dict(SMALL, **SHAPES[name])), 0, classification=False)
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    showings = []
    difference = export_onnx(net.train(), str(tmp_path / "net.onnx"), inputs()[:2], showings=showings)
    assert difference <= 1e-4
    assert FeaturePairs(tuple(showings)).measure() == {"largest_difference": difference, "pictures": 2}
    predictor = ONNXPredictor(str(tmp_path / "net.onnx"))
    for count in (1, 3, 5):
        with torch.no_grad():
            expected = net(torch.from_numpy(inputs()[:count])).numpy()
        np.testing.assert_allclose(predictor(inputs()[:count]), expected, atol=1e-4)
    assert expected.shape[1] == net.shape.features


def test_file_says_what_its_inputs_are(exported):
    import onnx

    model = onnx.load(exported[1])
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["encore.size"] == "64,32" and said["encore.mean"] == "0.485,0.456,0.406"
    assert [entry.name for entry in model.graph.input] == ["images"]
    assert [entry.name for entry in model.graph.output] == ["features"]
    assert model.opset_import[0].version == 13


def test_predictor_takes_decoded_pictures_of_any_size(exported):
    predictor = ONNXPredictor(exported[1], gpu=0, batch_size=2)
    assert predictor.input_size == (32, 64) and predictor.batch_size == 2
    decoded = [np.asarray(Image.open(io.BytesIO(data)))[:, :, ::-1] for data in DATA]
    with torch.no_grad():
        expected = exported[0](torch.from_numpy(inputs())).numpy()
    np.testing.assert_allclose(predictor.predict(decoded), expected, atol=1e-5)
    with pytest.raises(Refusal, match="at least one picture"):
        predictor.predict([])


def test_predictor_stands_where_a_network_does(exported):
    pictures, how = pictures_of(["0001_c1"] * 5, DATA.__getitem__), Extraction(SIZE, 2)
    found = extract_raw(ONNXPredictor(exported[1]), pictures, how)
    np.testing.assert_allclose(found, extract_raw(exported[0], pictures, how), atol=1e-5)


def test_a_file_of_one_batch_size_is_filled_up(tmp_path):
    from onnx import TensorProto, helper, save

    shape = [4, 3, 2, 2]
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["y"])],
        "fixed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 12])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 7
    save(model, str(tmp_path / "fixed.onnx"))
    predictor = ONNXPredictor(str(tmp_path / "fixed.onnx"), batch_size=64)
    assert predictor.batch_size == 4
    images = np.random.RandomState(0).standard_normal((6, 3, 2, 2)).astype(np.float32)
    np.testing.assert_array_equal(predictor(images), images.reshape(6, 12))


class Restless(nn.Module):
    """A traced constant: other than torch's answer."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        return images.mean(dim=(2, 3)) + self.calls


def test_a_file_that_differs_is_not_written(tmp_path):
    with pytest.raises(Refusal, match="features differ from torch's by .* nothing is written"):
        export_onnx(Restless(), str(tmp_path / "net.onnx"), inputs())
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_checked_or_read_is_refused(tmp_path, exported):
    with pytest.raises(Refusal, match="at least 2 pictures"):
        export_onnx(exported[0], str(tmp_path / "net.onnx"), inputs()[:1])
    with pytest.raises(Refusal, match="no such file"):
        ONNXPredictor(str(tmp_path / "net.onnx"))
    (tmp_path / "net.onnx").write_bytes(b"no model")
    with pytest.raises(Refusal, match="net.onnx: not an ONNX model that onnxruntime runs"):
        ONNXPredictor(str(tmp_path / "net.onnx"))
