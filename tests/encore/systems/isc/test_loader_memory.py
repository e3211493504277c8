"""Shared memory that the loaders of each recipe need; the published sizes by hand."""

from encore.systems.barlow_twins import PretrainingRecipe
from encore.systems.isc.extraction import ExtractionRecipe
from encore.systems.isc.recipe import TrainingRecipe


def test_published_training():
    # 8 processes with 2 batches each, and one in use: 128 float32 pictures of 256 x 256
    assert TrainingRecipe().shared_memory() == 17 * 128 * 3 * 256 * 256 * 4
    assert TrainingRecipe(workers=0).shared_memory() == 0


def test_published_extraction():
    # portions of 50 uint8 pictures of 400 x 400, and a batch of 500 in use
    assert ExtractionRecipe().shared_memory(20) == (20 * 2 * 50 + 500) * 3 * 400 * 400
    # in groups of 19 a batch may begin within a portion, which is held too
    assert ExtractionRecipe().shared_memory(20, 19) == (20 * 2 * 50 + 550) * 3 * 400 * 400
    assert ExtractionRecipe().shared_memory(0) == 0
    assert ExtractionRecipe(batch_size=106).portion == 2


def test_published_pretraining():
    assert PretrainingRecipe().shared_memory() == 17 * 2 * 2048 * 3 * 224 * 224
