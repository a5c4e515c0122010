"""Engines of WebAssembly, which call the functions of a module, and give what these give."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nets.backend.library.manifest import Library, LibraryFunction
from nets.ir.types import DTYPES
from nets.ops.definition.registry import Array

Found = list[tuple[str, int, list[Array]]]
"""Of each call the name of the function, its status, and its results."""

_PAGE = 1 << 16

_SCRIPT = """\
import fs from "fs";
const [file, plan] = process.argv.slice(2);
const code = new WebAssembly.Module(fs.readFileSync(file));
const {memory, __heap_base, ...functions} = new WebAssembly.Instance(code, {}).exports;
const {init, state, calls} = JSON.parse(fs.readFileSync(plan));
let end = __heap_base.value;
const place = (size) => {
  const start = (end + 63) & ~63;
  end = start + Math.max(size, 1);
  const missing = end - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / 65536));
  return start;
};
const held = place(state);
if (init) functions[init](held);
const kept = end;
for (const {name, given, sizes, workspace, hasState} of calls) {
  end = kept;
  const inputs = given.map((hex) => {
    const bytes = Buffer.from(hex, "hex"), start = place(bytes.length);
    new Uint8Array(memory.buffer).set(bytes, start);
    return start;
  });
  const outputs = sizes.map(place), first = hasState ? [held] : [];
  const status = functions[name](...first, ...inputs, ...outputs, place(workspace));
  const found = outputs.map((start, i) =>
    Buffer.from(memory.buffer, start, sizes[i]).toString("hex"));
  console.log(JSON.stringify([status, found]));
}
"""


class Node:
    """Node.js, and with it the engine of Chromium."""

    def __init__(self) -> None:
        if shutil.which("node") is None:
            pytest.skip("no node")

    def results(
        self, file: Path, library: Library, arrays: dict[str, Sequence[Array]], steps: int
    ) -> Found:
        functions = _calls(library, steps)
        calls = [
            {
                "name": f"{library.name}_{function.name}",
                "given": [array.tobytes().hex() for array in arrays[function.name]],
                "sizes": _sizes(function),
                "workspace": function.workspace_bytes,
                "hasState": bool(function.state),
            }
            for function in functions
        ]
        init = f"{library.name}_init_state" if library.state else ""
        script, plan = file.with_name("run.mjs"), file.with_name("plan.json")
        script.write_text(_SCRIPT)
        plan.write_text(json.dumps({"init": init, "state": library.state_bytes, "calls": calls}))
        command = ["node", script.name, file.name, plan.name]
        done = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said = [json.loads(line) for line in done.stdout.splitlines()]
        return [
            (function.name, status, _arrays(function, map(bytes.fromhex, found)))
            for function, (status, found) in zip(functions, said, strict=True)
        ]


class Wasmtime:
    """The engine of the package ``wasmtime``."""

    def __init__(self) -> None:
        self.wasmtime: Any = pytest.importorskip("wasmtime", reason="no wasmtime")

    def results(
        self, file: Path, library: Library, arrays: dict[str, Sequence[Array]], steps: int
    ) -> Found:
        engine = self.wasmtime.Engine()
        self.store = self.wasmtime.Store(engine)
        code = self.wasmtime.Module.from_file(engine, str(file))
        self.exports = self.wasmtime.Instance(self.store, code, []).exports(self.store)
        self.end = self.exports["__heap_base"].value(self.store)
        state = self._place(library.state_bytes)
        if library.state:
            self.exports[f"{library.name}_init_state"](self.store, state)
        found, kept = [], self.end
        for function in _calls(library, steps):
            self.end = kept
            inputs = [self._given(array) for array in arrays[function.name]]
            outputs = [self._place(size) for size in _sizes(function)]
            places = [*[state] * bool(function.state), *inputs, *outputs]
            call = self.exports[f"{library.name}_{function.name}"]
            status = call(self.store, *places, self._place(function.workspace_bytes))
            memory = self.exports["memory"]
            results = [
                bytes(memory.read(self.store, place, place + size))
                for place, size in zip(outputs, _sizes(function), strict=True)
            ]
            found.append((function.name, status, _arrays(function, results)))
        return found

    def _given(self, array: Array) -> int:
        place = self._place(array.nbytes)
        self.exports["memory"].write(self.store, array.tobytes(), place)
        return place

    def _place(self, size: int) -> int:
        start = -(-self.end // 64) * 64
        self.end = start + max(size, 1)
        memory = self.exports["memory"]
        missing = self.end - memory.data_len(self.store)
        if missing > 0:
            memory.grow(self.store, -(-missing // _PAGE))
        return int(start)


def _calls(library: Library, steps: int) -> list[LibraryFunction]:
    return [f for f in library.functions for _ in range(steps if f.state else 1)]


def _sizes(function: LibraryFunction) -> list[int]:
    return [
        int(np.prod(result.shape, dtype=int)) * DTYPES[result.dtype].itemsize
        for result in function.results
    ]


def _arrays(function: LibraryFunction, results: Iterable[bytes]) -> list[Array]:
    return [
        np.frombuffer(data, DTYPES[result.dtype].numpy).reshape(result.shape)
        for result, data in zip(function.results, results, strict=True)
    ]
