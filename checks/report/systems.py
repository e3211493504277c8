"""The systems in the order of the page, and what the page shows of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from checks.report.copies import copy_strips, data_set_strips
from checks.report.curves import distillation_curves, model_curves, precision_recall, training_curves
from checks.report.drip_stages import drip_stages
from checks.report.ladder import ladder
from checks.report.matches import gallery
from checks.report.person_rankings import person_rankings
from checks.report.students import students
from checks.report.synthesis import picture_sheet
from checks.report.verdicts import summary


@dataclass(frozen=True)
class System:
    """A system: its name, how the page calls it in full and in the list of sections, what it is, and its
    parts: {name in the template: what reads it from a size folder}."""

    name: str
    title: str
    short: str
    what: str
    parts: dict[str, Callable]


SYSTEMS = (
    System(
        "isc_track2",
        "Copy detection: the descriptor of Track 2",
        "Track 2",
        "One network that tells copies of a picture from other pictures by a short descriptor.",
        {
            "copies": copy_strips,
            "training": training_curves,
            "precision_recall": precision_recall,
            "matches": gallery,
        },
    ),
    System(
        "isc_track1",
        "Copy detection: the ensemble of Track 1",
        "Track 1",
        "Many generated data sets and three backbones, fused by votes and parts of the pictures.",
        {
            "track1_copies": data_set_strips,
            "track1_training": lambda folder: model_curves(
                folder, "plots/isc_track1/loss", "step", "loss", ("step", "training loss")
            ),
            "ladder": ladder,
            "track1_precision": lambda folder: precision_recall(folder, "isc_track1"),
            "track1_matches": lambda folder: gallery(folder, "isc_track1"),
        },
    ),
    System(
        "drip",
        "Drip training",
        "Drip training",
        "A descriptor that is trained class set by class set, each with more classes than the one before.",
        {"drip": drip_stages},
    ),
    System(
        "fkd",
        "Distilled data and fast knowledge distillation",
        "Distillation",
        "Pictures synthesised from a teacher's own statistics, its labels stored with them, and students "
        "that learn from nothing else.",
        {"synthesis": picture_sheet, "distillation": distillation_curves, "students": students},
    ),
    System(
        "reid",
        "Person re-identification",
        "Persons",
        "Finding a person again in the pictures of other cameras.",
        {
            "persons": person_rankings,
            "persons_training": lambda folder: model_curves(
                folder, "plots/reid/train", "epoch", "train_loss", ("epoch", "training loss")
            ),
        },
    ),
)


@dataclass(frozen=True)
class SystemSection:
    """A system on the page: `held`: (state, sentence) of its gating claims, None without verdicts; `empty`:
    why none of its parts is there, "" when there is one."""

    name: str
    title: str
    short: str
    what: str
    held: tuple[str, str] | None
    empty: str

    @classmethod
    def of(cls, system, verdicts, notes):
        """The section of `system`; `notes`: {part: why it is missing}."""
        own = [row for row in verdicts or [] if row["system"] == system.name]
        gating = any(row["gating"] for row in own)
        lacking = [notes[part] for part in system.parts if part in notes]
        nothing = len(lacking) == len(system.parts)
        return cls(
            system.name,
            system.title,
            system.short,
            system.what,
            summary(own) if gating else None,
            f"Nothing of this system is here yet: {'; '.join(lacking)}." if nothing else "",
        )
