"""What the two layouts of labels have in common: what they say of themselves, and what a run must share."""

from __future__ import annotations

import abc
import dataclasses
import os

from encore.runtime.refusal import Refusal
from encore.systems.fkd.batch_order import SAMPLER_SEED


class Labels(abc.ABC):
    """A label set: its folder and the attributes of its LabelDescription (`count`, `batch`, `mix`, …).

    A cheap handle: opens files when they are asked for, can be pickled, and so goes to spawned workers.
    """

    def __init__(self, folder, description, described_in):
        """described_in: the file that says what the labels are of, for messages."""
        self.folder, self.description, self.described_in = folder, description, described_in
        for field in dataclasses.fields(description):
            setattr(self, field.name, getattr(description, field.name))
        self.batches = description.batches

    @abc.abstractmethod
    def load(self, epoch, number):
        """The LabelBatch `number` of `epoch`; Refusal, naming the file, where it is missing or damaged."""

    @abc.abstractmethod
    def epoch_path(self, epoch):
        """Where the labels of `epoch` are."""

    def names(self):
        """Names of the pictures (list of str) in their order, or None where the labels do not hold them."""
        return None

    @abc.abstractmethod
    def check_files(self, epochs):
        """Refuse, naming the file, one of the first `epochs` epochs that is missing, truncated or of another
        set; reads no labels."""

    @property
    @abc.abstractmethod
    def digest(self):
        """64 hex digits that differ for other label files; a run that goes on must find the same.

        Of a store from the SHA-256 that the manifest holds of each file, of published labels from the files'
        names and sizes only.
        """

    def check(self, images, batch, epochs, seed, mix, size=None, temperature=None, mean=None, deviation=None):
        """Refuse these labels for a run that differs from what they were made with, before its first step.

        images: ClassFolders. batch, epochs, seed (of the sampler), mix (cutmix, mixup, none or None): of the
        run. size (side of the pictures), temperature, mean and deviation (of the channels): of the run, where
        given.

        The published layout holds no file list, sampler seed, size, mean or deviation: of the pictures only
        the number can be compared, so that other pictures in the same number go unnoticed, and the seed is
        taken to be the published one, the only one that its trainer can replay. Convert such labels to a
        store with their pictures once, saying what is known of them, and all is compared. Labels of one batch
        fit any batch size that makes one batch.
        """
        if self.batches == 1 and batch >= self.count:
            batch = self.batch
        asked = {"batch": batch, "mix": mix or "none", "seed": seed, "size": size}
        asked.update(mean=mean and tuple(mean), deviation=deviation and tuple(deviation))
        for name in asked:
            self._check_value(name, asked[name])
        if self.temperature is not None and temperature is not None and temperature != self.temperature:
            raise Refusal(
                "{}: these labels are of the top {} classes at temperature {}, the run asks for {}: run with "
                "theirs, or take labels of all classes".format(
                    self.described_in, self.top_k, self.temperature, temperature
                )
            )
        if epochs > self.epochs:
            raise Refusal(
                "{}: missing: {} epochs asked for, labels of {} there: train for fewer, or relabel "
                "more".format(self.epoch_path(self.epochs), epochs, self.epochs)
            )
        self._check_pictures(images)
        self.check_files(epochs)

    def _check_value(self, name, asked):
        held = getattr(self, name)
        if name == "seed" and held is None and asked not in (None, SAMPLER_SEED):
            raise Refusal(
                "{}: these labels do not say their sampler's seed, published is {}, the run asks for {}: "
                "convert them with --seed {} first, or leave it out".format(
                    self.described_in, SAMPLER_SEED, asked, asked
                )
            )
        if asked is not None and held is not None and asked != held:
            raise Refusal(
                "{}: these labels are of {} {}, the run asks for {}: run with theirs, or relabel".format(
                    self.described_in, name, held, asked
                )
            )

    def _check_pictures(self, images):
        if self.pictures is not None and images.digest == self.pictures:
            return
        names = self.names()
        if names is not None and list(images.names) != names:
            raise Refusal(_name_difference(self.folder, images.spec, names, list(images.names)))
        if len(images) != self.count:
            raise Refusal(
                "{}: labels of {} pictures, found {} in {}{}".format(
                    self.folder, self.count, len(images), images.spec, _uneven_class(images.names)
                )
            )
        if self.pictures is not None:
            differ = "files of the same names as in {}, but not of the same sizes"
            if names is None:
                differ = "not the files that {} is of, by names or sizes (its list of names is lost)"
            raise Refusal(
                "{}: {}: the labels are of other pictures; put those back, or relabel".format(
                    images.spec, differ.format(self.folder)
                )
            )


def _name_difference(folder, spec, expected, found):
    """What is missing or too many among the names `found` at `spec`."""
    missing, extra = (sorted(set(a) - set(b)) for a, b in ((expected, found), (found, expected)))
    classes = {name.split("/")[0] for name in found}
    for name in missing:
        if name.split("/")[0] not in classes:
            what = "the class folder {} is missing".format(name.split("/")[0])
            break
    else:
        if missing:
            what = "{} is missing".format(missing[0])
        elif extra:
            what = "{} is too many".format(extra[0])
        else:
            what = "the order is another"
    return (
        "{}: {} ({} missing, {} too many): the labels in {} are of other pictures; put those back, or "
        "relabel".format(spec, what, len(missing), len(extra), folder)
    )


def _uneven_class(names):
    """A hint at the class folder whose number of files is unlike the others', where there is one."""
    sizes = {}
    for name in names:
        folder = os.path.dirname(name)
        sizes[folder] = sizes.get(folder, 0) + 1
    tally = sorted(sizes.values())
    usual = tally[len(tally) // 2] if tally else 0
    for folder in sorted(sizes):
        if sizes[folder] != usual:
            return ": {} holds {} files, the others {}; mend it, or relabel".format(
                folder, sizes[folder], usual
            )
    return " ({} class folders): a class folder is missing or too many; mend it, or relabel".format(
        len(sizes)
    )
