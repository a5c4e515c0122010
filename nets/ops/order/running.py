"""Running: what is known of the elements of a row up to each one, by one step per element."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from nets.errors import DTypeError, ShapeError
from nets.ir.affine import Affine
from nets.ir.core import Trait, Value
from nets.ir.types import BufferType, DType, TensorType, bool_, i64
from nets.ops.definition import samples as draw
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.registry import Array, op, sample
from nets.ops.loop.lowering import Lowering, buffer_type

_PREDICATES: Final = {"argmax": ("ge", "gt"), "argmin": ("le", "lt")}


@op("running", Trait.PURE | Trait.KERNEL | Trait.EXACT, attributes=("combiner",))
class Running:
    """For each element of the last axis, of those up to it: with "argmax" or "argmin" the last
    position (i64) of the extreme, which a NaN is; with "count" the number of those that hold."""

    operands = ("x",)
    native_from = 524288
    batch = ITSELF
    no_derivative = "positions and counts change in steps"
    samples = [
        sample(draw.f32(3, 17), combiner="argmax"),
        sample(draw.f64(2, 2, 5), combiner="argmin"),
        sample(draw.i8(40, low=-3, high=3), combiner="argmax"),
        sample(draw.u64(2, 9, high=3), combiner="argmin"),
        sample(draw.boolean(3, 33), combiner="count"),
        sample(draw.boolean(2, 0), combiner="count"),
        sample(draw.f32(0, 3), combiner="argmin"),
    ]

    def infer(x: TensorType, *, combiner: str) -> TensorType:
        if not x.rank:
            raise ShapeError(f"running of {x} has no axis")
        if combiner not in (*_PREDICATES, "count"):
            raise DTypeError(f"running has no combiner {combiner!r}")
        if x.dtype.is_bool is not (combiner == "count"):
            raise DTypeError(f"running counts bools and finds numbers, it does not {combiner} {x}")
        return x.with_dtype(i64)

    def evaluate(x: Array, *, combiner: str) -> Array:
        if combiner == "count":
            return np.cumsum(x, -1, np.int64)
        extreme = np.maximum if combiner == "argmax" else np.minimum
        is_new = (x == extreme.accumulate(x, -1)) | (x != x)
        here = np.where(is_new, np.arange(x.shape[-1]), 0)
        return np.maximum.accumulate(here, -1)

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], *, combiner: str
    ) -> None:
        (x,), (out,) = operands, results
        *outer, n = buffer_type(x).shape
        rows = math.prod(outer)
        x = s.view(x, BufferType((rows, n), x.type.dtype))
        out = s.view(out, BufferType((rows, n), i64))
        loop = s.parallel(0, rows)
        with s.inside(loop) as body:
            start = Affine.of(body.arguments[0]) * n
            (_count if combiner == "count" else _find)(s, x, out, start, combiner)
            s.yield_()


def _count(s: Lowering, x: Value, out: Value, start: Affine, combiner: str) -> None:
    loop = s.for_(0, buffer_type(x).shape[-1], [s.const(0, i64)])
    with s.inside(loop) as body:
        step, before = body.arguments
        place = start + Affine.of(step)
        total = s.add(before, s.cast(s.load(x, place), i64))
        s.store(total, out, place)
        s.yield_(total)


def _find(s: Lowering, x: Value, out: Value, start: Affine, combiner: str) -> None:
    """A NaN counts as an infinity, and what comes behind it wins by being NaN alone: so the next
    step waits for a comparison of numbers and no more."""
    dtype = x.type.dtype
    weaker, strict = _PREDICATES[combiner]
    first, strongest = (s.const(_bound(dtype, combiner, end), dtype) for end in (0, 1))
    never = s.const(False, bool_)
    loop = s.for_(0, buffer_type(x).shape[-1], [first, s.const(0, i64), never])
    with s.inside(loop) as body:
        step, best, at, is_over = body.arguments
        place = start + Affine.of(step)
        here = s.load(x, place)
        nan = s.compare("ne", here, here)
        here = s.select(nan, strongest, here)
        wins = s.select(is_over, nan, s.compare(weaker, here, best))
        best = s.select(s.compare(strict, here, best), here, best)
        at = s.select(wins, s.cast(step, i64), at)
        s.store(at, out, place)
        s.yield_(best, at, s.binary("or", is_over, nan))


def _bound(dtype: DType, combiner: str, end: int) -> float:
    """The number that loses to all others, or (``end`` 1) wins against them."""
    is_largest = (combiner == "argmax") is bool(end)
    if dtype.is_float:
        return math.inf if is_largest else -math.inf
    limits = np.iinfo(str(dtype.numpy))
    return int(limits.max if is_largest else limits.min)
