"""Weights that the authors published, before they are used."""

from __future__ import annotations

import os

from encore.runtime.atomic import file_digest
from encore.runtime.refusal import Refusal


def checked_digest(path, sha256=None):
    """SHA-256 of the published file at `path`; Refusal where it is missing or differs from `sha256`.

    None: no digest is recorded.
    """
    if not os.path.isfile(path):
        raise Refusal("{}: missing: `encore data` says where to get it".format(path))
    digest = file_digest(path)
    if sha256 is not None and digest != sha256:
        raise Refusal(
            "{}: its SHA-256 is {}, expected {}: take the published file again".format(path, digest, sha256)
        )
    return digest
