"""What each ingredient of the test adds: micro average precision from one model to the submission."""

from __future__ import annotations

from collections import OrderedDict

from encore.runtime.atomic import replacing
from encore.systems.isc_track1.data_sets import data_set_of
from encore.systems.isc_track1.final_rule import MAX_RESULTS, best_two, highest, most_confident
from encore.systems.isc_track1.picture_ids import QUERIES
from encore.systems.isc_track1.submission import PARTS
from encore.systems.isc_track1.test_plan import MULTI_PART

ORIGINAL = 0
"""The part that stands for the whole query."""
SINGLE_BACKBONE = "50"


def single_model(rows, penalty, micro_ap, max_results=MAX_RESULTS):
    """Micro average precision of one model's ScoreList, reduced by maximum, without filter and penalty."""
    return micro_ap(most_confident(highest([rows], penalty), max_results))


def single_models(fusion, micro_ap, max_results=MAX_RESULTS):
    """{step: micro_ap of its Predictions} of the single models of the first data set at the multi-part scale.

    `single_model`: backbone 50, where the ladder starts; `single_model_original_queries`: the same without
    the augmented queries; `single_model_<backbone>`: for comparison.
    """
    values = OrderedDict()
    folder = data_set_of(MULTI_PART).folder
    for backbone in fusion.models.backbones:
        rows = fusion.read(fusion.models.multi_part_scale, folder, backbone)
        value = single_model(rows, fusion.penalty, micro_ap, max_results)
        values["single_model_" + backbone] = value
        if backbone == SINGLE_BACKBONE:
            original = rows.select(QUERIES.part(rows.query) == ORIGINAL)
            values["single_model_original_queries"] = single_model(
                original, fusion.penalty, micro_ap, max_results
            )
            values["single_model"] = value
    return values


def ladder(lists, penalty, micro_ap, max_results=MAX_RESULTS):
    """{step: value}, each by the final rule over one list more of `lists` ({name: ScoreList} of the
    multi-part scale, in joining order): `ensemble_of_backbones`, `with_multi_part`, `ladder_<tag>`..."""
    values, used = OrderedDict(), []
    for name, rows in lists.items():
        used.append(rows)
        step = {MULTI_PART: "ensemble_of_backbones", PARTS: "with_multi_part"}.get(name, "ladder_" + name)
        values[step] = micro_ap(most_confident(best_two(used, penalty).final(), max_results))
    return values


def write_ladder(path, values):
    """Write {step: value} as CSV: step,micro_ap."""
    with replacing(path, "w") as file:
        file.write("step,micro_ap\n")
        file.writelines("{},{!r}\n".format(step, value) for step, value in values.items())
