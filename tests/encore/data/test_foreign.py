import pytest
from PIL import Image

from encore.data.foreign import ForeignPictures
from encore.runtime.refusal import Refusal


def test_index_order_cache_and_errors(tmp_path):
    for i, name in enumerate(("c.png", "a.png", "b.png")):
        Image.new("L", (2, 2), 10 * i).save(str(tmp_path / name))
    pictures = ForeignPictures(str(tmp_path), 3, kept=2)
    assert [pictures(i).getpixel((0, 0)) for i in (0, 1, 2, 0)] == [10, 20, 0, 10]
    assert pictures(0) is pictures(0)
    with pytest.raises(Refusal, match="3 pictures, the chain draws among 4"):
        ForeignPictures(str(tmp_path), 4)
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(Refusal, match="b.png: the file is empty"):
        ForeignPictures(str(tmp_path), 3)(1)
