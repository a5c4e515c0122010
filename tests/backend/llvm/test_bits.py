"""One program, one set of bits (numerics.md, 6): whatever the threads, the width of the vectors,
the passes, the addresses of the arguments, and however often it is compiled or called."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nets.backend.llvm.emit import workspace_bytes
from nets.backend.process.callable import NativeFunction
from nets.compiler.compile import ENTRY, Compilation
from nets.ir.core import Function
from nets.machine.machine import Machine
from nets.machine.table import ROWS
from nets.ops.definition.registry import Array
from tests.backend.corpus import CORPUS
from tests.machines import on_this_cpu
from tests.property.compiled import Executable, Way, signature_of
from tests.property.hunt import sharing
from tests.property.results import assert_native, assert_same

NAMES = tuple(CORPUS)


@functools.cache
def program(name: str) -> Function:
    return CORPUS[name].program()


@functools.cache
def native(name: str) -> Executable:
    """One thread, the vectors of this CPU, the usual passes."""
    return Way().compile(program(name))


@functools.cache
def for_threads(name: str) -> tuple[Compilation, bytes]:
    compilation = Way(threads=2).compilation(program(name))
    return compilation, compilation.object_code(ENTRY)


@functools.cache
def arrays(name: str) -> list[Array]:
    return CORPUS[name].arrays()


@functools.cache
def expected(name: str) -> list[Array]:
    return native(name)(arrays(name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.sampled(3)
def test_the_bits_are_those_of_the_order(name: str) -> None:
    """The reference, bit for bit where sums and products are all that rounds otherwise."""
    assert_native(program(name), arrays(name), expected(name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.sampled(3)
def test_threads(name: str) -> None:
    """Code for several threads is the same for any number of them."""
    compilation, code = for_threads(name)
    signature = signature_of(compilation)
    for threads in (2, 3, 8):
        size = workspace_bytes(compilation.loops, compilation.machine, threads)
        signature = replace(signature, threads=threads, workspace_bytes=size)
        shared = NativeFunction(code, ENTRY, signature)
        assert_same(expected(name), shared(arrays(name)), (name, threads))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.sampled(5)
def test_narrow_vectors_and_every_loop_shared(name: str) -> None:
    with sharing(everything=True):
        other = Way(threads=3, vector_bytes=16).compile(program(name))
    assert_same(expected(name), other(arrays(name)), name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.sampled(7)
def test_wide_vectors_and_no_passes(name: str) -> None:
    other = Way("none", vector_bytes=64).compile(program(name))
    assert_same(expected(name), other(arrays(name)), name)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rows_of_the_table_of_machines(row: Machine) -> None:
    """Each row decides otherwise, and none otherwise on a bit."""
    name = NAMES[3 * ROWS.index(row) % len(NAMES)]
    compilation = Way(threads=2).compilation(program(name))
    compilation.machine = on_this_cpu(row)
    other = NativeFunction(compilation.object_code(ENTRY), ENTRY, signature_of(compilation))
    assert_same(expected(name), other(arrays(name)), (name, row.family))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.sampled(5)
def test_addresses_of_the_arguments(name: str) -> None:
    for shift in (1, 3, 8):
        moved = [at_shift(array, shift) for array in arrays(name)]
        assert_same(expected(name), native(name)(moved), f"{name}, {shift} elements further")


def at_shift(array: Array, elements: int) -> Array:
    """A copy that starts that many elements behind an address divisible by 64."""
    memory = np.zeros(array.nbytes + 64 + elements * array.itemsize, np.uint8)
    start = -memory.ctypes.data % 64 + elements * array.itemsize
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


@pytest.mark.parametrize("name", ["perceptron", "sums", "statistics", "softmax"])
def test_a_hundred_calls(name: str) -> None:
    compilation, code = for_threads(name)
    call = NativeFunction(code, ENTRY, signature_of(compilation))
    for _ in range(100):
        assert_same(expected(name), call(arrays(name)), name)


# ------------------------------------------------------------------------------ the code


CODE = ("layer norm, gradient", "transposed products", "statistics")


def digest() -> str:
    """A hash of LLVM IR and object code of some programs, compiled afresh."""
    found = hashlib.sha256()
    for name in CODE:
        compilation = Way(threads=2).compilation(CORPUS[name].program())
        found.update(compilation.module(ENTRY).encode())
        found.update(compilation.object_code(ENTRY))
    return found.hexdigest()


@functools.cache
def digest_here() -> str:
    return digest()


def test_code_is_the_same_bytes_again() -> None:
    assert digest() == digest_here()


@pytest.mark.long
def test_code_does_not_depend_on_the_hash_seed() -> None:
    script = "from tests.backend.llvm import test_bits; print(test_bits.digest())"
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"  # another than here
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": seed},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == digest_here()
