"""`encore dependencies`: a DVC stage depends on its own source file and on the first-party files it imports.

The generated part of a stage's deps are the entries `${root}/stages/….py`, `${root}/src/….py` and
`${root}/checks/….py`; all other entries and all comments stay as they are.
"""

from __future__ import annotations

import re
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from checks.imports import transitive_files
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal

STAGE_MODULE = re.compile(r"-m\s+(stages(?:\.\w+)+|checks\s+\w+)")
GENERATED = re.compile(r"^\$\{root\}/(stages|src|checks)/.*\.py$")


def stage_module(command):
    """The module that a command starts (`-m stages.x.y`, or `-m checks data` -> checks.data), or None."""
    text = " ; ".join(command) if isinstance(command, list) else str(command)
    match = STAGE_MODULE.search(text)
    return re.sub(r"\s+", ".", match.group(1)) if match else None


def generated_dependencies(root, module):
    """The sorted `${root}/…` entries of one stage module; raises Refusal when there is no such file."""
    files = transitive_files(root, module)
    if files is None:
        raise Refusal(f"dvc.yaml starts `-m {module}`, and there is no such file in {root}")
    return [f"${{root}}/{path.relative_to(root).as_posix()}" for path in files]


def stale_stages(root, document):
    """{stage: (entries it has, entries it should have)} of a loaded dvc.yaml, where they differ."""
    stale = {}
    for name, body in _bodies(document):
        module = stage_module(body.get("cmd", ""))
        if module:
            has = [entry for entry in body.get("deps", []) if _is_generated(entry)]
            wanted = generated_dependencies(root, module)
            if has != wanted:
                stale[name] = (has, wanted)
    return stale


def load(path):
    """A dvc.yaml with its comments."""
    try:
        document = _yaml().load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refusal(f"{path}: no such file") from None
    if not isinstance(document, dict) or not isinstance(document.get("stages"), dict):
        raise Refusal(f"{path}: expected a mapping with stages")
    return document


def update(path, root):
    """Rewrite the generated deps of `path`; returns the names of the stages that changed."""
    document = load(path)
    stale = stale_stages(root, document)
    for name, body in _bodies(document):
        if name in stale:
            _replace(body, stale[name][1])
    if stale:
        with replacing(Path(path).resolve(), "w") as file:
            _yaml().dump(document, file)
    return list(stale)


def mini_problem(root):
    """What is wrong with mini/dvc.yaml beside dvc.yaml, None where it is a copy, or where there is no mini.

    It is a file: inside a git revision DVC does not follow a link, and then no diff of any size works.
    """
    mini = Path(root) / "mini" / "dvc.yaml"
    if not mini.parent.is_dir():
        return None
    if mini.is_symlink() or not mini.is_file() or mini.read_bytes() != (Path(root) / "dvc.yaml").read_bytes():
        return "mini/dvc.yaml: not a copy of dvc.yaml; run `encore dependencies --write`"
    return None


def copy_to_mini(root):
    """Make mini/dvc.yaml a copy of dvc.yaml; returns whether it was none."""
    if mini_problem(root) is None:
        return False
    with replacing(Path(root) / "mini" / "dvc.yaml", "wb") as file:
        file.write((Path(root) / "dvc.yaml").read_bytes())
    return True


def _replace(body, wanted):
    """Put the generated entries where the first of the old ones stood, else in front.

    ruamel keeps the comment and the blank line that follow a list with its last entry: they move to the new
    one.
    """
    old = body.setdefault("deps", CommentedSeq())
    last_comment = old.ca.items.pop(len(old) - 1, None) if old else None
    places = [i for i, entry in enumerate(old) if _is_generated(entry)]
    for i in reversed(places):
        del old[i]
    start = places[0] if places else 0
    for offset, entry in enumerate(wanted):
        old.insert(start + offset, entry)
    if last_comment is not None:
        old.ca.items[len(old) - 1] = last_comment
    old.fa.set_block_style()


def _is_generated(entry):
    return isinstance(entry, str) and bool(GENERATED.match(entry))


def _bodies(document):
    for name, stage in document["stages"].items():
        yield name, stage["do"] if "do" in stage else stage


def _yaml():
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 4096, True
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
