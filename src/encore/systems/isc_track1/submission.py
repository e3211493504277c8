"""From the lists of the score normalisation to the two submissions, and the published files on the way (spec
isc-track1-test 4)."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from typing import Tuple

import numpy as np

from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.backbones import BACKBONES
from encore.systems.isc_track1.data_sets import DATA_SETS, PAIR, DataSet
from encore.systems.isc_track1.final_rule import MAX_RESULTS, best_two, higher_of, highest, most_confident
from encore.systems.isc_track1.fusion import Combination
from encore.systems.isc_track1.picture_ids import QUERIES, REFERENCES
from encore.systems.isc_track1.score_list import joined, read_score_list, write_rows
from encore.systems.isc_track1.test_plan import MULTI_PART
from encore.systems.isc_track1.vote import vote, vote_of_parts

PARTS = "R"
"""Name of that list among those of a scale."""
QUERY_LIST = "predictions_dev_queries_50k_normalized_exp_VD.csv"
PART_LIST = "predictions_dev_queries_50k_normalized_exp.csv"
PART_VOTES = "R-baseline-CC-234-50k.csv"
PAIR_VOTES = "V5_baseline_CC_pair/V5-baseline-CC-234-50k-VD-pair.csv"
SUBMISSION = "submit_50k.csv"
SECOND_SUBMISSION = "submit_50k_choice2.csv"


@dataclass(frozen=True)
class FusedModels:
    """Whose lists take part: data sets in the order in which they are joined, the backbones that vote,
    scales in the order in which they are joined, and whether there are models of pairs."""

    data_sets: Tuple[DataSet, ...]
    backbones: Tuple[str, ...]
    scales: Tuple[int, ...]
    with_pairs: bool

    @property
    def multi_part_scale(self):
        return self.scales[0]


def fused_models(plan):
    """The FusedModels of a TestPlan: data sets and scales in the published order (scales: 256, 320, 200).

    Refuses a plan without the models of the multi-part list, or without one of the three backbones.
    """
    if MULTI_PART not in plan.tags:
        raise Refusal("tags: {} is missing: the multi-part list needs its models".format(MULTI_PART))
    for backbone in BACKBONES:
        if backbone.name not in plan.backbones:
            raise Refusal(
                "backbones: {name} is missing: the vote needs V5_<tag>/{name}/{list}".format(
                    name=backbone.name, list=QUERY_LIST
                )
            )
    others = sorted((scale for scale in plan.scales if scale != plan.multi_part_scale), reverse=True)
    return FusedModels(
        tuple(data_set for data_set in DATA_SETS if data_set.tag in plan.tags),
        tuple(backbone.name for backbone in BACKBONES),
        (plan.multi_part_scale,) + tuple(others),
        MULTI_PART + PAIR in plan.pair_tags,
    )


def scale_folder(scale, multi_part_scale):
    """Folder of a scale's lists in the published test: `final`, or `final_200`."""
    return "final" if scale == multi_part_scale else "final_{}".format(scale)


class PublishedFiles:
    """Writes the files that the published scripts leave, into `folder`; only the submissions if not
    `intermediate`."""

    def __init__(self, folder, penalty, intermediate=True):
        self.folder, self._penalty, self._intermediate = str(folder), penalty, intermediate

    def path(self, name):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def rows(self, name, make):
        """The ScoreList that `make()` gives."""
        if self._intermediate:
            rows = make()
            write_rows(self.path(name), rows.query, rows.reference, self._penalty.scores(rows.grade))

    def pairs(self, name, query, reference, score, submission=False):
        """Whole pictures, by number."""
        if self._intermediate or submission:
            codes = query << QUERIES.part_bits, reference << REFERENCES.part_bits
            write_rows(self.path(name), codes[0], codes[1], score)

    def predictions(self, name, predictions, submission=False):
        self.pairs(name, predictions.query, predictions.reference, predictions.score, submission)


class Fusion:
    """The chain over the lists of `models` (FusedModels).

    `find(scale folder, test folder, backbone)`: the folder of a model's list. `combination`: Combination.
    `check`: is called with every ScoreList that is read. `files`: PublishedFiles.
    """

    def __init__(self, models, find, combination: Combination, files, check=lambda rows: None):
        self.models, self._find, self._check = models, find, check
        self.combination, self.penalty, self.files = combination, combination.penalty, files
        self._folder_of = {scale: scale_folder(scale, models.multi_part_scale) for scale in models.scales}

    def read(self, scale, folder, backbone, name=QUERY_LIST):
        """The ScoreList of one model at one scale."""
        path = os.path.join(self._find(self._folder_of[scale], folder, backbone), name)
        rows = read_score_list(path, multi_part=name == PART_LIST)
        self._check(rows)
        return rows

    def voters(self, scale, folder, name=QUERY_LIST):
        """The ScoreLists of a folder's three backbones; the vote refuses another number of them."""
        return [self.read(scale, folder, backbone, name) for backbone in self.models.backbones]

    def parts(self):
        """The combined multi-part list; it takes part at every scale."""
        votes = vote_of_parts(self.voters(self.models.multi_part_scale, self._ref_folder, PART_LIST))
        for folder in self._folder_of.values():
            self.files.rows(os.path.join(folder, PART_VOTES), votes.published)
        return self.combination.of_parts(votes)

    def scale(self, scale, parts):
        """{tag or PARTS: combined ScoreList} of one scale in the order in which they are joined."""
        lists, folder = OrderedDict(), self._folder_of[scale]
        for data_set in self.models.data_sets:
            votes = vote(self.voters(scale, data_set.folder))
            self.files.rows(os.path.join(folder, data_set.votes), votes.published)
            lists[data_set.tag] = self.combination.of_queries(votes, data_set.least_query)
            if data_set.tag == MULTI_PART:
                lists[PARTS] = parts
        self.files.rows(
            os.path.join(folder, "step_11_50k.csv"), lambda: self.combination.published(lists.values())
        )
        return lists

    def submission(self, scales, max_results=MAX_RESULTS):
        """Predictions of the submission from {scale: {name: ScoreList}}, by picture number, best first."""
        names = "_".join(map(str, self.models.scales)) + "_50k"
        ordered = [scales[scale] for scale in self.models.scales]
        self.files.rows(
            names + ".csv",
            lambda: joined(self.combination.published(lists.values()) for lists in ordered),
        )
        two = best_two([rows for lists in ordered for rows in lists.values()], self.penalty)
        self.files.predictions(names + "_agg.csv", two.highest())
        found = np.flatnonzero(~np.isnan(two.second))
        self.files.pairs(
            "final_50k.csv",
            np.concatenate([two.query[found], two.query]),
            np.concatenate([two.reference[found], two.reference]),
            np.concatenate([two.second[found], two.best]),
        )
        final = two.final()
        self.files.predictions("final_50k_agg.csv", final)
        result = most_confident(final, max_results)
        self.files.predictions(SUBMISSION, result, submission=True)
        return result

    def pairs(self):
        """The ScoreList of the vote of the models of pairs; published: without filter and penalty."""
        votes = vote(self.voters(self.models.multi_part_scale, self._pair_folder))
        self.files.rows(os.path.join("final", PAIR_VOTES), votes.published)
        return votes.rows

    def second_submission(self, submission, pairs, max_results=MAX_RESULTS):
        """Predictions of the second submission: a pair's higher score, of `submission` (Predictions) or of
        `pairs` (ScoreList)."""
        either = higher_of(submission, highest([pairs], self.penalty))
        result = most_confident(either, max_results)
        self.files.predictions(SECOND_SUBMISSION, result, submission=True)
        return result

    @property
    def _ref_folder(self):
        return "V5_{}_ref".format(MULTI_PART)

    @property
    def _pair_folder(self):
        return "V5_{}{}".format(MULTI_PART, PAIR)
