"""Which numbers the evidence of each stage gives: what claims may read. `measured_again`, which the tests of
all these stages call, holds every line against what the stage wrote."""

import re

SCORES = ("micro_ap_isc2021", "micro_ap_platform", "recall_at_p90_platform", "recall_at_1", "recall_at_10")
VARIANTS = ("", "torchreid_", "multi_query_", "reranked_torchreid_")
ACCURACIES = ("top1", "top5")
COPIES = ("average_precision", "recall_p90", "normalised_average_precision", "normalised_recall_p90")

KEYS = {
    "isc_track2/generate": ("images", "classes"),
    "isc_track2/test": SCORES + ("queries", "references", "dimension"),
    "isc_track2/compare": tuple(key + "_gain" for key in SCORES),
    "isc_overlays/generate": ("images",),
    "isc_overlays/train": ("average_precision", "validation_images"),
    "isc_track1/generate": ("images", "classes"),
    "isc_track1/extract": ("parts", "original_queries"),
    "isc_track1/fuse": SCORES[:2]
    + ("recall_at_p90_platform", "recall_at_1", "recall_at_10", "models", r"ladder_\w+_[BC][WC]")
    + ("single_model", "single_model_(50|152|ibn)", "single_model_original_queries", "ensemble_of_backbones")
    + ("all_scales", "with_multi_part", "with_pairs", "multi_part_gain", "ensemble_gain"),
    "fkd/squeeze": ACCURACIES,
    "fkd/recover": ("pictures",),
    "fkd/relabel": ("batches",),
    "fkd/train": ACCURACIES,
    "fkd/train_kd": ACCURACIES,
    "fkd/baseline": ACCURACIES,
    "fkd/compare": ("top1_gain", "top5_gain"),
    "drip/pictures": ("training_images", "imagenet_images", "face_frames", "query_images")
    + ("reference_images", "templates", "true_pairs"),
    "drip/infer": COPIES,
    "drip/ensemble": COPIES,
    "drip/compare": tuple(key + "_gain" for key in COPIES)
    + ("normalisation_gain", "centroid_first_epoch_loss", "random_first_epoch_loss", "drop"),
    "reid/train": ("images", "num_labels"),
    "reid/evaluate": tuple(variant + key for variant in VARIANTS for key in ("rank1", "mAP"))
    + ("queries", "gallery", "distractors", "junk", "left_out"),
    "reid/export": ("largest_difference", "pictures"),
    "reid/compare": (r"\w+_mAP_gain", r"\w+_torchreid_mAP_gap", r"\w+_multi_query_mAP_gain")
    + (r"\w+_reranked_mAP_gain",),
}
"""<system>/<stage> -> its keys, regular expressions where they hold the name of an item."""


def stage_of(name):
    """`system/stage/item` -> `system/stage`."""
    return "/".join(name.split("/")[:2])


def gives(name, key):
    """Whether the evidence of the metric file metrics/`name`.json gives the number `key`."""
    return any(re.fullmatch(pattern, key) for pattern in KEYS.get(stage_of(name), ()))


def not_given(name, found):
    """Those keys of the table that are not among the numbers `found` in evidence/`name`.npz."""
    return [
        pattern for pattern in KEYS[stage_of(name)] if not any(re.fullmatch(pattern, key) for key in found)
    ]
