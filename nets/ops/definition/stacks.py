"""Stacks: the results of an op for many examples, where its operands have a new first axis.

What several rules ``stack`` share.
"""

from __future__ import annotations

from collections.abc import Sequence

from nets.ir.core import Attribute, Value
from nets.ir.sizes import Dim
from nets.ir.types import i64
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.rules import Stack


def merged(b: Emitter, x: Value) -> Value:
    """The first two axes as one."""
    first, second, *rest = tensor_type(x).shape
    return b.reshape(x, (first * second, *rest))


def parted(b: Emitter, x: Value, size: Dim, count: Dim) -> Value:
    """The first axis as two, of these sizes."""
    return b.reshape(x, (size, count, *tensor_type(x).shape[1:]))


def each_repeated(
    b: Emitter, operands: Sequence[Value], stacked: Sequence[bool], size: Dim
) -> list[Value]:
    """The operands, with those that are not stacked repeated along a new first axis."""
    pairs = zip(operands, stacked, strict=True)
    return [x if is_stacked else b.repeated(x, size) for x, is_stacked in pairs]


def examples_as_images(name: str) -> Stack:
    """The rule of an op that treats each image, an entry along the first axis of its operands, by
    itself: the images of all examples together."""

    def stack(
        b: Emitter,
        operands: Sequence[Value],
        stacked: Sequence[bool],
        size: Dim,
        **attributes: Attribute,
    ) -> tuple[Value]:
        stacks = each_repeated(b, operands, stacked, size)
        count = tensor_type(stacks[0]).shape[1]
        result = b.emit(name, *(merged(b, x) for x in stacks), **attributes)
        return (parted(b, result, size, count),)

    return stack


def own_positions(b: Emitter, indices: Value, count: Dim) -> Value:
    """Indices of examples, each into its own ``count`` rows, as indices into the rows of all.

    Each is checked by picking among the numbers of the rows, none of which reaches memory.
    """
    size, *rest = tensor_type(indices).shape
    shape = (size, *rest, count)
    last = len(shape) - 1
    numbers = b.emit("iota", shape=shape, dtype=i64, axis=last)
    column = b.reshape(indices, (size, *rest, 1))
    position = b.reshape(b.emit("pick", numbers, column, axis=last), (size, *rest))
    example = b.emit("iota", shape=(size, *rest), dtype=i64, axis=0)
    return b.add(b.mul(example, b.full_like(example, count)), position)
