"""Damaged and forged libraries: LoadError, or the right results; no death, no other exception."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import nets
from nets.backend.library.library_file import embedded, sealed
from nets.backend.library.manifest import MARK
from nets.backend.library.manifest_reading import from_json
from nets.errors import LoadError
from nets.frontend.library import export as exporting
from nets.machine.targets import X86_64_LINUX, native_target

ROOT = Path(__file__).parents[3]
X = np.arange(30, dtype="float32").reshape(6, 5) / 7
SEED = 11


class Pair(NamedTuple):
    first: Any
    second: Any


def make(base: Path) -> Path:
    """A library with all that a manifest may describe."""
    count = nets.Tensor(np.array([0.0, 1.0]))

    def predict(params: Any, pair: Any, *, none: Any) -> Any:
        found = nets.softmax(pair.first @ params["w"] + pair.second)
        return {"out": [found, (found.sum(), None)], 7: params["w"] + 1}

    def step(x: Any) -> Any:
        count.data = count + x.sum()
        return count * 2

    def say(x: Any) -> Any:
        nets.debug_print("x {}", x)
        return x

    nets.export(
        base,
        formats=("so",),
        cpu="x86-64-v3",
        predict=nets.trace(predict).lower({"w": X.T}, Pair(X, X[0, 0]), none=None),
        pick=nets.trace(lambda x, i: x[i]).lower(X, np.array([0, 1])),
        step=nets.trace(step).lower(X),
        say=nets.trace(say).lower(X[0]),
    )
    return base.with_suffix(".so")


def results(library: Any) -> list[Any]:
    """What the functions of the library that are called without a print give."""
    predicted = library.predict({"w": X.T}, Pair(X, X[0, 0]), none=None)
    found, (total, none) = predicted["out"]
    assert none is None
    return [found, total, predicted[7], library.pick(X, np.array([5, 0])), library.step(X)]


# --------------------------------------------------------------------------- in a child

Change = tuple[str, bytes, bool]
"""A kind, the bytes of a file, and whether a library may be loaded from it."""


def changed_bytes(data: bytes, rng: np.random.Generator) -> Iterator[Change]:
    """Files that something happened to."""

    def flipped(limit: int) -> bytes:
        result, place = bytearray(data), rng.integers(limit)
        result[place] ^= 1 << rng.integers(8)
        return bytes(result)

    def place() -> int:
        return int(rng.integers(len(data)))

    for _ in range(80):
        yield "header", flipped(64 + 8 * 56), False
        yield "flip", flipped(len(data)), False
    for _ in range(30):
        yield "cut", data[: place()], False
        a, b, size = place(), place(), 1 + place() // 4
        spliced = data[:a] + data[b : b + size] + data[a + size :]
        yield "spliced", spliced, spliced == data
        yield "grown", data[:a] + rng.bytes(size) + data[a:], False
        blank = data[:a] + bytes(size) + data[a + size :]
        yield "blank", blank[: len(data)], blank[: len(data)] == data


HUGE = [-1, 2**48, 2**62, 2**63, 10**30, 1.5, 1e300, float("nan"), True, "1", None, [], {}]
DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP]
WRONG: dict[type, list[Any]] = {
    int: [*HUGE, DEEP],
    bool: [0, 1, 2, None, "true", []],
    str: [3, None, True, [], {}, "\ud800", "a\0b", DEEP],
    list: [None, {}, "", 3, [None], [[]], [{}], [DEEP], "list"],
    dict: [None, [], "", 3],
}
NAMES = ["", "a b", "int", "9", "état", "workspace", "errno", "__x", "f f", "x;", "NULL"]


def nodes(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """(way, value) of everything in a nest of JSON."""
    yield path, tree
    items = dict(enumerate(tree)) if isinstance(tree, list) else tree
    for key, child in items.items() if isinstance(items, dict) else ():
        yield from nodes(child, (*path, key))


def edited(manifest: Any, path: tuple[Any, ...], edit: Callable[[Any, Any], Any]) -> Any:
    """A copy in which ``edit(container, key)`` was done at that place."""
    changed = copy.deepcopy(manifest)
    node = changed
    for key in path[:-1]:
        node = node[key]
    edit(node, path[-1])
    return changed


def edits(manifest: Any) -> Iterator[Any]:
    """Manifests that say what cannot be, each wrong in one place."""
    for path, value in nodes(manifest):
        if not path or path in ((("nets_version"),), ("level",)):
            continue
        is_tree = "tree" in path or "positional" in path or "keywords" in path
        for wrong in WRONG.get(type(value), []):
            # A key of a dict may be any text or number; a leaf that is no leaf is looked for below.
            if not (is_tree and isinstance(wrong, str | int) and isinstance(value, str | int)):
                yield edited(manifest, path, lambda node, key, w=wrong: node.__setitem__(key, w))
        if isinstance(path[-1], str):
            yield edited(manifest, path, lambda node, key: node.pop(key))
        if path[-1] == "name":
            for name in NAMES:
                yield edited(manifest, path, lambda node, key, n=name: node.__setitem__(key, n))
        if isinstance(value, dict):
            yield edited(manifest, path, lambda node, key: node[key].update(more=1))
        if isinstance(value, list) and value and path[-1] not in ("shape", "prints", "checks"):
            yield edited(manifest, path, lambda node, key: node[key].append(node[key][0]))
    for i, function in enumerate(manifest["functions"]):
        yield edited(manifest, ("functions", i, "workspace_bytes"), _one_more)
        for j, _ in enumerate(function["arguments"]):
            place = ("functions", i, "arguments", j)
            yield edited(manifest, place, lambda node, key: node.pop(key))
        for name in ("describe", "path", "_f", "missing", manifest["functions"][i - 1]["name"]):
            yield edited(
                manifest, ("functions", i, "name"), lambda node, key, n=name: node.update(name=n)
            )
        yield edited(manifest, ("functions", i, "state"), lambda node, key: node.update(state=[9]))
    yield edited(manifest, ("functions", 0, "tree"), lambda node, key: node.update(tree=0))
    yield edited(manifest, ("state_bytes",), _one_more)
    yield edited(manifest, ("state", 0, "shape"), lambda node, key: node.update(shape=[3]))
    yield edited(manifest, ("state", 0, "dtype"), lambda node, key: node.update(dtype="f32"))
    yield edited(manifest, ("state",), lambda node, key: node.update(state=[], state_bytes=0))


def _one_more(node: Any, key: Any) -> None:
    node[key] += 1


def harmless(manifest: Any) -> Iterator[Any]:
    """Manifests that say something else that may be."""
    for key in ("cpu", "numerics"):
        yield edited(manifest, (key,), lambda node, key: node.__setitem__(key, "?"))
    yield edited(manifest, ("level",), lambda node, key: node.__setitem__(key, 0))
    checks = ("functions", 1, "checks", 0, 1)
    yield edited(manifest, checks, lambda node, key: node.__setitem__(key, "no"))


def false(manifest: Any) -> Iterator[Any]:
    """Manifests that may be, but not of this code."""
    for path, value in nodes(manifest):
        if path[-2:-1] == ("shape",):
            for other in (0, value - 1, value + 1, 2**31):
                yield edited(manifest, path, lambda node, key, o=other: node.__setitem__(key, o))
        if value == "f32":
            yield edited(manifest, path, lambda node, key: node.__setitem__(key, "f64"))


def forged(data: bytes, manifest: Any, *, compiled: bool = True) -> bytes:
    """The library with another manifest of the same length in its place, sealed again; with
    ``compiled``, the code says it is its own."""
    start = data.index(MARK) + len(MARK)
    end = data.index(b"\0", start)
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    text = text.replace(b'"VERSION', b'"VERSION' + b"." * (end - start - len(text)), 1)
    if len(text) > end - start:
        text = text[: end - start]  # damaged as well
    text = text.replace(b"\0", b"?")
    padded = text + bytes(end - start - len(text))
    code = data[:start] + padded + data[end:-64]
    if compiled and len(text) == end - start:
        code = code[: start - len(MARK)] + embedded(text) + code[end + 33 :]
    return sealed(code, text, X86_64_LINUX)


def changes(data: bytes) -> Iterator[Change]:
    """All changes; the first is none."""
    rng = np.random.default_rng(SEED)
    yield "none", data, True
    yield from changed_bytes(data, rng)
    manifest = json.loads(text_of(data))
    wrong = list(edits(manifest))
    for number in rng.permutation(len(wrong))[:100]:
        yield "forged", forged(data, wrong[number]), False
    for other in harmless(manifest):
        yield "harmless", forged(data, other), True
        yield "not its own", forged(data, other, compiled=False), False
    for other in false(manifest):
        yield "not its own", forged(data, other, compiled=False), False


def text_of(data: bytes) -> str:
    return data[data.index(MARK) + len(MARK) :].split(b"\0")[0].decode()


def outcome(path: Path, expected: list[Any]) -> str:
    """``refused`` or ``right``, or else what is wrong."""
    try:
        library = nets.load(path)
    except LoadError:
        return "refused"
    except BaseException as error:  # which of them it is, is the question
        return f"{type(error).__name__}: {error}"[:200]
    same = all(map(np.array_equal, results(library), expected))
    return "right" if same else "wrong results"


def main(path: str) -> None:
    """What came of each change, a line each, written before the next is tried."""
    data = Path(path).read_bytes()
    expected = results(nets.load(path))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "changed.so")
        for number, (kind, changed, may_load) in enumerate(changes(data)):
            place.write_bytes(changed)
            found = outcome(place, expected)
            fits = found == ("right" if may_load else "refused")
            print(f"{kind}\t{'as it should' if fits else f'{number}: {found}'}", flush=True)
    print("end", flush=True)


# ------------------------------------------------------------------------------- tests


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "__version__", f"VERSION{'.' * 900}")  # room for other manifests
        return make(tmp_path_factory.mktemp("damaged") / "whole")


@pytest.mark.long
def test_no_change_of_a_file_kills_or_raises_what_is_not_ours(library: Path) -> None:
    module = "tests.backend.library.test_damaged_libraries"
    program = f"import sys; from {module} import main; main(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", program, str(library)], capture_output=True, text=True, cwd=ROOT
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, (lines[-1:], done.stderr)
    assert lines.pop() == "end"
    found = Counter(tuple(line.split("\t")) for line in lines)
    assert {told for _, told in found} == {"as it should"}, found
    assert sum(found.values()) > 350
    assert found["forged", "as it should"] == 100


def test_no_manifest_raises_what_is_not_ours(library: Path) -> None:
    text = text_of(library.read_bytes())
    manifest = json.loads(text)
    wrong = list(edits(manifest))
    refused = 0
    for number in np.random.default_rng(SEED).permutation(len(wrong))[:300]:
        try:
            from_json(json.dumps(wrong[number]))
        except LoadError:
            refused += 1
    assert refused > 285  # others have names and workspaces that only the code has not


@pytest.mark.parametrize("target", ["x86_64-macos", "aarch64-linux-gnu", "of a later nets"])
def test_a_library_for_another_system_is_refused(
    target: str, library: Path, tmp_path: Path
) -> None:
    """By what its manifest says, where its file looks like one of this system."""
    data = library.read_bytes()
    manifest = json.loads(text_of(data))
    assert target != manifest["target"] == str(native_target())
    place = tmp_path / "other.so"
    other = manifest | {"target": target, "nets_version": "VERSION"}
    place.write_bytes(forged(data, other))
    with pytest.raises(LoadError, match=f"it is a library for {target}; this is {native_target()}"):
        nets.load(place)
