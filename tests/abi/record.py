"""Makes the libraries that later versions must load: ``python -m tests.abi.record revision3``.

Run it before a release, and whenever the manifest gets a new revision. It writes a folder of this
name beside this file: libraries, and the calls of them, with the bits of arguments, results and
states, as JSON. What is there already is never written again: the libraries of a version stay what
they were.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import nets
from nets.errors import NetsError
from tests.abi.programs import PROGRAMS

HERE = Path(__file__).parent
CPU = "x86-64-v3"


def main(label: str, threads: str = "4") -> None:
    folder = HERE / label
    folder.mkdir()
    for name, make in PROGRAMS.items():
        program = make()
        options: dict[str, Any] = {"threads": int(threads)} if int(threads) else {}
        nets.export(folder / name, formats=("so",), cpu=CPU, **options, **program.functions)
        library = nets.load(folder / f"{name}.so")
        calls = []
        for function, args, kwargs in program.calls:
            before = library.state.save()
            told = {"function": function, "args": encoded(args), "kwargs": encoded(kwargs)}
            calls.append(
                {**told, "state": before.hex(), **outcome(library, function, args, kwargs)}
            )
        record = {"nets": nets.__version__, "calls": calls, "state": library.state.save().hex()}
        (folder / f"{name}.json").write_text(json.dumps(record, indent=0) + "\n")


def outcome(library: Any, function: str, args: Any, kwargs: Any) -> dict[str, Any]:
    """What a call gives: the results, or the name of the error."""
    try:
        return {"results": encoded(getattr(library, function)(*args, **kwargs))}
    except NetsError as error:
        return {"error": type(error).__name__}


def encoded(nest: Any) -> Any:
    """A nest of arrays as JSON."""
    if nest is None:
        return ["none"]
    if isinstance(nest, dict):
        return ["dict", [[key, encoded(value)] for key, value in nest.items()]]
    if isinstance(nest, list | tuple):
        return [type(nest).__name__, [encoded(value) for value in nest]]
    array = np.asarray(nest)
    return ["array", array.dtype.name, list(array.shape), array.tobytes().hex()]


def decoded(nest: Any) -> Any:
    """The nest of arrays that ``encoded`` was given."""
    kind, *rest = nest
    if kind == "array":
        dtype, shape, data = rest
        return np.frombuffer(bytes.fromhex(data), dtype).reshape(shape)
    if kind == "dict":
        return {key: decoded(value) for key, value in rest[0]}
    if kind == "none":
        return None
    items = [decoded(value) for value in rest[0]]
    return items if kind == "list" else tuple(items)


if __name__ == "__main__":
    main(*sys.argv[1:])
