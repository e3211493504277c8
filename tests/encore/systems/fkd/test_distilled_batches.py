"""The published generator's label files, replayed: the same float32 batch that its teacher was shown."""

import hashlib
import json
import pickle
import shutil

import pytest
import torch
from golden_files import FOLDER, golden

from encore.data.class_folders import ClassFolders
from encore.runtime.refusal import Refusal
from encore.systems.fkd.distilled_batches import DistilledBatches, mixed_inputs
from encore.systems.fkd.labels import open_labels
from encore.systems.fkd.mixing import NONE, draw_mix

SIZES = {
    "cutmix_fp16": 64,
    "mixup_fp16": 64,
    "none_fp32": 64,
    "cutmix_fp32": 64,
    "cutmix_fp16_workers2": 64,
    "cutmix_fp16_224": 224,
    "mixup_fp16_224": 224,
}


def replay(name, images=FOLDER / "fkd/images"):
    labels = open_labels(FOLDER / "fkd/labels" / name)
    return DistilledBatches(ClassFolders(images), labels, SIZES[name])


def rows(name):
    return json.loads(golden("fkd/relabel/%s.json" % name).read_text())["rows"]


def digest(tensor):
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


def assert_is_golden(batches, batch, row):
    assert (batch.epoch, batch.number) == (row["epoch"], row["batch"])
    assert batch.indices.tolist() == row["indices"]
    assert digest(batches.inputs(batch)) == row["teacher_input"]["sha256"]
    assert batch.targets.tolist() == [index // 8 for index in row["indices"]]
    assert torch.equal(
        batch.logits.float(), torch.tensor(row["logits_float32"]).to(batch.logits.dtype).float()
    )


@pytest.mark.parametrize("name", sorted(SIZES))
def test_replay_is_bit_identical(name):
    batches, found = replay(name), iter(rows(name))
    for epoch in range(batches.epochs):
        for batch in batches.loader(epoch):
            row = next(found)
            assert_is_golden(batches, batch, row)
            unmixed = mixed_inputs(batch.pixels, NONE)
            assert digest(unmixed) == row["unmixed"]["sha256"]
            inputs = batches.inputs(batch)
            for part in (slice(0, 5), slice(5, None)):
                assert torch.equal(batches.inputs(batch, part), inputs[part])
    assert next(found, None) is None


KINDS = ("cutmix_fp16", "mixup_fp16", "none_fp32")


class KindByEpoch:
    """Labels whose epochs 0, 1 and 2 are those of the three kinds of mixing: one start for all."""

    def __init__(self):
        self.sets = [open_labels(FOLDER / "fkd/labels" / name) for name in KINDS]
        self.batch, self.epochs = 16, 3
        self.seed = self.mean = self.deviation = None

    def load(self, epoch, number):
        return self.sets[epoch].load(epoch, number)


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
@pytest.mark.parametrize("persistent", [True, False])
def test_replay_by_processes(start_method, persistent):
    batches = DistilledBatches(ClassFolders(FOLDER / "fkd/images"), KindByEpoch(), 64)
    for epoch, name in enumerate(KINDS):
        found = iter(rows(name)[3 * epoch : 3 * epoch + 3])
        for batch in batches.loader(epoch, 0, 2, persistent, start_method):
            assert_is_golden(batches, batch, next(found))
        assert next(found, None) is None
    batches.close()


def test_processes_stay_and_starting_anywhere_gives_the_same():
    batches, all_rows = replay("cutmix_fp16"), rows("cutmix_fp16")
    flows = []
    for epoch in (0, 1):
        for batch in batches.loader(epoch, 0, 2, True, "fork"):
            assert_is_golden(batches, batch, all_rows[3 * epoch + batch.number])
        flows.append(batches._flow)
    flow = flows[0]
    assert flows[1] is flow
    resumed = list(batches.loader(1, 2, 2, True, "fork"))
    assert len(resumed) == 1 and batches._flow is not flow
    assert_is_golden(batches, resumed[0], all_rows[5])
    stopped = batches.loader(2, 0, 2, True, "fork")
    assert_is_golden(batches, next(stopped), all_rows[6])
    stopped.close()
    for batch, row in zip(batches.loader(0, 1, 2, True, "fork"), all_rows[1:3]):
        assert_is_golden(batches, batch, row)
    batches.close()


def test_global_generator_is_left_alone():
    """Or a student's dropout would depend on how often loader processes were started."""
    batches = replay("none_fp32")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    for persistent in (True, False):
        list(batches.loader(0, 0, 1, persistent, "fork"))
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_broken_picture(tmp_path, workers):
    shutil.copytree(str(FOLDER / "fkd/images"), str(tmp_path / "images"))
    path = tmp_path / "images" / "new002" / "class002_id004.jpg"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(Refusal, match="new002/class002_id004.jpg cannot be read"):
        list(replay("cutmix_fp16", tmp_path / "images").loader(0, workers=workers))


def test_other_pictures(tmp_path):
    """A picture too few shifts the sampler's order; the batch that first shows it is refused."""
    shutil.copytree(str(FOLDER / "fkd/images"), str(tmp_path / "images"))
    (tmp_path / "images" / "new004" / "class004_id007.jpg").unlink()
    batches = replay("cutmix_fp16", tmp_path / "images")
    with pytest.raises(Refusal, match="epoch 0, batch 2: expected 7 pictures, found labels of 8"):
        list(batches.loader(0))


def test_what_goes_to_a_process_is_small():
    batches = replay("cutmix_fp16")
    list(batches.loader(0))
    assert len(pickle.dumps(batches._made)) < 4000


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", ["none", "mixup", "cutmix"])
def test_a_gpu_makes_the_same_bits(kind):
    pixels = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8)
    draw = draw_mix(kind, 64, 32, 1.0, 0, 0, 0)
    found = mixed_inputs(pixels.cuda(), draw)
    assert found.is_cuda and torch.equal(found.cpu(), mixed_inputs(pixels, draw))
