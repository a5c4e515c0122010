"""Layout of a call's workspace: the arena, then a slice for each thread.

The arena is what plan_memory laid out. Small scratch buffers live on the stack; large ones lie in
the slice, and so do the panels that GEMM kernels pack. The nests at the top of a function run one
after the other, so their scratch buffers share one place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.gemm_call import gemm_plan
from nets.backend.llvm.target import Target
from nets.errors import CompileError
from nets.ir.core import Function, Operation, Value
from nets.ir.types import BufferType

STACK_BYTES: Final = 16 * 1024
"""Scratch memory that one nest may take from the stack."""

_LINE: Final = 64


def aligned(size: int) -> int:
    """The size rounded up to whole cache lines."""
    return -(-size // _LINE) * _LINE


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie in the workspace, in bytes; thread t's slice is at ``arena + t · slice``.

    ``scratch`` holds the places of large scratch buffers in a slice, ``panels`` that of the GEMM
    kernels' panels.
    """

    arena: int
    slice: int
    scratch: dict[Value, int]
    panels: int

    @staticmethod
    def of(function: Function, target: Target) -> Layout:
        """CompileError where plan_memory has not run."""
        scratch, end = _scratch_places(function)
        gemms = [op for op in function.walk() if op.name == "loop.gemm"]
        panels = max((aligned(gemm_plan(op, target).workspace_bytes) for op in gemms), default=0)
        return Layout(_arena_bytes(function), end + panels, scratch, end)


def workspace_bytes(function: Function, target: Target, threads: int) -> int:
    """Size of the workspace of a call that may use that many threads."""
    layout = Layout.of(function, target)
    return layout.arena + threads * layout.slice


def _arena_bytes(function: Function) -> int:
    end = 0
    for op in function.walk():
        if op.name == "loop.alloc":
            offset = op.attributes["offset"]
            if offset < 0:
                raise CompileError("a buffer has no place in the arena; run plan_memory first")
            end = max(end, offset + _nbytes(op.result))
    return aligned(end)


def _scratch_places(function: Function) -> tuple[dict[Value, int], int]:
    """Places of the large scratch buffers in a slice, and where they end."""
    offsets: dict[Value, int] = {}
    top = _place(offsets, [op for op in function.body if op.name == "loop.scratch"], 0)
    end = top
    for nest in function.body:
        inner = [op for op in nest.walk_regions() if op.name == "loop.scratch"]
        end = max(end, _place(offsets, inner, top))
    return offsets, end


def _place(offsets: dict[Value, int], ops: Iterable[Operation], start: int) -> int:
    """Put one nest's scratch buffers behind ``start`` if they are too large for the stack."""
    sizes = [(op.result, aligned(_nbytes(op.result))) for op in ops]
    if sum(size for _, size in sizes) <= STACK_BYTES:
        return start
    for value, size in sizes:
        offsets[value] = start
        start += size
    return start


def _nbytes(buffer: Value) -> int:
    assert isinstance(buffer.type, BufferType)
    return buffer.type.nbytes
