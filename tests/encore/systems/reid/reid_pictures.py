"""Small pictures of persons on disk, and parameters that fit them."""

import io
import tarfile

import numpy as np
from PIL import Image

from encore.systems.reid.params_json import params_from


def png(seed, size=(16, 32)):
    """The bytes of a PNG of random blocks; size: (width, height)."""
    draw = np.random.RandomState(seed)
    small = Image.fromarray(draw.randint(0, 256, (4, 4, 3)).astype(np.uint8))
    file = io.BytesIO()
    small.resize(size, Image.NEAREST).save(file, "PNG")
    return file.getvalue()


def write(folder, names):
    """Write a picture at each of `names` below `folder`."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))


def tar_of(folder, prefix):
    """`file.tar#prefix` with what is in `folder`."""
    path = "%s_%s.tar" % (folder, prefix.replace("/", "_"))
    with tarfile.open(path, "w") as tar:
        tar.add(str(folder), prefix)
    return "%s#%s" % (path, prefix)


def params(state="S", **blocks):
    """ReidParams for pictures of 32 x 16."""
    values = {"img_h": 32, "img_w": 16, "parallels": [0], "encore": {"state": state}}
    values["model_params"] = {"feature_dim": 12, "pcb_n_parts": 0}
    if state == "H":
        off = {"crop_h": 0, "crop_w": 0, "padding_h": 0, "padding_w": 0, "random_erasing": False}
        values["data_augmentation"] = off
        values["batch_sampling_params"] = {"class_balanced": False}
    for name, block in blocks.items():
        values[name] = dict(values.get(name, {}), **block) if isinstance(block, dict) else block
    return params_from(values, "test")[0]
