"""A size of the pipeline: the folder of one dvc.yaml, and which claims belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from encore.runtime.refusal import Refusal

PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Size:
    """`folder` holds params.yaml, metrics, fingerprints; `tier` is paper where the claims stand beside it,
    else mini."""

    folder: Path
    tier: str
    claims: Path

    @classmethod
    def of(cls, folder, claims=None):
        """The size in `folder`; `claims` defaults to the project's claim folder."""
        folder = Path(folder)
        claims = Path(claims) if claims else PROJECT / "claims"
        if not folder.is_dir():
            raise Refusal(f"{folder}: no such folder; a size is the folder of a dvc.yaml, e.g. mini")
        tier = "paper" if folder.resolve() == claims.resolve().parent else "mini"
        return cls(folder=folder, tier=tier, claims=claims)

    @property
    def frozen_recipe(self):
        """The copy of the parameters that the expected numbers belong to."""
        return self.claims / ("published_params.yaml" if self.tier == "paper" else "mini_params.yaml")
