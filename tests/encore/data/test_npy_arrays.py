"""Elements without bytes cost memory when they are taken for lists, whatever the size of their file."""

import io

import numpy as np
import pytest

from encore.data.npy_arrays import MOST_EMPTY, array_of


@pytest.mark.parametrize("kind", ["|S0", "<U0", "|V0"])
def test_elements_without_bytes_are_counted(kind):
    header = "{{'descr': '{}', 'fortran_order': False, 'shape': ({},), }}\n"
    for count, read in ((MOST_EMPTY, True), (MOST_EMPTY + 1, False)):
        text = header.format(kind, count).encode("ascii")
        data = b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text
        if read:
            assert array_of(data).shape == (MOST_EMPTY,)
        else:
            with pytest.raises(ValueError, match="of elements without bytes"):
                array_of(data)


def test_arrays_without_elements_are_read():
    file = io.BytesIO()
    np.save(file, np.empty((0, 1 << 40), np.float32))
    assert array_of(file.getvalue()).shape == (0, 1 << 40)
