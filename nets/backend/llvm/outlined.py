"""Outlined loops, which become functions of their own, and what these need from around them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nets.backend.llvm.spelling import register
from nets.ir.core import Operation, Value
from nets.ir.sizes import Dim
from nets.ir.types import BufferType


@dataclass(frozen=True, slots=True)
class OutlinedLoops:
    """Loops, or a kernel, that are written as a function called ``symbol``.

    Of the values from outside, ``passed`` come in the structure the function's argument points
    to; ``constants`` are written again. With ``ranged`` the function gets a range of the
    iterations of its one parallel loop, or of the panels of its kernel.
    """

    ops: tuple[Operation, ...]
    symbol: str
    passed: tuple[Value, ...]
    constants: dict[Value, str]
    ranged: bool

    @property
    def structure(self) -> str:
        """The structure's type: the address of the call's context, then the values."""
        return "{ " + ", ".join(["ptr", *(register(value.type) for value in self.passed)]) + " }"


def size_of(op: Operation) -> int:
    """Operations in the regions of this one, a measure of the code it becomes."""
    return sum(1 for _ in op.walk_regions()) if op.regions else 0


def outer_values(ops: Iterable[Operation]) -> list[Value]:
    """What the operations and their regions use but do not make, in order of use.

    Of the buffers, only scratch memory and slices: all others are found from the call's context.
    With an index vector goes the scalar it starts at, which addresses are made of.
    """
    made: set[Value] = set()
    used: dict[Value, None] = {}
    for outer in ops:
        for op in (outer, *outer.walk_regions()):
            for operand in op.operands:
                used[_needed(operand)] = None
                if (start := start_of(operand)) is not None:
                    used[start] = None
            made.update(op.results)
            for region in op.regions:
                made.update(region.block.arguments)
    return [value for value in used if value not in made and not _is_shared(value)]


def start_of(lanes: Value) -> Value | None:
    """The scalar s of an index vector s, s + 1, s + 2, …"""
    op = lanes.operation
    if op is None or op.name != "loop.add":
        return None
    start, count = (operand.operation for operand in op.operands)
    if start is None or count is None:
        return None
    if start.name != "loop.splat" or count.name != "loop.lane_index":
        return None
    return start.operands[0]


def _needed(value: Value) -> Value:
    """The value; of a view, the buffer it is a part of."""
    return view_root(value)[0] if isinstance(value.type, BufferType) else value


def _is_shared(value: Value) -> bool:
    """Whether every function finds the buffer by itself."""
    if not isinstance(value.type, BufferType):
        return False
    op = value.operation
    return op is None or op.name not in ("loop.scratch", "loop.slice")


def view_root(buffer: Value) -> tuple[Value, Dim]:
    """The buffer that a chain of views looks into, and the byte offset there.

    It may be a slice, whose place depends on a number.
    """
    offset: Dim = 0
    while buffer.operation is not None and buffer.operation.name == "loop.view":
        offset = offset + buffer.operation.attributes["offset"] * buffer.type.dtype.itemsize
        buffer = buffer.operation.operands[0]
    return buffer, offset
