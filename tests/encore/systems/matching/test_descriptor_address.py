import os
import sys

import encore
from encore.systems.matching import descriptor_address as module
from encore.systems.matching.descriptor_address import DECIDING, descriptor_address


def test_every_setting_library_and_the_weights_tell():
    found = [
        descriptor_address("a", {"x": 1}),
        descriptor_address("b", {"x": 1}),
        descriptor_address("a", {"x": 2}),
        descriptor_address("a", {"x": 1}, ("pytest",)),
    ]
    assert len(set(found)) == 4 and descriptor_address("a", {"x": 1}) == found[0]


def test_a_changed_source_tells_also_one_in_a_folder_below(tmp_path, monkeypatch):
    for name in ("__init__.py", "a.py", "folder/deep/b.py", "beside.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(encore, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setattr(module, "DECIDING", ("a.py", "folder"))
    found = [descriptor_address("w", {})]
    for name in ("a.py", "folder/deep/b.py", "beside.py"):
        (tmp_path / name).write_text("2")
        found.append(descriptor_address("w", {}))
    assert len(set(found)) == 3 and found[3] == found[2]


def test_what_else_is_loaded_does_not_tell(monkeypatch):
    alone = descriptor_address("w", {})
    for name in ("encore.models.other", "encore.systems.drip.network", "timm"):
        monkeypatch.setitem(sys.modules, name, module)
    assert descriptor_address("w", {}) == alone


def test_all_that_computes_a_descriptor_is_named():
    root = os.path.dirname(os.path.abspath(encore.__file__))
    assert all(os.path.exists(os.path.join(root, place)) for place in DECIDING)
