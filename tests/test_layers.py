"""Who may import whom: every import of the package, also inside functions, points downward. Who may
know what: names with an underscore are of the room that they are written in. And how large a
folder, a file and a function may be."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import nets
from nets.backend.process import cache

ROOT = Path(nets.__file__).parent

LAYERS = (
    ("errors", "version"),
    ("config",),
    ("tracebacks", "files", "ieee", "locks", "extension", "communicator"),
    ("ir",),
    ("machine",),
    ("ops.definition",),
    ("ops.loop",),
    ("ops.tensor", "ops.regions"),
    ("ops.pools", "ops.linalg", "ops.order", "ops.transcendental"),
    ("ops.orthogonal",),
    ("ops",),
    ("passes", "backend"),
    ("passes.simplify", "passes.spaces", "backend.numpy", "backend.llvm", "backend.process"),
    ("passes.derivatives", "passes.fusion", "passes.loops", "backend.library"),
    ("passes.lowering", "passes.sparsity"),
    ("compiler",),
    ("frontend",),
    ("frontend.tensor",),
    ("linalg", "special"),
    ("frontend.world",),
    ("frontend.tracing",),
    ("frontend.calls",),
    ("frontend.derived",),
    ("frontend.library",),
    ("optimize", "distributed"),
    ("tools", "nn", "optim", "data", "datasets", "random", "solver"),
)
"""Folders, and modules of the top, from the bottom up. Each may import what stands in a line above
its own, and its own files. Those of a folder that has folders are the folder's foundation, but in
``ops``, which gathers what is below it."""

APART = {("passes", "backend"), ("backend", "passes")}
"""Rooms of which neither imports the other."""

JOINED = {
    "frontend.tensor.elementary": "frontend.tensor",
    "frontend.tensor.functions": "frontend.tensor",
    "frontend.tensor.order": "frontend.tensor",
    **{f"backend.llvm.{name}": "backend.llvm" for name in ("conv", "gemm", "isa", "math", "sort")},
    "frontend.tensor.pytorch": "frontend.tensor",
    "frontend.tensor.words": "frontend.tensor",
    **{f"backend.library.{name}": "backend.library" for name in ("callers", "state")},
    "nn.functional": "nn",
    "nn.utils": "nn",
}
"""Folders that are of the room above. In ``frontend.tensor`` tensors, their operators and the
functions define each other; it is the one circle there is."""

USER_LEVEL = {"nn", "optim", "data", "datasets", "random", "solver"}
"""Rooms written as a user would: they import ``nets`` and each other; of the rest, ``files``."""
FACE = {"__init__", "__main__"}
"""The public face, above everything."""

FOREIGN = {
    "llvmlite": ("backend/",),
    "cffi": ("backend/library/loader.py",),
    "_runtime": ("backend/process/callable.py",),
    "_dispatch": (
        "backend/arrays.py",
        "backend/process/callable.py",
        "frontend/calls/plans.py",
        "extension.py",
        "ieee.py",
        "frontend/tensor/variable.py",
        "frontend/world/arrays.py",
        "frontend/world/guards.py",
    ),
}
"""Who may import what is not the core's own."""

FOREIGN_NAMES = {
    *("_make", "_replace", "_fields"),  # of named tuples, whose documented names these are
    *(
        "_getframe",
        "_current_frames",
        "_exit",
        "_at_fork_reinit",
        "_is_owned",
        "_SubParsersAction",
    ),  # of Python
    *("_NoValue", "_inst", "_rand", "_bit_generator"),  # of NumPy and of random generators
    *("_value_", "_cfn"),  # of enums, and of llvmlite's functions
    "_lock",  # of objects that locks.made_alone is told of
    "_buffers",  # of layers, which their tensors are named by
}
"""Names with an underscore that are used beyond the room, or the package, that has them."""

MOST_FILES = 20
"""In a folder."""
MOST_LINES = 500
"""In a file."""
LONGEST = 60
"""Lines of a function, its docstring included."""
SHORT = 18
"""Lines that nine in ten functions have at most."""


def files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


Found = list[tuple[str, int]]


@functools.cache
def contents(path: Path) -> tuple[Found, Found]:
    """(module, line) of every import of a file, and (place, lines) of every function."""
    imports: Found = []
    functions: Found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                imports += [(alias.name, node.lineno) for alias in names]
            case ast.ImportFrom(module=module, names=names):
                assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
                # from nets import config, and from nets.ir import types
                imports += [(f"{module}.{alias.name}", node.lineno) for alias in names]
            case ast.FunctionDef(end_lineno=int(end)) | ast.AsyncFunctionDef(end_lineno=int(end)):
                functions.append((f"{path}:{node.lineno} {node.name}", end - node.lineno + 1))
    return imports, functions


def folder(place: Path) -> str:
    """The room of a file, given below the package."""
    name = ".".join(place.parts[:-1]) or place.stem
    return JOINED.get(name, name)


@functools.cache
def room(name: str) -> str:
    """The room of a module, or of what is imported from one, of the package."""
    path = ROOT.joinpath(*name.split(".")[1:])
    while not (path.is_dir() or path.with_suffix(".py").is_file()):
        path = path.parent
    place = path.relative_to(ROOT)
    return folder(place / "__init__.py" if path.is_dir() else place.with_suffix(".py"))


def layer(name: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if name in names)


def is_allowed(place: Path, name: str) -> bool:
    """Whether the file at ``place`` (below the package) may import that."""
    top = name.split(".")[0]
    if top != "nets" or name.split(".")[1:2] in (["_runtime"], ["_dispatch"]):
        foreign = top if top != "nets" else name.split(".")[1]
        return foreign not in FOREIGN or str(place).startswith(FOREIGN[foreign])
    mine = folder(place)
    if mine in FACE:
        return True
    theirs = room(name)
    house, other = mine.split(".")[0], theirs.split(".")[0]
    if house in USER_LEVEL:
        return other in {*USER_LEVEL, "files"} or theirs == "__init__"
    if theirs == "__init__" or (house, other) in APART:
        return False
    return theirs == mine or layer(theirs) < layer(mine)


def violations() -> list[str]:
    places = [(path, path.relative_to(ROOT)) for path in files()]
    return [
        f"{place}:{line} imports {name}"
        for path, place in places
        for name, line in contents(path)[0]
        if not is_allowed(place, name)
    ]


def test_imports_point_downward() -> None:
    assert violations() == []


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("compiler/compile.py", "nets.frontend.tensor.scope.lift"),
        ("ir/core.py", "nets.ops.lookup"),
        ("passes/simplify/cse.py", "nets.backend.numpy.interpreter.evaluate"),
        ("passes/simplify/cse.py", "nets.passes.fusion.fuse.fuse"),
        ("backend/llvm/gemm/row.py", "nets.backend.library.aot"),
        ("backend/printing.py", "nets.backend.process.callable"),
        ("frontend/tensor/functions/shape.py", "nets.frontend.tracing.spec"),
        ("frontend/calls/trace.py", "nets.Tensor"),
        ("nn/module.py", "nets.frontend.tensor.tensor.Tensor"),
        ("files.py", "nets.locks.lock"),
        ("passes/manager.py", "llvmlite.binding"),
        ("frontend/calls/trace.py", "nets._runtime.lib"),
    ],
)
def test_what_points_upward_is_seen(place: str, name: str) -> None:
    assert not is_allowed(Path(place), name)


def is_hidden(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_"


def names_in(tree: ast.AST) -> Iterator[str]:
    """What a file defines: functions, classes, variables, attributes of ``self``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node):
            yield node.attr


def is_own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def reaches(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(hidden name, line) of what a file asks other objects for, also by getattr."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_hidden(node.attr) and not is_own(node):
            yield node.attr, node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            asks = node.func.id in ("getattr", "setattr", "hasattr", "delattr")
            for x in node.args[1:2] if asks else ():
                if isinstance(x, ast.Constant) and is_hidden(str(x.value)):
                    yield str(x.value), node.lineno


@functools.cache
def hidden(path: Path) -> tuple[set[str], Found]:
    """The names with an underscore that a file defines, and what it asks other objects for."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return set(filter(is_hidden, names_in(tree))), list(reaches(tree))


@functools.cache
def hidden_names() -> dict[str, set[str]]:
    """The names with an underscore that each room defines."""
    found: dict[str, set[str]] = {}
    for path in files():
        found.setdefault(folder(path.relative_to(ROOT)), set()).update(hidden(path)[0])
    return found


def test_rooms_keep_what_is_hidden_to_themselves() -> None:
    known = hidden_names()
    beyond = [
        (f"{path.relative_to(ROOT)}:{line}", name)
        for path in files()
        for name, line in hidden(path)[1]
        if name not in known[folder(path.relative_to(ROOT))]
    ]
    assert [(place, name) for place, name in beyond if name not in FOREIGN_NAMES] == []
    assert {name for _, name in beyond} == FOREIGN_NAMES


@pytest.mark.parametrize(
    "code", ["x._value", "x.y._value = 1", "getattr(x, '_weak', None)", "Tensor._of(x)"]
)
def test_what_reaches_into_a_tensor_is_seen(code: str) -> None:
    ((name, _),) = reaches(ast.parse(code))
    known = hidden_names()
    assert [room for room, names in known.items() if name in names] == ["frontend.tensor"]


def test_every_room_has_a_layer() -> None:
    rooms = {folder(path.relative_to(ROOT)) for path in files()} - FACE
    assert sorted(rooms) == sorted(name for names in LAYERS for name in names)


def test_the_object_cache_asks_every_folder_that_decides_what_code_comes_out() -> None:
    """All that is below the frontend: who changes the compiler must not run code from before."""
    below = LAYERS[: LAYERS.index(("frontend",))]
    folders = {name.split(".")[0] for names in below for name in names}
    assert {name for name in folders if (ROOT / name).is_dir()} == set(cache._COMPILER)


def test_no_room_is_crowded() -> None:
    counts = Counter(path.parent for path in files() if path.stem not in FACE)
    assert {str(place): count for place, count in counts.items() if count > MOST_FILES} == {}


def test_no_folder_of_tests_is_crowded() -> None:
    counts = Counter(path.parent for path in Path(__file__).parent.rglob("test_*.py"))
    assert {str(place): count for place, count in counts.items() if count > MOST_FILES} == {}


def test_no_file_is_long() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files()}
    assert {str(path): n for path, n in lengths.items() if n > MOST_LINES} == {}


def test_functions_are_short() -> None:
    lengths = [found for path in files() for found in contents(path)[1]]
    assert {place: n for place, n in lengths if n > LONGEST} == {}
    assert 10 * sum(n <= SHORT for _, n in lengths) >= 9 * len(lengths)
