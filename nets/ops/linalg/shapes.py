"""Shapes: what the type rules of matrix ops ask, and stacks of matrices as buffers."""

from __future__ import annotations

import math

from nets.errors import DTypeError, OpenSizeError, ShapeError
from nets.ir.core import Value
from nets.ir.sizes import Dim
from nets.ir.types import BufferType, TensorType
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.loop.lowering import Lowering, buffer_type


def check_square(name: str, x: TensorType) -> None:
    """ShapeError unless the last two axes of floats are equal; DTypeError for other dtypes."""
    if not x.dtype.is_float:
        raise DTypeError(f"{name} takes floating-point matrices, not {x}")
    if x.rank < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name} takes square matrices, not {x}")


def check_system(name: str, a: TensorType, b: TensorType) -> None:
    """ShapeError unless a [b…, n, n] and b [b…, n, m] have one batch and as many rows."""
    check_square(name, a)
    if a.dtype != b.dtype:
        raise DTypeError(f"{name} needs one dtype, not {a} and {b}")
    if b.rank != a.rank or a.shape[:-1] != b.shape[:-1]:
        raise ShapeError(f"{name} of {a} and {b}: batches or rows differ")


def side(name: str, x: Value) -> int:
    """The number of columns of the matrices in a buffer, which the code depends on."""
    return known(name, buffer_type(x).shape[-1])


def known(name: str, size: Dim) -> int:
    """A size of a matrix; OpenSizeError where only a call tells it."""
    if not isinstance(size, int):
        raise OpenSizeError(
            f"{name} needs matrices of a known size; only leading axes may be told by a call"
        )
    return size


def batch_of(x: Value) -> Dim:
    """How many matrices a buffer holds."""
    return math.prod(buffer_type(x).shape[:-2])


def flat(s: Lowering, x: Value) -> Value:
    """The buffer as a row of elements."""
    type = buffer_type(x)
    return s.view(x, BufferType((type.elements,), type.dtype))


def swapped(b: Emitter, x: Value) -> Value:
    """The matrices transposed."""
    rank = tensor_type(x).rank
    return b.transpose(x, (*range(rank - 2), rank - 1, rank - 2))


def product(b: Emitter, x: Value, y: Value) -> Value:
    return b.emit("matmul", x, y)
