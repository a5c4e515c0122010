"""Parts: several matrices in the rows of one result, and what derivative rules do with them.

An op has one result. A factorisation with several gives them one below the other, each with as
many columns: a vector is a row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nets.ir.core import Value
from nets.ir.types import bool_
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.linalg.masks import columns_of
from nets.ops.linalg.shapes import known
from nets.ops.orthogonal.reflections_reference import EPS


def below(b: Emitter, parts: Sequence[Value]) -> Value:
    """The parts as one matrix."""
    return b.emit("concatenate", *parts, axis=tensor_type(parts[0]).rank - 2)


def part(b: Emitter, x: Value, first: int, last: int) -> Value:
    """The rows from the first below the last."""
    shape = tensor_type(x).shape
    starts = (*(0 for _ in shape[:-2]), first, 0)
    stops = (*shape[:-2], last, shape[-1])
    return b.emit("slice", x, starts=starts, stops=stops, steps=(1,) * len(shape))


def sides(x: Value) -> tuple[int, int]:
    """Rows and columns of matrices."""
    rows, columns = tensor_type(x).shape[-2:]
    return known("a derivative of matrices", rows), known("a derivative of matrices", columns)


def row_of_diagonal(b: Emitter, x: Value) -> Value:
    """The diagonal of square matrices, as a row."""
    rank = tensor_type(x).rank
    n = columns_of(x)
    kept = b.select(_eye(b, x, n), x, b.zero(x))
    shape = tensor_type(x).shape
    return b.reshape(b.sum(kept, (rank - 2,)), (*shape[:-2], 1, n))


def added_to_diagonal(b: Emitter, x: Value, row: Value) -> Value:
    """Square matrices plus diagonal ones."""
    wide = as_rows(b, row, columns_of(x))
    return b.add(x, b.select(_eye(b, x, columns_of(x)), wide, b.zero(x)))


def _eye(b: Emitter, x: Value, n: int) -> Value:
    shape = tensor_type(x).shape
    return b.broadcast(b.constant(np.eye(n, dtype=np.bool_), bool_), shape, _last_two(x))


def _last_two(x: Value) -> tuple[int, int]:
    rank = tensor_type(x).rank
    return rank - 2, rank - 1


def as_rows(b: Emitter, row: Value, count: int) -> Value:
    """A row as each of so many rows."""
    shape = tensor_type(row).shape
    return b.broadcast(row, (*shape[:-2], count, shape[-1]), range(len(shape)))


def as_columns(b: Emitter, row: Value, count: int) -> Value:
    """A row as each of so many columns."""
    shape = tensor_type(row).shape
    column = b.reshape(row, (*shape[:-2], shape[-1], 1))
    return b.broadcast(column, (*shape[:-2], shape[-1], count), range(len(shape)))


def differences(b: Emitter, row: Value) -> Value:
    """The matrix of xⱼ − xᵢ."""
    n = known("a derivative of matrices", tensor_type(row).shape[-1])
    return b.sub(as_rows(b, row, n), as_columns(b, row, n))


def sums(b: Emitter, row: Value) -> Value:
    """The matrix of xⱼ + xᵢ."""
    n = known("a derivative of matrices", tensor_type(row).shape[-1])
    return b.add(as_rows(b, row, n), as_columns(b, row, n))


def is_close(b: Emitter, gap: Value, values: Value) -> Value:
    """Where something made of eigenvalues or singular values, a row, is rounding errors."""
    shape = tensor_type(gap).shape
    rows, columns = shape[-2], known("a derivative of matrices", shape[-1])
    limit = b.broadcast(_rounding(b, values, columns), (*shape[:-2], rows, columns), _batch(values))
    return b.compare("less_equal", b.emit("abs", gap), limit)


def vanishes(b: Emitter, x: Value, whole: Value) -> Value:
    """Where a part of a matrix of that shape is rounding errors of the matrix."""
    shape = tensor_type(x).shape
    limit = b.broadcast(_rounding(b, whole, max(sides(x))), shape, _batch(whole))
    return b.compare("less_equal", b.emit("abs", x), limit)


def _batch(x: Value) -> range:
    return range(tensor_type(x).rank - 2)


def _rounding(b: Emitter, x: Value, size: int) -> Value:
    """The rounding error of a matrix of that size, by its largest element."""
    top = b.emit("reduce_max", b.emit("abs", x), axes=_last_two(x))
    return b.scale(top, float(8 * size * EPS[x.type.dtype.itemsize]))


def ratio(b: Emitter, x: Value, divisor: Value, zero_where: Value) -> Value:
    """x / divisor, 0 where said, and there with a derivative that is 0."""
    safe = b.select(zero_where, b.one(divisor), divisor)
    return b.select(zero_where, b.zero(x), b.div(x, safe))


def from_whole_matrices(f: Footprints, x: Footprint, rows: int, columns: int) -> Footprint:
    """Of results of that size, whose elements depend on all elements of their matrix."""
    *batch, _, _ = x.shape
    rank = len(x.shape)
    each = f.reduce(x, (rank - 2, rank - 1))
    return f.broadcast(each, (*batch, rows, columns), tuple(range(rank - 2)))
