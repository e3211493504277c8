from benchmarks import label_reading


def test_both_layouts_are_read_and_sized(monkeypatch):
    monkeypatch.setattr(label_reading, "EPOCHS", 3)
    found = label_reading.run(count=70, batch=32, classes=100, repeats=1)
    assert found["seconds_store"] > 0 and found["seconds_published"] > 0
    # 16 bytes of crop, 1 of flip, 200 of logits and two numbers of 2 bytes, the header and the boxes aside
    assert 221 < found["bytes_a_picture_store"] < 240
    assert 0 < found["top_classes_over_published_bytes"] < found["store_over_published_bytes"] < 1
    assert found["seconds_to_open_store"] < 1
