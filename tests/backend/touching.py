"""Calls native code with every buffer next to a page that must not be touched.

``python -m tests.backend.touching lengths matrices`` (parts of ``main``) names each program before
it runs it, so that when the process dies, the last line says what killed it. Each buffer ends where
a forbidden page begins, then begins where one ends; inputs are in read-only pages. Outputs must
come out the same both times, though they started out different: every element was written.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from nets.ir.core import Function
from nets.ir.types import bool_, f32, f64, i8, i64
from nets.ops.definition.registry import Array
from tests.backend.corpus import CORPUS
from tests.backend.guarded import Guarded
from tests.backend.loops import at, buffer, empty_outputs, loop_function
from tests.backend.native import Native, Pool, backward_pool
from tests.passes.lowered import Program, tensor
from tests.property.compiled import Way
from tests.property.hunt import sharing
from tests.property.programs import arguments
from tests.property.results import assert_same

Case = tuple[str, Function, Sequence[Array]]

LENGTHS = (
    *range(10),
    *(15, 16, 17, 23, 25, 31, 32, 33, 35, 45, 47, 49, 61, 63, 64, 65, 67),
)
"""Around whole vectors of every dtype, and such that each is met with every set of operations."""
ROWS_AND_COLUMNS = ((1, 1), (1, 17), (3, 8), (5, 67), (9, 15), (16, 31), (17, 1), (33, 5))
FAR = (2**62, -(2**62), 2**63 - 1, -(2**63))


# -------------------------------------------------------------------------------- programs


def of_length(n: int) -> Function:
    """Vectors of several dtypes: read forwards and backwards, moved, and reduced."""
    p = Program(tensor(n), tensor(n, dtype=f64), tensor(n, dtype=i8), tensor(n, dtype=bool_))
    b, (x, wide, narrow, truth) = p.b, p.arguments
    results = [b.emit("flip", x, axes=(0,)), b.sum(x, (0,)), b.mul(wide, wide)]
    results += [b.select(truth, narrow, b.add(narrow, narrow)), b.emit("bitwise_invert", truth)]
    results += [b.emit("reduce_any", truth, axes=(0,))]
    if n % 4 == 1:
        results += [b.emit("exp", x), b.cast(narrow, f64), b.emit("argmax", wide, axis=0)]
        results += [b.emit("slice", wide, starts=(n // 3,), stops=(n,), steps=(2,))]
    if n % 4 == 3:
        results += [b.emit("concatenate", narrow, narrow, axis=0)]
        results += [b.emit("pad", truth, b.constant(True, bool_), low=(1,), high=(2,))]
        results += [b.emit("reduce_max", narrow, axes=(0,)), b.sum(wide, (0,))]
    return p.done(*results)


def of_matrix(rows: int, columns: int) -> Function:
    """A matrix moved, reduced along each axis, multiplied, and combined with rows and columns."""
    p = Program(tensor(rows, columns), tensor(columns, rows, dtype=f64), tensor(columns))
    b, (x, y, bias) = p.b, p.arguments
    shape = (rows, columns)
    shifted = b.add(x, b.broadcast(bias, shape, (1,)))
    share = b.div(shifted, b.broadcast(b.sum(b.emit("exp", shifted), (1,)), shape, (0,)))
    results = [share, b.transpose(x, (1, 0)), b.sum(x, (0,)), b.emit("argmin", x, axis=0)]
    results += [b.emit("matmul", x, b.cast(y, f32)), b.emit("matmul", y, b.transpose(y, (1, 0)))]
    results += [
        b.sum(y, (0, 1)),
        b.emit("reduce_max", y, axes=(1,)),
        b.emit("flip", y, axes=(0, 1)),
    ]
    results += [b.emit("slice", x, starts=(0, 0), stops=shape, steps=(2, 3))]
    return p.done(*results)


def of_indices(axis: int) -> Function:
    """Gathers and scatters of rows or columns at given indices."""
    p = Program(tensor(5, 7), tensor(9, dtype=i64), tensor(*((9, 7) if axis == 0 else (5, 9))))
    b, (x, indices, updates) = p.b, p.arguments
    picked = b.emit("gather", x, indices, axis=axis)
    added = b.emit("scatter_add", x, indices, updates, axis=axis)
    return p.done(b.mul(picked, updates), added, b.sum(picked, (0, 1)))


# ------------------------------------------------------------------------------------ cases


def lengths() -> Iterator[Case]:
    for n in LENGTHS:
        yield _case(f"length {n}", of_length(n))


def matrices() -> Iterator[Case]:
    for rows, columns in ROWS_AND_COLUMNS:
        yield _case(f"matrix of {rows} x {columns}", of_matrix(rows, columns))


def corpus() -> Iterator[Case]:
    for name, entry in CORPUS.items():
        yield name, entry.program(), entry.arrays()


def _case(name: str, function: Function) -> Case:
    return name, function, arguments(function, np.random.default_rng(0), special=False)


# -------------------------------------------------------------------------------- the calls


def call(native: Native, inputs: Sequence[Array], pool: Pool | None, at_end: bool) -> list[Array]:
    """The outputs of a call in guarded memory; AssertionError unless the status is 0."""
    status, outputs = call_for_status(native, inputs, pool, at_end)
    assert status == 0, status
    return outputs


def call_for_status(
    native: Native, inputs: Sequence[Array], pool: Pool | None, at_end: bool
) -> tuple[int, list[Array]]:
    pattern = np.uint8(0x0E if at_end else 0xA5)
    results = empty_outputs(native.function)
    for result in results:
        result.reshape(-1).view(np.uint8).fill(pattern)
    memory = np.full(native.workspace_bytes(pool), pattern, np.uint8)
    read = [Guarded(array, at_end=at_end).read_only() for array in inputs]
    written = [Guarded(array, at_end=at_end) for array in results]
    workspace = Guarded(memory, at_end=at_end)
    assert workspace.address % 64 == 0
    addresses = [guarded.address for guarded in (*read, *written)]
    status = native.call(addresses, pool, workspace.address)
    return status, [guarded.array.copy() for guarded in written]


def compiled(function: Function, way: Way) -> Native:
    return Native(way.compilation(function).loops, way.machine)


def touch(cases: Iterator[Case]) -> None:
    """Run the cases; every third one with every loop shared among threads as well."""
    for number, (name, function, inputs) in enumerate(cases):
        print(name, flush=True)
        serial = compiled(function, Way())
        first = call(serial, inputs, None, at_end=True)
        assert_same(first, call(serial, inputs, None, at_end=False), name)
        if number % 3:
            continue
        with sharing(everything=True):
            shared = compiled(function, Way(threads=3))
        for at_end in (True, False):
            assert_same(first, call(shared, inputs, backward_pool(3), at_end), name)


def touch_strided() -> None:
    """Elements a few apart, on vectors of any width, with every number of them at the end."""
    for number, (dtype, step, phase) in enumerate(itertools.product((f32, f64), (2, 3, 4), (0, 1))):
        sizes = [(count - 1) * step + 1 + phase for count in (1, 2, 4, 5, 8, 17)]
        p = Program(*(tensor(3, size, dtype=dtype) for size in sizes))
        cuts = [
            p.b.emit("slice", x, starts=(0, phase), stops=(3, size), steps=(1, step))
            for x, size in zip(p.arguments, sizes, strict=True)
        ]
        name, function, inputs = _case(f"{dtype}, every {step} from {phase} on", p.done(*cuts))
        print(name, flush=True)
        for width in ((16, 64), (32,), (64,), (16, 32))[number % 4]:
            native = compiled(function, Way(vector_bytes=width))
            for at_end in (True, False):
                found = call(native, inputs, None, at_end)
                assert_same([x[:, phase::step] for x in inputs], found, name)


def touch_far_indices() -> None:
    """Indices out of range must be told of, and nothing read or written there."""
    for axis, size in ((0, 5), (1, 7)):
        function = of_indices(axis)
        with sharing(everything=True):
            shared = compiled(function, Way(threads=3))
        ways = ((compiled(function, Way()), None), (shared, backward_pool(3)))
        for native, pool in (*ways, (compiled(function, Way("none")), None)):
            inputs = arguments(function, np.random.default_rng(0), special=False)
            inside = np.arange(-size, 9 - size, dtype=np.int64)
            inputs[1] = inside
            assert call_for_status(native, inputs, pool, at_end=True)[0] == 0
            for far in (*FAR, size, -size - 1):
                for place in (0, 4, 8):
                    print(f"axis {axis}: index {far} at {place}", flush=True)
                    inputs[1] = np.where(np.arange(9) == place, far, inside)
                    for at_end in (True, False):
                        assert call_for_status(native, inputs, pool, at_end)[0] > 0


def touch_nothing_to_pick_from() -> None:
    """Any index into an empty axis is out of range."""
    p = Program(tensor(0, 3), tensor(2, dtype=i64), tensor(2, 3))
    x, indices, updates = p.arguments
    gather = p.b.emit("gather", x, indices, axis=0)
    scatter = p.b.emit("scatter_add", x, indices, updates, axis=0)
    function = p.done(gather, scatter)
    inputs = arguments(function, np.random.default_rng(0), special=False)
    print("indices of an empty axis", flush=True)
    for at_end in (True, False):
        assert call_for_status(compiled(function, Way()), inputs, None, at_end)[0] > 0


def touch_beyond() -> None:
    """Must die: reads one element behind the end."""
    function, s = loop_function([buffer(f32, 7)], [buffer(f32, 1)])
    inputs, out = function.arguments
    s.store(s.load(inputs, at(s.index(7))), out, at(0))
    s.emit("return")
    print("one element behind the end", flush=True)
    call(Native(function), [np.zeros(7, np.float32)], None, at_end=True)


def main(parts: Sequence[str]) -> None:
    for part in parts:
        run(part)
    print("done", flush=True)


def run(part: str) -> None:
    match part:
        case "lengths":
            touch(lengths())
        case "matrices":
            touch(matrices())
        case "corpus":
            touch(corpus())
        case "strided":
            touch_strided()
        case "indices":
            touch_far_indices()
            touch_nothing_to_pick_from()
        case "beyond":
            touch_beyond()
        case _:
            sys.exit(f"there is no part {part}")


if __name__ == "__main__":
    main(sys.argv[1:])
