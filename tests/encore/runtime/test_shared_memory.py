from encore.runtime import shared_memory


def test_bytes_of_loader_processes():
    assert shared_memory.loader_bytes(8, 100) == 2 * 8 * 100 + 100
    assert shared_memory.loader_bytes(8, 100, 700) == 2 * 8 * 100 + 700
    assert shared_memory.loader_bytes(0, 100, 700) == 0


def test_a_system_without_shared_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(shared_memory, "PLACE", str(tmp_path / "none"))
    assert shared_memory.shared_memory() is None
    monkeypatch.setattr(shared_memory, "PLACE", str(tmp_path))
    free, total = shared_memory.shared_memory()
    assert 0 <= free <= total
