"""Headers of a tar that stand for the next one do not lead down without end."""

import tarfile

import pytest

from encore.data.tar_members import list_members
from encore.runtime.refusal import Refusal


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE])
def test_many_headers_in_a_row_are_refused(tmp_path, kind):
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = kind, 9
    block = header.tobuf(tarfile.GNU_FORMAT) + b"9 path=a\n".ljust(512, b"\0")
    plain = tarfile.TarInfo("b").tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "short.tar").write_bytes(3 * block + plain + bytes(1024))
    assert len(list_members(str(tmp_path / "short.tar"))[0]) == 1
    (tmp_path / "x.tar").write_bytes(3000 * block + plain + bytes(1024))
    with pytest.raises(Refusal, match=r"x\.tar: expected an uncompressed tar, .*too many headers before"):
        list_members(str(tmp_path / "x.tar"))
