"""One program in all forms, the same bits: ``python -m tests.trust.ways 0 150``.

Graphs of nnsmith (see ``graphs``) run eagerly, traced, traced again from the object cache,
exported and loaded, for two kinds of CPU, and from a program in C that reads its arguments from a
file. Eager results are held to the reference, all others are equal bit for bit.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets import config
from nets.ops.definition.registry import Array
from tests.property.results import Reference, assert_same
from tests.trust.graphs import Graph

NODES = 8

CALLER = """
#include "lib.h"
#include <stdio.h>
#include <stdlib.h>

static void *memory_of(size_t bytes) {{
    return aligned_alloc(64, (bytes + 64) / 64 * 64);
}}

int main(void) {{
    static const size_t sizes[] = {{{sizes}}};
    void *buffers[{count}];
    FILE *in = fopen("in", "rb"), *out = fopen("out", "wb");
    if (in == NULL || out == NULL) return 1;
    for (int i = 0; i < {count}; i++) {{
        buffers[i] = memory_of(sizes[i]);
        if (i < {inputs} && fread(buffers[i], 1, sizes[i], in) != sizes[i]) return 2;
    }}
    void *workspace = lib_f_workspace_bytes() ? memory_of(lib_f_workspace_bytes()) : NULL;
    if (lib_f({arguments}workspace) != 0) return 3;
    for (int i = {inputs}; i < {count}; i++) fwrite(buffers[i], 1, sizes[i], out);
    return fclose(out);
}}
"""


def from_c(folder: Path, arrays: list[Array], results: list[Array]) -> list[Array]:
    """The results of a program in C that calls the library in the folder."""
    buffers = [*arrays, *results]
    text = CALLER.format(
        sizes=", ".join(str(x.nbytes) for x in buffers),
        count=len(buffers),
        inputs=len(arrays),
        arguments="".join(f"buffers[{i}], " for i in range(len(buffers))),
    )
    (folder / "main.c").write_text(text)
    (folder / "in").write_bytes(b"".join(np.ascontiguousarray(x).tobytes() for x in arrays))
    command = ["cc", "-std=c11", "-O1", "main.c", "lib.a", "-lpthread", "-o", "main"]
    subprocess.run(command, cwd=folder, check=True)
    subprocess.run(["./main"], cwd=folder, check=True)
    data = (folder / "out").read_bytes()
    found = []
    for like in results:
        found.append(np.frombuffer(data[: like.nbytes], like.dtype).reshape(like.shape))
        data = data[like.nbytes :]
    return found


def numpy_of(found: Any) -> list[Array]:
    leaves = found if isinstance(found, (tuple, list)) else (found,)
    return [np.asarray(x.numpy() if isinstance(x, nets.Tensor) else x) for x in leaves]


def check(seed: int, in_c: bool) -> None:
    graph = Graph(seed, NODES)
    arrays = graph.arrays
    tensors = [nets.Tensor(array) for array in arrays]
    lowered = nets.trace(graph.function).lower(*tensors)
    Reference(lowered.compilation.function, arrays).assert_matches(
        numpy_of(graph.function(*tensors))
    )
    expected = numpy_of(nets.trace(graph.function)(*tensors))
    with tempfile.TemporaryDirectory() as path, pytest.MonkeyPatch.context() as patch:
        folder = Path(path)
        patch.setenv("NETS_CACHE_DIR", str(folder / "cache"))
        for _ in range(2):  # made, then found
            assert_same(expected, numpy_of(nets.trace(graph.function)(*tensors)))
        for cpu in ("x86-64-v3", None):
            nets.export(folder / "lib", cpu=cpu, f=lowered)
            found = nets.load(folder / "lib.so").f(*arrays)
            assert_same(expected, numpy_of(found))
        if in_c and all(x.nbytes for x in (*arrays, *expected)):
            assert_same(expected, from_c(folder, arrays, expected))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("end", type=int)
    wanted = parser.parse_args()
    assert config.CACHE.get()
    wrong, in_c = [], 0
    for seed in range(wanted.first, wanted.end):
        print(f"\r{seed}", end="", file=sys.stderr, flush=True)
        in_c += seed % 5 == 0
        try:
            with np.errstate(all="ignore"):
                check(seed, in_c=seed % 5 == 0)
        except Exception:
            wrong.append(seed)
            print(f"\nseed {seed}\n{traceback.format_exc(limit=-4)}", flush=True)
    print(
        f"\n{wanted.end - wanted.first} graphs in six forms, {in_c} in C; wrong: {wrong or 'none'}"
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
