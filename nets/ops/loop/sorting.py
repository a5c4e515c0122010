"""The kernel that sorts rows, its work memory, and which way rows are sorted."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from typing import Final

import numpy as np

from nets.errors import VerifyError
from nets.ir.core import Operation
from nets.ir.estimates import about
from nets.ir.sizes import Dim
from nets.ir.types import BufferType, DType, Type, i64
from nets.ops.definition.registry import Array, structural
from nets.ops.loop.register_types import listed

LANES_MOST: Final = 1024
"""Elements of a row up to which rows are sorted side by side in the lanes of vectors."""

MANY_ROWS: Final = 8
LANES_MOST_OF_MANY: Final = 8192
"""The same where there are so many rows that lanes are filled."""


@structural("loop.sort", attributes=("descending", "positions"))
class Sort:
    """Sorts each row of x, rows × n; with ``positions``, gives the positions that sort it.

    Equal elements keep their order, in ``descending`` order as well; 0 and −0 are equal, and NaN
    are equal to each other and larger than all else. ``work`` is memory for the way, of the type
    that ``work_type`` tells. ``out`` overlaps neither.
    """

    operands = ("x", "work", "out")

    def infer(
        x: Type, work: Type, out: Type, *, descending: bool, positions: bool
    ) -> tuple[Type, ...]:
        given = (x, work, out)
        if not all(isinstance(type, BufferType) for type in given):
            raise VerifyError(f"loop.sort needs buffers, not {listed(given)}")
        assert isinstance(x, BufferType)
        assert isinstance(out, BufferType)
        if len(x.shape) != 2 or out.shape != x.shape:
            raise VerifyError(f"loop.sort of {listed(given)}")
        if out.dtype != (i64 if positions else x.dtype):
            raise VerifyError(f"loop.sort of {listed(given)}")
        return ()


def goes_in_lanes(rows: Dim, n: Dim) -> bool:
    """Whether rows are sorted side by side; a row whose length a call tells is sorted alone."""
    if not isinstance(n, int):
        return False
    is_many = not isinstance(rows, int) or rows >= MANY_ROWS
    return n <= (LANES_MOST_OF_MANY if is_many else LANES_MOST)


def needs_pairs(dtype: DType, n: Dim) -> bool:
    """Whether a key and a position do not share 64 bits."""
    return dtype.itemsize == 8 or not isinstance(n, int) or n >= 1 << 32


def work_type(x: BufferType, positions: bool) -> BufferType:
    """The work memory of rows that are sorted alone; next to none for others."""
    rows, n = x.shape
    if goes_in_lanes(rows, n):
        return BufferType((1,), x.dtype)
    if not positions:
        return x
    return BufferType((rows * n * (4 if needs_pairs(x.dtype, n) else 2),), i64)


def sort_flops(op: Operation) -> int:
    """About how many multiplications and additions take as long as the kernel."""
    x = op.operands[0].type
    assert isinstance(x, BufferType)
    rows, n = x.shape
    steps = max(about(n), 2).bit_length()
    of_element = steps * steps if goes_in_lanes(rows, n) else 1000
    each = about(rows) * about(n) * of_element
    return 2 * each if op.attributes["positions"] else each


def stable_order(x: Array, *, descending: bool) -> Array:
    """The positions that sort the last axis, equal elements in the order they have."""
    if not descending:
        return np.argsort(x, axis=-1, kind="stable")
    back = np.argsort(x[..., ::-1], axis=-1, kind="stable")[..., ::-1]
    return np.ascontiguousarray(x.shape[-1] - 1 - back)
