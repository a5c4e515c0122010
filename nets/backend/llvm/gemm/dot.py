"""A few rows times the transpose of a matrix: many dot products, each in k order.

Lanes are rows of y. Squares of ``lanes`` rows and ``lanes`` steps are transposed in registers, so
that each step of k is one fused multiply-addition for all of them and one row of x. For a single
row of x, several squares are under way at a time, for a chain of additions alone would wait for
its own latency. Packing, as larger products do, would cost as much as the arithmetic here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

from nets.backend.llvm.gemm.kernel_text import Count, KernelText
from nets.backend.llvm.gemm.pack import (
    ask,
    loaded_square,
    offset,
    operands,
    scalar_name,
    square_columns,
    transposed,
)
from nets.ir.types import DType
from nets.machine.machine import Machine
from nets.ops.loop.kernels import K_BLOCK

_GROUPS: Final = 2
"""Groups of rows under way at a time."""

_STEPS: Final = 16
"""Steps of k that a single row of x meets together: a cache line or two of each row."""


def suits(m: int, k: int, size: int, machine: Machine) -> bool:
    """Whether the sums of all rows of x fit in registers next to the columns of a square.

    Short vectors read a line of y in two visits, between which it must stay in the cache: rows half
    a page apart meet in a set or two of it.
    """
    if machine.has_many_registers:
        return m <= 8
    return m == 1 or (m <= 3 and k * size % (machine.page_bytes // 2) != 0)


@dataclass(frozen=True, slots=True)
class DotProduct:
    """``out[b, i, j] = Σ_k x[b, i, k] · y[b, j, k]`` with all sizes positive and few rows i.

    x is m × k, or k × m with ``transpose_x``.
    """

    dtype: DType
    batch: int
    m: int
    n: int
    k: int
    transpose_x: bool
    machine: Machine

    @property
    def lanes(self) -> int:
        return self.machine.lanes(self.dtype)

    @property
    def name(self) -> str:
        shape = f"{self.batch}_{self.m}_{self.n}_{self.k}_" + "nt"[self.transpose_x]
        return f"nets_gemm_{self.dtype}x{self.lanes}_dot_{shape}"

    @property
    def panel_rows(self) -> int:
        return _GROUPS * self.lanes

    @property
    def panels(self) -> int:
        """A panel is a group of rows of y of one entry of the batch."""
        return self.batch * -(-self.n // self.panel_rows)

    @property
    def workspace_bytes(self) -> int:
        """None: the sums are in registers."""
        return 0

    def write(self, symbol: str, parameters: str) -> dict[str, str]:
        """The function and all it calls, by symbol."""
        body, unit = KernelText(), self.panel_rows
        with body.entries(self.batch, -(-self.n // unit)) as (entry, low, high):
            x, y, out = operands(body, entry, (self.m, self.n, self.k), self.dtype)
            first, end = body.multiply(low, unit), body.multiply(high, unit)
            block = K_BLOCK[self.dtype]
            with body.loop(0, self.k, block) as p:
                step = self.m if self.transpose_x else 1
                first_x = offset(body, x, body.multiply(p, step), self.dtype)
                places = (first_x, offset(body, y, p, self.dtype), out)
                depth = body.least(body.subtract(self.k, p), block)
                self._rows(body, places, (first, end), p, depth)
        return body.functions(symbol, parameters)

    def _rows(
        self,
        body: KernelText,
        places: tuple[str, str, str],
        span: tuple[Count, Count],
        p: Count,
        depth: Count,
    ) -> None:
        """One block of k of a span of rows: many at a time, then what is left."""
        x, y, out = places
        add = body.value(f"icmp ne i64 {p}, 0") if self.k > K_BLOCK[self.dtype] else "false"
        unit = self.panel_rows
        whole = self.n - self.n % unit
        pieces = [(span[0], body.least(span[1], whole), _GROUPS)] if whole else []
        if self.n > whole:
            pieces.append((body.most(span[0], whole), body.least(span[1], self.n), 1))
        for low, high, groups in pieces:
            part = _Rows(self.dtype, self.machine, groups, self.m, self.n, self.k, self.transpose_x)
            with body.loop(low, high, groups * self.lanes) as j:
                first = offset(body, y, body.multiply(j, self.k), self.dtype)
                target = offset(body, out, j, self.dtype)
                rows = body.least(body.subtract(self.n, j), groups * self.lanes)
                where = f"ptr {x}, ptr {first}, ptr {target}"
                body.call(part, f"{where}, i64 {rows}, i64 {depth}, i1 {add}")


@dataclass(frozen=True, slots=True)
class _Rows:
    """``out[i, j] (+)= Σ_k x[i, k] · y[j, k]`` for ``groups`` · ``lanes`` rows j.

    Rows of y are ``depth`` elements apart, and those of x unless it lies by columns, which are
    ``m`` apart; those of out are ``n`` apart. With one group there may be fewer rows: the last one
    is then read again in the place of those that are missing, whose sums are not stored.
    """

    dtype: DType
    machine: Machine
    groups: int
    m: int
    n: int
    depth: int
    transpose_x: bool

    @property
    def lanes(self) -> int:
        return self.machine.lanes(self.dtype)

    @property
    def symbol(self) -> str:
        shape = f"{self.groups}_{self.m}_{self.n}_{self.depth}_" + "nt"[self.transpose_x]
        return f"nets_gemm_dot_{self.dtype}x{self.lanes}_{shape}"

    @property
    def steps(self) -> int:
        """Steps of k that are read together: one square, or several for a single row of x."""
        return _STEPS if self.m == 1 else self.lanes

    @property
    def type(self) -> str:
        return f"<{self.lanes} x {scalar_name(self.dtype)}>"

    def text(self) -> str:
        """``void (ptr x, ptr y, ptr out, i64 rows, i64 k, i1 add)``."""
        body, count = KernelText(), self.groups * self.m
        sums = body.value(f"alloca [{count} x {self.type}], align 64")
        for number in range(count):
            at = body.offset(sums, number, self.type)
            body.line(f"store {self.type} zeroinitializer, ptr {at}")
        rows = self._addresses(body)
        # Blocks of k are multiples of the steps, so that only the last one has a tail.
        whole, tail = body.value(f"and i64 %k, {-self.steps}"), self.depth % self.steps
        with body.loop(0, whole, self.steps) as k, body.loop(0, self.groups, 1) as g:
            self._visit(body, rows, sums, g, k, self.steps)
        if tail:
            with body.loop(whole, "%k", tail) as k, body.loop(0, self.groups, 1) as g:
                self._visit(body, rows, sums, g, k, tail)
        self._store(body, sums)
        parameters = "ptr %x, ptr %y, ptr %out, i64 %rows, i64 %k, i1 %add"
        return body.function(self.symbol, parameters)

    def _addresses(self, body: KernelText) -> list[Count]:
        """Where each row of a group starts, in elements."""
        if self.groups > 1:
            return [r * self.depth for r in range(self.lanes)]
        last = body.subtract("%rows", 1)
        return [body.multiply(body.least(r, last), self.depth) for r in range(self.lanes)]

    def _visit(
        self,
        body: KernelText,
        rows: list[Count],
        sums: str,
        g: Count,
        k: Count,
        steps: int,
    ) -> None:
        """Adds so many steps from k on to the sums of group g."""
        start = body.add(body.multiply(g, self.lanes * self.depth), k)
        first = offset(body, "%y", start, self.dtype)
        addresses = [offset(body, first, row, self.dtype) for row in rows]
        held = body.offset(sums, body.multiply(g, self.m), self.type)
        places = [body.offset(held, i, self.type) for i in range(self.m)]
        totals = [body.value(f"load {self.type}, ptr {place}") for place in places]
        for step, column in enumerate(self._columns(body, addresses, steps)):
            for i, total in enumerate(totals):
                factor = self._factor(body, body.add(k, step), i)
                totals[i] = body.value(
                    f"call {self.type} @llvm.fma.v{self.lanes}{self.dtype}({self.type} {factor}, "
                    f"{self.type} {column}, {self.type} {total})"
                )
        for place, total in zip(places, totals, strict=True):
            body.line(f"store {self.type} {total}, ptr {place}")

    def _factor(self, body: KernelText, k: Count, i: int) -> str:
        """x[i, k] in every lane."""
        scalar = scalar_name(self.dtype)
        at = body.multiply(k, self.m if self.transpose_x else 1)
        pointer = offset(body, "%x", at, self.dtype)
        pointer = offset(body, pointer, i if self.transpose_x else i * self.depth, self.dtype)
        x = body.value(f"load {scalar}, ptr {pointer}, align {self.dtype.itemsize}")
        return body.splat(x, scalar, self.lanes)

    def _columns(self, body: KernelText, addresses: list[str], steps: int) -> Iterator[str]:
        """The first columns of what starts at these addresses, square by square."""
        if self.machine.vector_bytes >= self.machine.line_bytes:
            for address in addresses:
                ask(body, address, 2 * self.machine.ahead_bytes)
        for start in range(0, steps, self.lanes):
            count = min(self.lanes, steps - start)
            places = [offset(body, address, start, self.dtype) for address in addresses]
            if count == self.lanes:
                square = loaded_square(body, places, self.lanes, self.dtype)
                yield from square_columns(body, square, self.dtype)
            else:
                loaded = [self._load(body, place, count) for place in places]
                yield from transposed(body, loaded, self.dtype)[:count]

    def _load(self, body: KernelText, pointer: str, count: int) -> str:
        """A vector of which so many elements are there."""
        size = self.dtype.itemsize
        bits = ", ".join(f"i1 {int(lane < count)}" for lane in range(self.lanes))
        return body.value(
            f"call {self.type} @llvm.masked.load.v{self.lanes}{self.dtype}.p0(ptr {pointer}, "
            f"i32 {size}, <{self.lanes} x i1> <{bits}>, {self.type} zeroinitializer)"
        )

    def _store(self, body: KernelText, sums: str) -> None:
        """The sums of the rows that are there, added to what is there before on ``add``."""
        lanes, type, size = self.lanes, self.type, self.dtype.itemsize
        suffix = f"v{lanes}{self.dtype}.p0"
        numbers = ", ".join(f"i64 {lane}" for lane in range(lanes))
        counts = body.splat("%rows", "i64", lanes)
        for g, i in product(range(self.groups), range(self.m)):
            held = body.offset(sums, g * self.m + i, type)
            total = body.value(f"load {type}, ptr {held}")
            at = offset(body, "%out", i * self.n + g * lanes, self.dtype)
            mask = "splat (i1 true)"
            if self.groups == 1:
                mask = body.value(f"icmp ult <{lanes} x i64> <{numbers}>, {counts}")
            guard = body.splat("%add", "i1", lanes)
            reads = body.value(f"and <{lanes} x i1> {guard}, {mask}")
            old = body.value(
                f"call {type} @llvm.masked.load.{suffix}(ptr {at}, i32 {size}, "
                f"<{lanes} x i1> {reads}, {type} zeroinitializer)"
            )
            both = body.value(f"fadd {type} {old}, {total}")
            new = body.value(f"select i1 %add, {type} {both}, {type} {total}")
            body.line(
                f"call void @llvm.masked.store.{suffix}({type} {new}, ptr {at}, i32 {size}, "
                f"<{lanes} x i1> {mask})"
            )
