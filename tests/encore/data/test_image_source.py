import io
import tarfile

import pytest

from encore.data.image_source import open_source
from encore.runtime.refusal import Refusal


def test_folder_and_tar_give_the_same(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    with tarfile.open(str(tmp_path / "all.tar"), "w") as tar:
        for name, data in (("b.png", b"bb"), ("a.png", b"a"), ("B.png", b"")):
            (folder / name).write_bytes(data)
            member = tarfile.TarInfo("some/" + name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        tar.addfile(tarfile.TarInfo("somewhere/c.png"), io.BytesIO())
    (folder / "below").mkdir()
    (folder / ".DS_Store").write_bytes(b"hidden files do not count")
    for spec in (str(folder), str(tmp_path / "all.tar") + "#some"):
        source = open_source(spec)
        assert source.names == ["B.png", "a.png", "b.png"]
        assert [source.read(i) for i in range(len(source))] == [b"", b"a", b"bb"]


def test_nothing_there(tmp_path):
    with pytest.raises(Refusal, match="no such folder of pictures"):
        open_source(str(tmp_path / "none"))
    (tmp_path / "text").write_text("no tar")
    with pytest.raises(Refusal, match="no such folder of pictures"):
        open_source(str(tmp_path / "text"))
