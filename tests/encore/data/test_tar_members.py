"""Headers of a tar that stand for the next one do not lead down without end."""

import io
import tarfile
import time

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


def further(path, data):
    """A tar whose member has `data` as further data (pax)."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, len(data)
    parts = [header.tobuf(tarfile.USTAR_FORMAT), data, bytes(-len(data) % 512)]
    path.write_bytes(b"".join(parts) + tarfile.TarInfo("b").tobuf() + bytes(1024))
    return str(path)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"9" * 10**5, "a number of more than 255 digits"),
        (b"14 comment=abc\n" + b"9" * 10**5, "a number of more than 255 digits"),
        (b"3 a" * 10**5 + b"=x\n", "further data of a member that are none"),
        (b"9 path=a\n" + b"3 a" * 10**5 + b"=x\n", "further data of a member that are none"),
        (b"9 path=a\n" + b"7 abcdefgh=" * 10**4, "further data of a member that are none"),
    ],
)
def test_further_data_that_are_gone_over_again_and_again_are_refused(tmp_path, data, says):
    path, began = further(tmp_path / "x.tar", data), time.process_time()
    with pytest.raises(Refusal, match=r"x\.tar: .*" + says):
        list_members(path)
    assert time.process_time() - began < 1


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_further_data_are_read(tmp_path, form):
    name = "/".join(["é" * 100, "9" * 255] * 6) + "/b"
    with tarfile.open(str(tmp_path / "x.tar"), "w", format=form) as tar:
        member = tarfile.TarInfo(name)
        member.size = 3
        if form == tarfile.PAX_FORMAT:
            member.pax_headers = {"SCHILY.xattr.user.a": "x\n=" * 9000, "comment": "b"}
        tar.addfile(member, io.BytesIO(b"abc"))
    assert [found.name for found in list_members(str(tmp_path / "x.tar"))[0]] == [name]
