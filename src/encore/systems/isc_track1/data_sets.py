"""The 11 training sets of Track 1, and how the test treats the models of each (training 1.1, test 2.5)."""

from __future__ import annotations

from dataclasses import dataclass

from encore.runtime.refusal import Refusal

PAIR = "_pair"
BASELINE_PAIR = "baseline_CC" + PAIR
"""The only pair models are those of the first data set."""


@dataclass(frozen=True)
class DataSet:
    """One training set; its three models share a folder of the published test."""

    name: str
    """Published name (`-ds`), also that of the folder of pictures."""
    tag: str
    """Name of its runs: `logs/<tag>/<backbone>`, `V5_<tag>`; CC is colour, BW grey."""
    recipe: str
    """Chain that makes the augmented copies, a key of chain_recipe.PUBLISHED."""
    faces: bool = False
    """Whether classes of pictures with faces follow those of the base set."""
    grey: bool = False
    """Whether pictures are made grey before extraction, queries too."""
    blurred: bool = False
    """Whether training and reference pictures are blurred before extraction. Published quirk: not queries."""
    least_query: int = 200
    """Augmented queries narrower or lower than this many pixels are left out of the fusion."""

    @property
    def folder(self):
        """Folder of the published test."""
        return "V5_" + self.tag

    @property
    def votes(self):
        """File of the vote over the three backbones."""
        return "V5-{}-234-50k-VD.csv".format(self.tag.replace("_", "-"))


_BIG = "isc_100k_256_big"

DATA_SETS = (
    DataSet(_BIG, "baseline_CC", _BIG, least_query=200),
    DataSet(_BIG + "_blur", "blur_CC", _BIG + "_blur", blurred=True, least_query=100),
    DataSet(_BIG + "_ff", "face_CC", _BIG, faces=True, least_query=100),
    DataSet(_BIG + "_color_p4", "color_CC", _BIG + "_color_p4", least_query=100),
    DataSet(_BIG + "_dark", "dark_CC", _BIG + "_dark", least_query=100),
    DataSet(_BIG + "_bw", "baseline_BW", _BIG + "_bw", grey=True, least_query=200),
    DataSet(_BIG + "_u", "u_CC", _BIG + "_u", least_query=200),
    DataSet(_BIG + "_color_p4_bw", "color_BW", _BIG + "_color_p4_bw", grey=True, least_query=200),
    DataSet(_BIG + "_blur_bw", "blur_BW", _BIG + "_blur_bw", grey=True, blurred=True, least_query=100),
    DataSet(_BIG + "_ff_bw", "face_BW", _BIG + "_bw", faces=True, grey=True, least_query=150),
    DataSet(_BIG + "_opa", "opa_CC", _BIG + "_opa", least_query=200),
)
"""In the order in which the fusion joins their votes; the multi-part list stands second there."""

BY_TAG = {data_set.tag: data_set for data_set in DATA_SETS}


def training_set_folder(tag):
    """Where the training set of a tag's models lies, relative to the size's folder."""
    return "data/isc_track1/training/" + tag


def data_set_of(tag):
    """The DataSet whose models `tag` names (baseline_CC_pair: baseline_CC); Refusal for another name."""
    known = tag[: -len(PAIR)] if tag.endswith(PAIR) else tag
    if known not in BY_TAG:
        raise Refusal("{}: expected one of {}".format(tag, ", ".join(BY_TAG)))
    return BY_TAG[known]
