"""Tally: how often each number is there."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from nets.errors import ArgumentError, DTypeError, ShapeError
from nets.ir.affine import Affine
from nets.ir.core import Trait, Value
from nets.ir.sizes import Dim
from nets.ir.types import BufferType, TensorType, i64, index, u64
from nets.ops.definition import samples as draw
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.loop.lowering import Lowering, buffer_type

REFUSED: Final = "bincount counts numbers that are not negative"

TABLES: Final = 4
"""Tables that neighbours are counted in, so that none waits for the one before it."""

MOST: Final = 2048
"""Numbers up to which there are several tables: they stay in the fastest cache."""


@op("tally", Trait.PURE | Trait.KERNEL | Trait.EXACT | Trait.CHECKED, attributes=("length",))
class Tally:
    """How often each of the numbers from 0 below ``length`` is there along the last axis (i64).
    Larger ones are left out, negative ones refused."""

    operands = ("x",)
    batch = ITSELF
    no_derivative = "counts change in steps"
    samples = [
        sample(draw.i64(50, low=0, high=6), length=5),
        sample(draw.i64(2, 3, 40, low=0, high=9), length=9),
        sample(draw.i64(7, low=0, high=4000), length=3000),
        sample(draw.i64(2, 0), length=4),
        sample(draw.i64(0, 3), length=4),
        sample(draw.i64(3, 9, low=0, high=3), length=0),
    ]

    def infer(x: TensorType, *, length: int) -> TensorType:
        if not x.rank:
            raise ShapeError(f"tally of {x} has no axis")
        if x.dtype != i64:
            raise DTypeError(f"tally counts numbers of dtype i64, not {x}")
        if isinstance(length, int) and length < 0:
            raise ShapeError(f"tally counts no {length} numbers")
        return x.with_shape((*x.shape[:-1], length))

    def evaluate(x: Array, *, length: int) -> Array:
        if x.size and x.min() < 0:
            raise ArgumentError(f"{REFUSED}: {x.min()}")
        *outer, n = x.shape
        rows = np.minimum(x, length).reshape(math.prod(outer), n)
        found = [np.bincount(row, minlength=length + 1)[:length] for row in rows]
        return np.array(found, np.int64).reshape(*outer, length)

    def footprint(f: Footprints, x: Footprint, *, length: int) -> Footprint:
        """Any element of the row may be the one."""
        last = len(x.shape) - 1
        return f.broadcast(f.reduce(x, (last,)), (*x.shape[:-1], length), tuple(range(last)))

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], *, length: int
    ) -> None:
        (x,), (out,) = operands, results
        *outer, n = buffer_type(x).shape
        rows = math.prod(outer)
        x = s.view(x, BufferType((rows * n,), i64))
        out = s.view(out, BufferType((rows * length,), i64))
        is_short = isinstance(n, int) and n < 4 * length
        tables = TABLES if length <= MOST and not is_short else 1
        loop = s.parallel(0, rows)
        with s.inside(loop) as body:
            row = Affine.of(body.arguments[0])
            _Row(s, x, row * n, out, row * length, length).count(n, tables)
            s.yield_()


class _Row:
    """One row of numbers, from ``start`` on, and its counts, from ``first`` on."""

    def __init__(
        self, s: Lowering, x: Value, start: Affine, out: Value, first: Affine, length: int
    ) -> None:
        self.s, self.x, self.start = s, x, start
        self.out, self.first, self.length = out, first, length
        self.none, self.one = s.const(0, i64), s.const(1, i64)

    def count(self, n: Dim, tables: int) -> None:
        """A number of bits tells in the end whether one of the numbers was negative."""
        s = self.s
        if tables == 1:
            self._fill(self.out, self.first, self.length)
            bits = self._numbers(s.index(0), s.index(n), self.none, [(self.out, self.first)])
        else:
            memory = s.scratch(BufferType((tables * self.length,), i64))
            self._fill(memory, Affine(), tables * self.length)
            places = [(memory, Affine.of(i * self.length)) for i in range(tables)]
            whole = n // tables * tables
            bits = self._numbers(s.index(0), s.index(whole), self.none, places)
            bits = self._numbers(s.index(whole), s.index(n), bits, places[:1])
            self._add_up(memory, tables)
        s.fail_unless(s.compare("ge", bits, self.none), REFUSED, ArgumentError.__name__)

    def _fill(self, buffer: Value, first: Affine, count: int) -> None:
        s = self.s
        loop = s.for_(0, count)
        with s.inside(loop) as body:
            s.store(self.none, buffer, first + Affine.of(body.arguments[0]))
            s.yield_()

    def _numbers(
        self, low: Value, high: Value, bits: Value, tables: list[tuple[Value, Affine]]
    ) -> Value:
        """Counts the numbers, each in the next one of the tables."""
        s = self.s
        loop = s.for_(low, high, [bits], step=len(tables))
        with s.inside(loop) as body:
            step, bits = body.arguments
            for i, (table, first) in enumerate(tables):
                number = s.load(self.x, self.start + Affine.of(step) + i)
                bits = s.binary("or", bits, number)
                self._count(number, table, first)
            s.yield_(bits)
        return loop.results[0]

    def _count(self, number: Value, table: Value, first: Affine) -> None:
        """One more of it, or no more of 0 where it is out of range."""
        s = self.s
        if self.length == 0:
            return
        inside = s.compare("lt", s.cast(number, u64), s.const(self.length, u64))
        place = s.cast(s.select(inside, number, self.none), index)
        at = first + Affine.of(place)
        s.store(s.add(s.load(table, at), s.select(inside, self.one, self.none)), table, at)

    def _add_up(self, memory: Value, tables: int) -> None:
        s = self.s
        loop = s.for_(0, self.length)
        with s.inside(loop) as body:
            number = Affine.of(body.arguments[0])
            total = s.load(memory, number)
            for table in range(1, tables):
                total = s.add(total, s.load(memory, number + table * self.length))
            s.store(total, self.out, self.first + number)
            s.yield_()
