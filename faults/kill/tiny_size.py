"""The tiny size: mini's pipeline and data with still smaller values, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
MINI = ROOT / "mini"
OVERLAY = Path(__file__).with_name("tiny.yaml")
LINKED = ("*.tar", "inputs.yaml", "*.yaml")


def tiny_parameters():
    """mini's parameters with the values of tiny.yaml, and the root as an absolute path.

    Raises KeyError for a key of tiny.yaml that mini's parameters do not have.
    """
    parameters = yaml.safe_load((MINI / "params.yaml").read_text(encoding="utf-8"))
    merge(parameters, yaml.safe_load(OVERLAY.read_text(encoding="utf-8")))
    return with_root(parameters, ROOT)


def merge(values, other, path=""):
    """Put the values of the mapping `other` into `values`, mappings key by key; KeyError for unknown keys."""
    for key, value in other.items():
        if key not in values:
            raise KeyError(f"{path}{key}: in tiny.yaml, but not in mini/params.yaml")
        if isinstance(value, dict) and isinstance(values[key], dict):
            merge(values[key], value, f"{path}{key}.")
        else:
            values[key] = value


def with_root(parameters, root):
    """`parameters` with the paths that start with `..` made absolute, as those of a size anywhere."""
    found = dict(parameters, root=str(root))
    for section in ("python", "lock", "image"):
        found[section] = {
            name: str(root / path.replace("../", "", 1)) for name, path in found[section].items()
        }
    return found


def build(folder):
    """Make the tiny size in the empty `folder`; its pictures are links to mini's."""
    folder = Path(folder)
    for path in sorted(MINI.glob("*.tar")):
        (folder / path.name).symlink_to(path)
    for name in ("dvc.yaml", "inputs.yaml"):
        (folder / name).write_bytes((MINI / name).read_bytes())
    text = yaml.safe_dump(tiny_parameters(), sort_keys=False)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
