"""The bits of native sums and products (numerics.md, 4 and 5), a second time in plain NumPy.

``evaluate_in_order`` gives reductions and matmuls the bits that native code must give them. It
knows nothing of loops, vectors, tiles or threads: the order depends on shape and dtype alone.

Reductions. Runs of neighbouring reduced axes (axes of size 1 do not part them) are reduced one
after another, the last run first. A run of trailing axes is a row: in blocks of 16 times as many
elements as there are lanes, element i goes to lane i mod lanes, each lane combines in order from
the identity on, then the lanes combine by halving, and then the blocks. Any other run is a
column: blocks of 16 rows in order, then the blocks by halving.

Matmuls. Blocks of 384 (f32) or 256 (f64) steps of k; in a block fused multiply-additions in order,
from zero on; the sums of the blocks are added in order. Convolutions: ``conv_order``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from nets.backend.numpy.interpreter import evaluate_op
from nets.ir.core import Operation, Trait
from nets.ops.definition.registry import Array, definition_of
from tests.property.conv_order import conv_in_order

Combine = Callable[[Array, Array], Array]
MultiplyAdd = Callable[[Array, Array, Array], Array]

_BLOCK_ROWS = 16
_LANE_BYTES = 256
_MATMUL_BLOCK = {4: 384, 8: 256}

_COMBINE: dict[str, Combine] = {
    "add": np.add,
    "mul": np.multiply,
    "max": lambda x, y: np.where((x > y) | (x != x), x, y),
    "min": lambda x, y: np.where((x < y) | (x != x), x, y),
    "and": np.logical_and,
    "or": np.logical_or,
}


def evaluate_in_order(op: Operation, operands: Sequence[Array]) -> Sequence[Array]:
    """As ``evaluate_op``, but sums and products combine in the native order."""
    definition = definition_of(op)
    if op.name == "matmul" and operands[0].dtype.kind == "f":
        with np.errstate(all="ignore"):
            return (matmul_in_order(*operands),)
    if op.name.startswith("conv"):
        with np.errstate(all="ignore"):
            attributes = op.attributes
            return (conv_in_order(op.name, *operands, attributes, fused_multiply_add),)
    combiner = definition.combiner if op.has(Trait.REDUCTION) else None
    if combiner not in _COMBINE:
        return evaluate_op(op, operands)
    identity = definition.identity(op.operands[0].type.dtype)
    with np.errstate(all="ignore"):
        return (reduce_in_order(combiner, identity, operands[0], op.attributes["axes"]),)


def reduce_in_order(combiner: str, identity: float, x: Array, axes: Sequence[int]) -> Array:
    """The reduction of ``x`` over ascending ``axes`` in the native order."""
    combine, start = _COMBINE[combiner], x.dtype.type(identity)
    left = list(axes)
    x = combine(np.full_like(x, start), x)  # no sum is −0
    for first, last in _runs(x.shape, axes):
        taken = [axis for axis in left if axis >= first]
        left = left[: len(left) - len(taken)]
        parts = (x.shape[:first], x.shape[first : last + 1], x.shape[last + 1 :])
        run = x.reshape([math.prod(part) for part in parts])
        shape = [size for axis, size in enumerate(x.shape) if axis not in taken]
        reduce = _rows if run.shape[2] == 1 else _columns
        x = reduce(combine, start, run).reshape(shape)
    return x.reshape([size for axis, size in enumerate(x.shape) if axis not in left])


def _runs(shape: Sequence[int], axes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last axis of the runs of reduced axes, the last run first."""
    found: list[tuple[int, int]] = []
    adjacent = False
    for axis in (axis for axis, size in enumerate(shape) if size != 1):
        if axis in axes and adjacent:
            found[-1] = (found[-1][0], axis)
        elif axis in axes:
            found.append((axis, axis))
        adjacent = axis in axes
    return reversed(found)


def _rows(combine: Combine, start: Array, x: Array) -> Array:
    """Of outer × length × 1: the rows combined."""
    outer, length = x.shape[:2]
    if length <= 1:
        return x[:, 0, 0] if length else np.full(outer, start)
    lanes = _LANE_BYTES // max(x.itemsize, 4)
    blocks = -(-length // (_BLOCK_ROWS * lanes))
    padded = np.full((outer, blocks * _BLOCK_ROWS * lanes), start)
    padded[:, :length] = x[:, :, 0]
    elements = padded.reshape(outer, blocks, _BLOCK_ROWS, lanes)
    totals = np.full((outer, blocks, lanes), start)
    for row in range(_BLOCK_ROWS):
        totals = combine(totals, elements[:, :, row])
    while totals.shape[-1] > 1:
        half = totals.shape[-1] // 2
        totals = combine(totals[..., :half], totals[..., half:])
    return _halve(combine, totals)[:, 0]


def _columns(combine: Combine, start: Array, x: Array) -> Array:
    """Of outer × rows × columns: the rows combined element by element."""
    outer, rows, columns = x.shape
    if rows == 0:
        return np.full((outer, columns), start)
    blocks = []
    for first in range(0, rows, _BLOCK_ROWS):
        total = x[:, first]
        for row in range(first + 1, min(first + _BLOCK_ROWS, rows)):
            total = combine(total, x[:, row])
        blocks.append(total)
    return _halve(combine, np.stack(blocks, axis=1))


def _halve(combine: Combine, x: Array) -> Array:
    """Of outer × blocks × width: the blocks combined, each with the one half of them further."""
    live = x.shape[1]
    while live > 1:
        half = 1 << ((live - 1).bit_length() - 1)
        merged = combine(x[:, : live - half], x[:, half:live])
        x = np.concatenate([merged, x[:, live - half : half]], axis=1)
        live = half
    return x[:, 0]


# -------------------------------------------------------------------------------- matmuls


def matmul_in_order(x: Array, y: Array, multiply_add: MultiplyAdd | None = None) -> Array:
    """The matrix product of floats with the native bits: by default, of the profile strict."""
    multiply_add = multiply_add or fused_multiply_add
    steps = x.shape[-1]
    total = np.zeros((*x.shape[:-1], y.shape[-1]), x.dtype)
    for start in range(0, steps, _MATMUL_BLOCK[x.itemsize]):
        block = np.zeros_like(total)
        for k in range(start, min(start + _MATMUL_BLOCK[x.itemsize], steps)):
            block = multiply_add(x[..., k, None], y[..., k, None, :], block)
        total = total + block if start else block
    return total


def multiply_then_add(x: Array, y: Array, z: Array) -> Array:
    """x · y + z, rounded twice, as in the profile strict-nofma."""
    return x * y + z


def fused_multiply_add(x: Array, y: Array, z: Array) -> Array:
    """x · y + z, rounded once.

    The exact sum is rounded to odd in a dtype with enough further digits, and from there to
    nearest (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", IEEE TC 57, 2008).
    """
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    product, error = _exact_product(x.astype(wide), y.astype(wide))
    total, low = _exact_sum(product, z.astype(wide))
    rest, lowest = _exact_sum(low, error)
    total, low = _exact_sum(total, rest)
    left = np.where(low != 0, low, lowest)
    words = np.ascontiguousarray(total).view(np.uint64)
    even = words[..., :: total.itemsize // 8] % 2 == 0
    is_off = np.isfinite(total) & (left != 0) & ~np.isnan(left)
    odd = np.nextafter(total, np.copysign(wide(np.inf), left))
    return np.where(even & is_off, odd, total).astype(x.dtype)


def _exact_product(x: Array, y: Array) -> tuple[Array, Array]:
    """The product and what rounding took from it; that of two f32 is exact in f64."""
    product = x * y
    if x.dtype == np.float64:
        return product, np.zeros_like(product)
    (x_high, x_low), (y_high, y_low) = _halves(x), _halves(y)
    rest = ((x_high * y_high - product) + x_high * y_low + x_low * y_high) + x_low * y_low
    return product, np.where(np.isfinite(product), rest, 0)


def _halves(x: Array) -> tuple[Array, Array]:
    scaled = x * x.dtype.type(2**32 + 1)
    high = scaled - (scaled - x)
    return high, x - high


def _exact_sum(x: Array, y: Array) -> tuple[Array, Array]:
    """The sum and what rounding took from it."""
    total = x + y
    part = total - x
    rest = (x - (total - part)) + (y - part)
    return total, np.where(np.isfinite(total), rest, 0)
