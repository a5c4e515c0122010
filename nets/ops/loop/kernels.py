"""Kernels over buffers: the ops, their shapes, their work, and from when on threads share it."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math
from typing import Final

from nets.errors import VerifyError
from nets.ir.core import Operation, Value
from nets.ir.estimates import about
from nets.ir.types import BufferType, Shape, Type, f32, f64
from nets.machine import costs
from nets.machine.machine import Machine
from nets.ops.definition.registry import structural
from nets.ops.loop.reduction_tree import COMBINERS
from nets.ops.loop.register_types import listed
from nets.ops.loop.sorting import sort_flops

K_BLOCK: Final = {f32: 384, f64: 256}
"""Steps of k that one chain of multiply-additions covers. Part of what matmul means
(numerics.md, 5): a constant of the dtype, never to depend on shape, CPU or threads."""

CONV_ROLES: Final = {"output": (0, 1, 2), "input": (2, 1, 0), "weight": (0, 2, 1)}
"""Where the operands of loop.conv have x, w and y, by its role."""


@structural("loop.tree_combine", attributes=("combiner",))
class TreeCombine:
    """Combines the rows of ``buffer`` (n × width) by halving into its row 0, in place.

    With ``h`` the largest power of two below the number of live rows: row i takes row i + h for
    every i + h that is live; then h rows are live.
    """

    operands = ("buffer",)

    def infer(buffer: Type, *, combiner: str) -> tuple[Type, ...]:
        if not isinstance(buffer, BufferType) or len(buffer.shape) != 2:
            raise VerifyError(f"loop.tree_combine needs a buffer n × width, not {buffer}")
        if combiner not in COMBINERS:
            raise VerifyError(f"loop.tree_combine has no combiner {combiner!r}")
        return ()


@structural("loop.gemm", attributes=("transpose_x", "transpose_y"))
class Gemm:
    """``out[b, m, n] = Σ_k x[b, m, k] · y[b, k, n]`` in floating point (numerics.md, 5).

    Buffers are batch × rows × columns; with ``transpose_x`` the buffer of x is b × k × m, with
    ``transpose_y`` that of y is b × n × k. ``out`` overlaps neither.
    """

    operands = ("x", "y", "out")

    def infer(
        x: Type, y: Type, out: Type, *, transpose_x: bool, transpose_y: bool
    ) -> tuple[Type, ...]:
        if not all(isinstance(t, BufferType) and len(t.shape) == 3 for t in (x, y, out)):
            raise VerifyError(f"loop.gemm needs buffers of rank 3, not {listed((x, y, out))}")
        assert isinstance(x, BufferType)
        assert isinstance(y, BufferType)
        assert isinstance(out, BufferType)
        b, m, k = x.shape if not transpose_x else (x.shape[0], x.shape[2], x.shape[1])
        yb, yk, n = y.shape if not transpose_y else (y.shape[0], y.shape[2], y.shape[1])
        if (b, yk, b, m, n) != (yb, k, *out.shape):
            raise VerifyError(f"loop.gemm of {listed((x, y, out))}")
        return ()


@structural("loop.conv", attributes=("role", "steps", "low", "dilation", "groups"))
class Conv:
    """The term w[o, c, k] · x[n, c, p · step + k · dilation − low] for each place p of y[n, o, p],
    summed into one of the three (see ``nets.ops.tensor.convolution``), in floating point.

    The role says which is ``out``: with "output" it is y, made of x and w; with "input" x, made of
    y and w; with "weight" w, made of x and y. All have two axes of space. ``out`` overlaps neither.
    """

    operands = ("first", "second", "out")

    def infer(
        first: Type,
        second: Type,
        out: Type,
        *,
        role: str,
        steps: tuple[int, ...],
        low: tuple[int, ...],
        dilation: tuple[int, ...],
        groups: int,
    ) -> tuple[Type, ...]:
        given = (first, second, out)
        shapes = [t.shape for t in given if isinstance(t, BufferType)]
        if role not in CONV_ROLES or [len(shape) for shape in shapes] != [4, 4, 4]:
            raise VerifyError(f"loop.conv to {role!r} of {listed(given)}")
        x, w, y = (shapes[place] for place in CONV_ROLES[role])
        if (x[0], x[1], w[0] % groups) != (y[0], w[1] * groups, 0) or w[0] != y[1]:
            raise VerifyError(f"loop.conv to {role!r} of {listed(given)} in {groups} groups")
        return ()


def shapes_of(op: Operation) -> list[Shape]:
    """The shapes of the buffers of a kernel, in the order of its operands."""
    types = [operand.type for operand in op.operands]
    return [type.shape for type in types if isinstance(type, BufferType)]


def conv_shapes(op: Operation) -> tuple[Shape, Shape, Shape]:
    """The shapes of x, w and y of a convolution, whichever of them it computes."""
    shapes = shapes_of(op)
    x, w, y = (shapes[place] for place in CONV_ROLES[op.attributes["role"]])
    return x, w, y


def kernel_flops(op: Operation) -> int:
    """About how many multiplications and additions a kernel does; 0 for any other operation."""
    if op.name == "loop.gemm":
        x, _, out = shapes_of(op)
        return 2 * about(math.prod(x)) * about(out[2])
    if op.name == "loop.conv":
        _, w, y = conv_shapes(op)
        return 2 * about(math.prod(y)) * about(math.prod(w[1:]))
    if op.name == "loop.sort":
        return sort_flops(op)
    return 0


def is_work_for_threads(op: Operation, machine: Machine) -> bool:
    """Whether the operation is a kernel with enough work to share its panels among threads."""
    flops = kernel_flops(op)
    if not flops:
        return False
    cycles = costs.kernel_cycles(machine, flops, op.operands[0].type.dtype)
    if cycles < machine.fork_cycles:
        return False
    buffers = [value for value in op.operands if isinstance(value.type, BufferType)]
    is_alone = all(_is_from_outside(buffer) for buffer in buffers)
    return is_alone or cycles >= costs.EXCHANGE * machine.fork_cycles


def _is_from_outside(buffer: Value) -> bool:
    """Whether the buffer is one of the program's arguments, and has no other use."""
    while len(buffer.uses) == 1 and buffer.operation is not None and buffer.operation.operands:
        buffer = buffer.operation.operands[0]
    return len(buffer.uses) == 1 and buffer.operation is None
