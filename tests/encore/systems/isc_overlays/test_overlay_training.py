import dataclasses

import numpy as np
import pytest
import torch
from overlay_pictures import picture_folders, small_set

from encore.detection.retina_net import RetinaNetShape
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.systems.isc_overlays.frames import TrainingFrames, framed
from encore.systems.isc_overlays.recipe import DetectorRecipe
from encore.systems.isc_overlays.training import CHECKPOINT, load_backbone, train
from encore.systems.isc_overlays.training_set import read_overlay_set

SHAPE = RetinaNetShape((1, 1, 1, 1), 4, 8, (12, 24, 40), 64)
RECIPE = DetectorRecipe(SHAPE, batch=5, epochs=2, warm_up_epochs=1, learning_rate=0.002, workers=0, zoom=0.3)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("overlays")
    picture_folders(folder)
    return read_overlay_set(small_set(folder))


def weights(path):
    return safe_load(str(path))["state_dict"]


def same(one, other):
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_a_killed_run_ends_in_the_same_bits(labelled, tmp_path):
    whole = train(RECIPE, labelled, str(tmp_path / "whole"))
    assert whole.steps == 8 and whole.resumed_at is None

    def stop(epoch, step, result):
        if (epoch, step) == (1, 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, labelled, str(tmp_path / "cut"), on_step=stop)
    rest = train(RECIPE, labelled, str(tmp_path / "cut"))
    assert rest.resumed_at == (1, 0) and rest.steps == 4
    assert same(weights(whole.detector), weights(rest.detector))
    assert whole.precision == rest.precision
    history = [(tmp_path / name / "history.jsonl").read_text() for name in ("whole", "cut")]
    assert history[0] == history[1]
    other = train(dataclasses.replace(RECIPE, seed=1), labelled, str(tmp_path / "other"))
    assert not same(weights(whole.detector), weights(other.detector))


def test_a_checkpoint_of_another_recipe_is_refused(labelled, tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=1, warm_up_epochs=0)
    train(recipe, labelled, str(tmp_path))
    with pytest.raises(Refusal, match="checkpoint.pth: written with another recipe"):
        train(dataclasses.replace(recipe, seed=4), labelled, str(tmp_path))
    torch.save({"state_dict": {}}, str(tmp_path / CHECKPOINT))
    with pytest.raises(Refusal, match="checkpoint.pth: no checkpoint"):
        train(recipe, labelled, str(tmp_path))


def test_a_loss_that_is_not_finite_is_refused_before_the_update(labelled, tmp_path):
    recipe = dataclasses.replace(RECIPE, learning_rate=1e30)
    with pytest.raises(Refusal, match="epoch 0, step [1-9]: the (loss is|gradients)"):
        train(recipe, labelled, str(tmp_path))


def test_learning_rate_by_hand(labelled, tmp_path):
    """4 steps an epoch: a rise over 5, then a cosine to a hundredth at step 9."""
    rates = []
    train(
        RECIPE,
        labelled,
        str(tmp_path),
        on_step=lambda epoch, step, result: rates.append(result.learning_rate),
    )
    rise = [0.002 * k / 5 for k in (1, 2, 3, 4)]
    fall = [0.002 * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * k / 4))) for k in (0, 1, 2, 3)]
    assert np.allclose(rates, rise + fall, rtol=1e-12)


def test_training_lowers_the_loss(labelled, tmp_path):
    losses = []
    recipe = dataclasses.replace(RECIPE, epochs=6, zoom=0.0)
    train(recipe, labelled, str(tmp_path), on_step=lambda epoch, step, result: losses.append(result.loss))
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


def test_batches_do_not_depend_on_where_the_epoch_starts_or_on_what_is_kept(labelled):
    frames = TrainingFrames(labelled["training"], RECIPE)
    kept = TrainingFrames(labelled["training"], dataclasses.replace(RECIPE, keep_bytes=10**7))
    for _ in range(2):
        for one, other in zip(list(frames.batches(1, 0))[2:], kept.batches(1, 2)):
            assert torch.equal(one[0], other[0])
            for part in (1, 2):
                assert all(torch.equal(a, b) for a, b in zip(one[part], other[part]))
    assert len(kept._kept) > 0 and len(frames._kept) == 0


def test_an_epoch_takes_each_picture_once_and_drops_the_rest(labelled):
    frames = TrainingFrames(labelled["training"], dataclasses.replace(RECIPE, batch=4, zoom=0.0))
    assert len(frames) == 21 // 4
    boxes = sorted(len(own) for step in range(5) for own in frames[0, step][1])
    assert len(boxes) == 20
    assert not torch.equal(frames[0, 0][0], frames[1, 0][0])


def test_boxes_follow_mirror_and_zoom(labelled):
    """A frame that is black but for one white box keeps box and pixels together."""
    frames = TrainingFrames(labelled["training"], dataclasses.replace(RECIPE, zoom=0.5))
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[10:30, 16:56] = 255
    boxes = np.array([[16.0, 10, 56, 30, 1]])
    mirrored = set()
    for seed in range(30):
        shown, ((x1, y1, x2, y2, kind),) = frames._augmented(
            pixels, boxes, torch.Generator().manual_seed(seed)
        )
        rows, columns = np.nonzero(shown[..., 0] > 128)
        found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert np.abs(np.array(found) - [x1, y1, x2, y2]).max() <= 1.0 and kind == 1
        assert 0 <= x1 < x2 <= 64 and 0 <= y1 < y2 <= 64
        mirrored.add(bool((found[0] + found[2]) / 2 < 32))
    assert mirrored == {True, False}


def test_a_frame_holds_the_letterboxed_picture(labelled):
    part = labelled["training"]
    for picture, boxes in enumerate(part.boxes):
        pixels, found = framed(part, picture, 64)
        assert pixels.shape == (64, 64, 3)
        assert np.allclose(found[:, :4], boxes[:, :4] * 64 / 48) and (found[:, 4] == boxes[:, 4]).all()


def test_start_weights_of_a_backbone(labelled, tmp_path):
    from encore.models.resnet import ResNet

    torch.manual_seed(7)
    backbone = ResNet((1, 1, 1, 1), 4, classes=10)  # with an fc, as torchvision's files
    path = str(tmp_path / "start.pth")
    torch.save(backbone.state_dict(), path)
    recipe = dataclasses.replace(RECIPE, epochs=1, warm_up_epochs=0, learning_rate=1e-12, start=path)
    trained = weights(train(recipe, labelled, str(tmp_path / "run")).detector)
    assert torch.allclose(trained["backbone.body.conv1.weight"], backbone.conv1.weight, atol=1e-6)
    wider = ResNet((1, 1, 1, 1), 8, classes=None)
    with pytest.raises(Refusal, match="start.pth: [0-9]+ tensors .* the first is conv1.weight"):
        load_backbone(wider, path)
    torch.save([1, 2], path)
    with pytest.raises(Refusal, match="start.pth: [0-9]+ tensors"):
        load_backbone(wider, path)


def test_too_few_pictures_for_a_batch_are_refused(labelled):
    with pytest.raises(Refusal, match="one batch of 50 pictures at least, found 21"):
        TrainingFrames(labelled["training"], dataclasses.replace(RECIPE, batch=50))


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(learning_rate=0.0), "learning_rate must be above 0, found 0"),
        (dict(warm_up_epochs=2), "warm_up_epochs must be below epochs, found 2 of 2"),
    ],
)
def test_values_out_of_range_are_refused(change, message):
    with pytest.raises(Refusal, match=message):
        dataclasses.replace(RECIPE, **change)
