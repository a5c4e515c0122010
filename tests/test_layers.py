"""Who may import whom: every import of the package, also inside functions, points downward."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import nets

ROOT = Path(nets.__file__).parent

LAYERS = {
    "errors": 0,
    "config": 0,
    "files": 0,
    "ieee": 0,
    "locks": 0,
    "tracebacks": 0,
    "version": 0,
    "ir": 1,
    "ops": 2,
    "passes": 3,
    "backend": 3,
    "frontend": 4,
    "tools": 5,
    "nn": 5,
    "optim": 5,
    "data": 5,
    "datasets": 5,
    "random": 5,
    "solver": 5,
}
USER_LEVEL = {"nn", "optim", "data", "datasets", "random", "solver"}
"""Rooms written as a user would: they import ``nets`` and each other; of the rest, ``files``."""
FACE = {"__init__", "__main__"}
"""The public face, above everything."""

FOREIGN = {
    "llvmlite": ("backend/",),
    "cffi": ("backend/loader.py",),
    "_runtime": ("backend/callable.py",),
    "_dispatch": (
        "backend/arrays.py",
        "backend/callable.py",
        "frontend/plans.py",
        "ieee.py",
        "frontend/variable.py",
        "frontend/world/arrays.py",
        "frontend/world/guards.py",
    ),
}
"""Who may import what is not the core's own."""


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(module, line) of every import of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                # from nets import config, and from nets.ir import types
                yield f"{node.module}.{alias.name}", node.lineno


def room(name: str) -> str:
    """The room of a module of the package."""
    return name.split(".")[1] if "." in name else "__init__"


def is_allowed(place: Path, name: str) -> bool:
    """Whether the file at ``place`` (below the package) may import that."""
    top = name.split(".")[0]
    mine = place.parts[0].removesuffix(".py")
    theirs = room(name) if top == "nets" else top
    if theirs in FOREIGN:
        return str(place).startswith(FOREIGN[theirs])
    if top != "nets" or mine in FACE:
        return True
    if mine in USER_LEVEL:
        return theirs in {*USER_LEVEL, "files"} or name == "nets"
    if theirs not in LAYERS or LAYERS[theirs] > LAYERS[mine]:
        return False
    return LAYERS[theirs] < LAYERS[mine] or theirs == mine or LAYERS[mine] == 0


def violations() -> list[str]:
    places = [(path, path.relative_to(ROOT)) for path in sorted(ROOT.rglob("*.py"))]
    return [
        f"{place}:{line} imports {name}"
        for path, place in places
        for name, line in imports(path)
        if not is_allowed(place, name)
    ]


def test_imports_point_downward() -> None:
    assert violations() == []


def test_every_room_has_a_layer() -> None:
    rooms = {p.name.removesuffix(".py") for p in ROOT.iterdir() if not p.name.startswith("_")}
    rooms -= {p.name for p in ROOT.iterdir() if p.suffix not in ("", ".py")}
    assert rooms <= LAYERS.keys(), rooms - LAYERS.keys()
