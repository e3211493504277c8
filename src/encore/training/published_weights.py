"""Weights that the authors published, before they are used."""

from __future__ import annotations

import os
import re

from encore.runtime.atomic import file_digest
from encore.runtime.refusal import Refusal

DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{8})\.pth$")
"""How torchvision and timm name their files."""


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


def check_named_digest(path, digest):
    """Refuse a file whose SHA-256 `digest` (64 hex digits) does not begin with the 8 hex digits of its name,
    `<network>-<digits>.pth`, as torch.hub does; a name without any says nothing."""
    named = DIGEST_IN_NAME.search(os.path.basename(path))
    if named is not None and not digest.startswith(named.group(1)):
        raise Refusal(
            "{}: its SHA-256 begins with {}, its name says {}: take the published file again, or give "
            "sha256".format(path, digest[:8], named.group(1))
        )
