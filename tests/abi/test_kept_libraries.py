"""Libraries of every version load, and give the bits that were recorded when they were made.

Each is called twice: by ``nets.load``, and as docs/abi.md says, with nothing of nets.
"""

from __future__ import annotations

import ctypes
import json
import platform
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets import errors
from nets.backend.process.callable import cpu_level
from nets.errors import ArgumentError
from tests.abi.programs import PROGRAMS
from tests.abi.record import decoded, encoded

HERE = Path(__file__).parent
KEPT = sorted(path.relative_to(HERE).as_posix() for path in HERE.glob("*/*.so"))
MARK = b"\x7fnets-library\0"
MOST_BYTES = 400_000

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or cpu_level() < 3, reason="the libraries are for x86-64-v3"
)


@pytest.fixture(params=KEPT)
def kept(request: pytest.FixtureRequest) -> Path:
    return HERE / str(request.param)


def record_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    return found


def test_each_version_has_each_program_and_all_are_small() -> None:
    versions = {path.split("/")[0] for path in KEPT}
    assert versions >= {"revision1", "revision2", "revision3"}
    assert sorted(f"{version}/{name}.so" for version in versions for name in PROGRAMS) == KEPT
    assert sum(path.stat().st_size for path in HERE.rglob("*.*") if path.is_file()) < MOST_BYTES


def test_python_gets_the_recorded_bits(kept: Path) -> None:
    library, record = nets.load(kept), record_of(kept)
    assert library.description.abi == 1
    for call in record["calls"]:
        assert library.state.save().hex() == call["state"]
        function, args = getattr(library, call["function"]), decoded(call["args"])
        if "error" in call:
            with pytest.raises(getattr(errors, call["error"])):
                function(*args, **decoded(call["kwargs"]))
        else:
            found = function(*args, **decoded(call["kwargs"]))
            assert as_json(encoded(found)) == call["results"]
    assert library.state.save().hex() == record["state"]


def as_json(nest: Any) -> Any:
    return json.loads(json.dumps(nest))


def test_saved_states_are_read(kept: Path) -> None:
    library, record = nets.load(kept), record_of(kept)
    for call in record["calls"]:
        library.state.load(bytes.fromhex(call["state"]))
        assert library.state.save().hex() == call["state"]
        if "results" in call:
            function = getattr(library, call["function"])
            found = function(*decoded(call["args"]), **decoded(call["kwargs"]))
            assert as_json(encoded(found)) == call["results"]
    if library.state:
        with pytest.raises(ArgumentError, match="bytes"):
            library.state.load(b"")


# ------------------------------------------------------------------------ by the document


class Flat:
    """A library as a C program has it, by what its manifest says."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        start = data.index(MARK) + len(MARK)
        text = data[start : data.index(b"\0", start)]
        self.manifest = json.loads(text)
        self.code = ctypes.CDLL(str(path))
        self.name = self.manifest["name"]
        self.functions = {told["name"]: told for told in self.manifest["functions"]}
        describe = self("describe")
        describe.restype = ctypes.c_char_p
        assert describe() == text
        mark, place, size, _ = struct.unpack("<16sQQ32s", data[-64:])
        assert (mark, data[place : place + size]) == (b"\x7fnets-sealed-1\0\0", text)

    def __call__(self, word: str) -> Any:
        return getattr(self.code, f"{self.name}_{word}")

    def size(self, word: str) -> int:
        function = self(word)
        function.restype = ctypes.c_size_t
        return int(function())

    def call(self, told: Any, args: Any, kwargs: Any, state: Any) -> tuple[int, list[Any]]:
        """The status of a function and its results, flat."""
        found: dict[int, Any] = {}
        for (_, tree), value in zip(told["positional"], args, strict=True):
            found.update(leaves(tree, value))
        for name, tree in told["keywords"]:
            found.update(leaves(tree, kwargs[name]))
        inputs = [np.ascontiguousarray(found[i]) for i in range(len(told["arguments"]))]
        outputs = [np.empty(form["shape"], dtype_of(form)) for form in told["results"]]
        workspace = aligned(self.size(f"{told['name']}_workspace_bytes"))
        buffers = [*([state] if told["state"] else []), *inputs, *outputs, workspace]
        pointers = [ctypes.c_void_p(buffer.ctypes.data) for buffer in buffers]
        return self(told["name"])(*pointers), outputs


def dtype_of(form: Any) -> str:
    return str({"f": "float", "i": "int", "u": "uint"}.get(form["dtype"][0], "")) + (
        "bool" if form["dtype"] == "bool" else form["dtype"][1:]
    )


def aligned(size: int) -> Any:
    """Memory at a multiple of 64 bytes."""
    memory = np.zeros(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size]


def leaves(tree: Any, value: Any) -> Iterator[tuple[int, Any]]:
    """(number, array) pairs of a nest."""
    if isinstance(tree, int):
        yield tree, value
    elif tree[0] != "none":
        for key, child in tree[1]:
            yield from leaves(child, value[key])


@pytest.mark.parametrize("program", KEPT)
def test_c_gets_the_recorded_bits(program: str, tmp_path: Path) -> None:
    kept = HERE / program
    library = Flat(Path(shutil.copy(kept, tmp_path / "library.so")))
    assert library("abi_version")() == 1
    state = aligned(library.manifest["state_bytes"])
    if library.manifest["state"]:
        assert library.size("state_bytes") == len(state)
        assert library("init_state")(ctypes.c_void_p(state.ctypes.data)) == 0
    for call in record_of(kept)["calls"]:
        assert state.tobytes().hex() == call["state"]
        told = library.functions[call["function"]]
        args, kwargs = decoded(call["args"]), decoded(call["kwargs"])
        status, outputs = library.call(told, args, kwargs, state)
        if "error" in call:
            assert status > 0
            assert call["error"] in [error for code, _, error in told["checks"] if code == status]
        else:
            assert status == 0
            expected = dict(leaves(told["tree"], decoded(call["results"])))
            assert all(x.tobytes() == expected[i].tobytes() for i, x in enumerate(outputs))
    message = library("status_message")
    message.restype = ctypes.c_char_p
    assert message(-1) == b"a pointer is null"
    assert message(0) == b"success"
    assert message(12345) == b"unknown status"
