"""Accesses: the operations of the loop dialect that address memory by offset and strides."""

from __future__ import annotations

from nets.ir.affine import Affine
from nets.ir.core import Operation, Value
from nets.ir.sizes import Dim

Terms = frozenset[tuple[Value, Dim]]
"""Index values with their strides."""


def is_access(op: Operation) -> bool:
    """Whether the operation addresses memory by offset and strides."""
    return "strides" in op.attributes


def access_terms(op: Operation) -> list[tuple[Value, Dim]]:
    """The indices of a load or store with their strides."""
    strides = op.attributes["strides"]
    return list(zip(op.operands[len(op.operands) - len(strides) :], strides, strict=True))


def address(op: Operation) -> Affine:
    """The element offset a load or store goes to."""
    # The sum has one term for an index that the operation names twice.
    return Affine() + Affine(tuple(access_terms(op)), op.attributes["offset"])


def set_address(op: Operation, position: Affine) -> None:
    """Let a load or store go to another element offset."""
    first = len(op.operands) - len(op.attributes["strides"])
    op.set_operands((*op.operands[:first], *(value for value, _ in position.terms)))
    strides = tuple(c for _, c in position.terms)
    op.attributes = {**op.attributes, "offset": position.constant, "strides": strides}


def accessed_buffer(op: Operation) -> Value | None:
    """The buffer a load or store goes to; None for all other operations."""
    if not is_access(op):
        return None
    return op.operands[len(op.operands) - len(op.attributes["strides"]) - 1]


def root_of(buffer: Value) -> tuple[Value, Dim]:
    """The buffer or slice behind a chain of views, and the element offset in it.

    In one iteration of a loop, slices are buffers of their own.
    """
    offset: Dim = 0
    while buffer.operation is not None and buffer.operation.name == "loop.view":
        offset = offset + buffer.operation.attributes["offset"]
        buffer = buffer.operation.operands[0]
    return buffer, offset


def memory_of(buffer: Value) -> Value:
    """The buffer behind a chain of views and slices."""
    while buffer.operation is not None and buffer.operation.operands:
        buffer = buffer.operation.operands[0]
    return buffer


def buffer_of(access: Operation) -> Value:
    """The buffer that an access goes to."""
    buffer = accessed_buffer(access)
    assert buffer is not None
    return buffer


def place_of(access: Operation) -> tuple[Value, Terms, Dim]:
    """Where an access goes: the root buffer, and terms and constant of the address in it."""
    root, start = root_of(buffer_of(access))
    position = address(access)
    return root, frozenset(position.terms), start + position.constant
