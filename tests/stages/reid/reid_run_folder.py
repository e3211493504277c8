"""The folder of a small finished run, as training leaves it."""

import torch

from encore.runtime.atomic import write_json
from encore.systems.reid.network import NetworkShape, ReidNetwork
from tests.encore.systems.reid.reid_pictures import params

SMALL = {"width": 4, "layers": [1, 1, 1, 1]}


def write_run(folder, state="S", classes=("0001", "0002", "0003"), best=True, **blocks):
    """Write params.json, classes.json, model.pth and model_best.pth of a ResNet-18 with random weights ->
    (ReidParams, network of model_best.pth in evaluation mode)."""
    blocks["encore"] = dict(blocks.get("encore", {}), state=state, **SMALL)
    blocks["model_params"] = dict(blocks.get("model_params", {}), model="resnet_18")
    values = params(state, **blocks)
    write_json(str(folder / "params.json"), values.as_mapping())
    write_json(str(folder / "classes.json"), {"classes": list(classes)})
    for seed, name in enumerate(["model.pth", "model_best.pth"][: 1 + best]):
        torch.manual_seed(seed)
        network = ReidNetwork(NetworkShape.of(values), len(classes))
        torch.save(network.state_dict(), str(folder / name))
    return values, network.eval()
