"""Rows that change places, as elimination with pivots has them do."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from nets.errors import DTypeError, ShapeError
from nets.ir.affine import Affine
from nets.ir.core import Trait, Value
from nets.ir.types import TensorType, i32, index
from nets.ops.definition import samples as draw
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.linalg.dependence import on_columns
from nets.ops.linalg.drawing import turning
from nets.ops.linalg.row_blocks import each, loop
from nets.ops.linalg.shapes import batch_of, flat, known
from nets.ops.loop.lowering import Lowering, buffer_type


@op("exchange_rows", Trait.PURE | Trait.KERNEL | Trait.EXACT, attributes=("reverse",))
class ExchangeRows:
    """x[b…, n, m] after row k has changed places with row ``turns[b…, k]``, for k from 0 to n − 1;
    or in ``reverse``, from n − 1 to 0, which takes the rows back.

    The turns are int32; what is no number of a row is moved into their range.
    """

    operands = ("x", "turns")
    batch = ITSELF
    samples = [
        sample(draw.f64(4, 3), turning(4), reverse=False),
        sample(draw.f32(2, 3, 1), turning(2, 3), reverse=True),
        sample(draw.f64(0, 3, 2), turning(0, 3), reverse=False),
        sample(draw.f64(2, 0, 2), turning(2, 0), reverse=True),
    ]

    def infer(x: TensorType, turns: TensorType, *, reverse: bool) -> TensorType:
        if turns.dtype != i32:
            raise DTypeError(f"exchange_rows takes turns in int32, not {turns}")
        if x.rank < 2 or turns.shape != x.shape[:-1]:
            raise ShapeError(f"exchange_rows of {x} by {turns}")
        return x

    def evaluate(x: Array, turns: Array, *, reverse: bool) -> Array:
        n = x.shape[-2]
        rows = np.clip(turns[..., None].astype(np.int64), 0, max(n - 1, 0))
        return exchanged(x, rows, reversed(range(n)) if reverse else range(n))

    def footprint(f: Footprints, x: Footprint, turns: Footprint, *, reverse: bool) -> Footprint:
        return on_columns(f, x)

    def transpose(
        b: Emitter, ct: Value, x: Value, turns: Value, *, reverse: bool
    ) -> tuple[Callable[[], Value], None]:
        return (lambda: b.emit("exchange_rows", ct, turns, reverse=not reverse), None)

    def lower(
        s: Lowering, operands: tuple[Value, Value], results: tuple[Value], *, reverse: bool
    ) -> None:
        (x, turns), (out,) = operands, results
        if buffer_type(x).elements == 0:
            return
        n, m = (known("exchange_rows", size) for size in buffer_type(x).shape[-2:])
        batch = batch_of(x)
        x, turns, out = (flat(s, buffer) for buffer in (x, turns, out))
        with each(s, batch) as number:
            first = number * (n * m)
            with loop(s, 0, n * m) as place:
                s.store(s.load(x, first + place), out, first + place)
            with loop(s, 0, n) as step:
                k = -step + (n - 1) if reverse else step
                other = Affine.of(row_of(s, turns, number * n + k, n))
                with loop(s, 0, m) as j:
                    one, two = first + k * m + j, first + other * m + j
                    pair = s.load(out, one), s.load(out, two)
                    s.store(pair[0], out, two)
                    s.store(pair[1], out, one)


def exchanged(b: Array, turns: Array, steps: Iterable[int]) -> Array:
    """Matrices whose rows have changed places, one after the other."""
    rows = np.array(b)
    for k in steps:
        place = turns[..., k, None, :]
        other = np.take_along_axis(rows, place, axis=-2)
        np.put_along_axis(rows, place, rows[..., k, None, :], axis=-2)
        rows[..., k, None, :] = other
    return rows


def row_of(s: Lowering, memory: Value, place: Affine, n: int) -> Value:
    """The number of a row, inside of the matrix whatever stands there."""
    row = s.cast(s.load(memory, place), index)
    return s.binary("max", s.binary("min", row, s.const(n - 1, index)), s.const(0, index))
