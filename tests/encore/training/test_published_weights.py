"""Published weights are there, and are the recorded ones, or are refused."""

import hashlib

import pytest

from encore.runtime.refusal import Refusal
from encore.training.published_weights import checked_digest


def test_the_digest_of_the_file(tmp_path):
    (tmp_path / "weights").write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    assert checked_digest(str(tmp_path / "weights")) == digest
    assert checked_digest(str(tmp_path / "weights"), digest) == digest


def test_a_missing_and_another_file_are_refused(tmp_path):
    with pytest.raises(Refusal, match="weights: missing: `encore data` says where"):
        checked_digest(str(tmp_path / "weights"))
    (tmp_path / "weights").write_bytes(b"abd")
    with pytest.raises(Refusal, match="its SHA-256 is [0-9a-f]{64}, expected 00: take the published"):
        checked_digest(str(tmp_path / "weights"), "00")
