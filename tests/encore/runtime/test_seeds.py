import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encore.runtime.seeds import derive_seed

PART = st.one_of(st.integers(-(2**70), 2**70), st.text(max_size=8))


def test_by_hand():
    text = "int:7\x1fstr:isc_track2\x1fstr:generate\x1fint:3\x1fint:1"
    first_eight = hashlib.sha256(text.encode()).digest()[:8]
    assert derive_seed(7, "isc_track2", "generate", 3, 1) == int.from_bytes(first_eight, "big") // 2


@given(st.lists(PART, min_size=1, max_size=4), st.lists(PART, min_size=1, max_size=4))
def test_different_addresses_differ(first, second):
    same = [(type(p), p) for p in first] == [(type(p), p) for p in second]
    assert (derive_seed(0, *first) == derive_seed(0, *second)) == same
    assert 0 <= derive_seed(0, *first) < 2**63


def test_refuses_floats_and_booleans():
    for part in (1.0, True, None):
        with pytest.raises(TypeError):
            derive_seed(0, part)
