"""Which first-party files a Python file imports, read from its source without running it."""

from __future__ import annotations

import ast
from pathlib import Path

from encore.runtime.refusal import Refusal

ROOMS = {"encore": "src/encore", "stages": "stages", "checks": "checks"}


def module_file(root, module):
    """The file of a dotted first-party module or package, or None when it is not one."""
    first, *rest = module.split(".")
    if first not in ROOMS:
        return None
    place = Path(root, ROOMS[first], *rest)
    for candidate in (place.with_suffix(".py"), place / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def module_name(root, path):
    """The dotted name of a first-party file."""
    relative = Path(path).relative_to(root)
    parts = list(relative.with_suffix("").parts)
    parts = parts[1:] if parts[0] == "src" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(source, module, is_package=False):
    """Dotted names that `source` imports anywhere, imports inside functions included, relative ones resolved.

    `from a import b` yields both `a` and `a.b`: b may be a module.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                keep = len(parts) - node.level + (1 if is_package else 0)
                base = ".".join(parts[:keep] + ([node.module] if node.module else []))
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def first_party_imports(root, path):
    """The first-party files that one file imports, with the packages they lie in; Refusal if it is broken."""
    path = Path(path)
    source = path.read_text(encoding="utf-8")
    try:
        names = imported_modules(source, module_name(root, path), path.name == "__init__.py")
    except SyntaxError as error:
        raise Refusal(f"{path}: line {error.lineno}: not Python ({error.msg}): mend it first") from None
    files = set()
    for name in names:
        parts = name.split(".")
        files.update(module_file(root, ".".join(parts[:end])) for end in range(1, len(parts) + 1))
    return files - {None, path}


def transitive_files(root, module):
    """The file of `module` and all first-party files it needs, sorted; package files that hold only a
    docstring are left out."""
    start = module_file(root, module)
    if start is None:
        return None
    seen, waiting = set(), [start]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting.extend(first_party_imports(root, path) - seen)
    return sorted(path for path in seen if not _is_bare_package(path))


def _is_bare_package(path):
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return path.name == "__init__.py" and all(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body
    )
