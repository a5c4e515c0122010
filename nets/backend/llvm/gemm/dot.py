"""A matrix of rows times one vector: many dot products, each in k order.

Lanes are rows. Squares of ``lanes`` rows and ``lanes`` steps are transposed in registers, so that
each step of k is one fused multiply-addition for all the rows; several squares are under way at a
time, for a chain of additions alone would wait for its own latency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.gemm.blocking import K_BLOCK
from nets.backend.llvm.gemm.nest import Count, Nest
from nets.backend.llvm.gemm.pack import offset, scalar_name, transposed
from nets.ir.types import DType

GROUPS: Final = 2
"""Groups of rows under way at a time."""

_SQUARES: Final = 2
"""Squares of a group that are read together: a cache line of each row, where vectors are half."""


@dataclass(frozen=True, slots=True)
class DotProduct:
    """``out[b, 0, j] = Σ_k x[b, k] · y[b, j, k]`` with all sizes positive."""

    dtype: DType
    batch: int
    n: int
    k: int
    lanes: int

    @property
    def name(self) -> str:
        return f"nets_gemm_{self.dtype}x{self.lanes}_dot_{self.batch}_{self.n}_{self.k}"

    @property
    def panel_rows(self) -> int:
        return GROUPS * self.lanes

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
        nest, unit = Nest(), self.panel_rows
        texts: dict[str, str] = {}
        with nest.entries(self.batch, -(-self.n // unit)) as (entry, low, high):
            x = offset(nest, "%x", nest.multiply(entry, self.k), self.dtype)
            y = offset(nest, "%y", nest.multiply(entry, self.n * self.k), self.dtype)
            out = offset(nest, "%out", nest.multiply(entry, self.n), self.dtype)
            first, end = nest.multiply(low, unit), nest.multiply(high, unit)
            block = K_BLOCK[self.dtype]
            with nest.loop(0, self.k, block) as p:
                operands = (offset(nest, x, p, self.dtype), offset(nest, y, p, self.dtype), out)
                depth = nest.least(nest.subtract(self.k, p), block)
                self._rows(nest, texts, operands, (first, end), p, depth)
        return {**texts, symbol: nest.function(symbol, parameters)}

    def _rows(
        self,
        nest: Nest,
        texts: dict[str, str],
        operands: tuple[str, str, str],
        span: tuple[Count, Count],
        p: Count,
        depth: Count,
    ) -> None:
        """One block of k of a span of rows: many at a time, then what is left."""
        x, y, out = operands
        add = nest.value(f"icmp ne i64 {p}, 0") if self.k > K_BLOCK[self.dtype] else "false"
        unit = self.panel_rows
        whole = self.n - self.n % unit
        pieces = [(span[0], nest.least(span[1], whole), GROUPS)] if whole else []
        if self.n > whole:
            pieces.append((nest.most(span[0], whole), nest.least(span[1], self.n), 1))
        for low, high, groups in pieces:
            part = _Rows(self.dtype, self.lanes, groups, self.k)
            texts[part.symbol] = part.text()
            with nest.loop(low, high, groups * self.lanes) as j:
                first = offset(nest, y, nest.multiply(j, self.k), self.dtype)
                target = offset(nest, out, j, self.dtype)
                rows = nest.least(nest.subtract(self.n, j), groups * self.lanes)
                nest.line(
                    f"call void @{part.symbol}(ptr {x}, ptr {first}, ptr {target}, i64 {rows}, "
                    f"i64 {depth}, i1 {add})"
                )


@dataclass(frozen=True, slots=True)
class _Rows:
    """``out[j] (+)= Σ_k x[k] · y[j, k]`` for ``groups`` · ``lanes`` rows, ``row`` elements apart.

    With one group there may be fewer rows: the last one is then read again in the place of those
    that are missing, whose sums are not stored.
    """

    dtype: DType
    lanes: int
    groups: int
    row: int

    @property
    def symbol(self) -> str:
        return f"nets_gemm_dot_{self.dtype}x{self.lanes}_{self.groups}_{self.row}"

    @property
    def type(self) -> str:
        return f"<{self.lanes} x {scalar_name(self.dtype)}>"

    def text(self) -> str:
        """``void (ptr x, ptr y, ptr out, i64 rows, i64 k, i1 add)``."""
        nest, lanes = Nest(), self.lanes
        sums = nest.value(f"alloca [{self.groups} x {self.type}], align 64")
        for group in range(self.groups):
            at = nest.offset(sums, group, self.type)
            nest.line(f"store {self.type} zeroinitializer, ptr {at}")
        rows = self._addresses(nest)
        whole = nest.value(f"and i64 %k, {-_SQUARES * lanes}")
        with nest.loop(0, whole, _SQUARES * lanes) as k, nest.loop(0, self.groups, 1) as g:
            self._visit(nest, rows, sums, g, k, self._squares)
        with nest.loop(whole, "%k", 1) as k, nest.loop(0, self.groups, 1) as g:
            self._visit(nest, rows, sums, g, k, self._column)
        self._store(nest, sums)
        parameters = "ptr %x, ptr %y, ptr %out, i64 %rows, i64 %k, i1 %add"
        return nest.function(self.symbol, parameters)

    def _addresses(self, nest: Nest) -> list[Count]:
        """Where each row of a group starts, in elements."""
        if self.groups > 1:
            return [r * self.row for r in range(self.lanes)]
        last = nest.subtract("%rows", 1)
        return [nest.multiply(nest.least(r, last), self.row) for r in range(self.lanes)]

    def _visit(
        self,
        nest: Nest,
        rows: list[Count],
        sums: str,
        g: Count,
        k: Count,
        columns: Callable[[Nest, list[str]], Iterator[str]],
    ) -> None:
        """Adds some steps of k to the sums of group g."""
        start = nest.add(nest.multiply(g, self.lanes * self.row), k)
        first = offset(nest, "%y", start, self.dtype)
        addresses = [offset(nest, first, row, self.dtype) for row in rows]
        at = nest.offset(sums, g, self.type)
        total = nest.value(f"load {self.type}, ptr {at}")
        x = offset(nest, "%x", k, self.dtype)
        for step, column in enumerate(columns(nest, addresses)):
            factor = self._factor(nest, offset(nest, x, step, self.dtype))
            total = nest.value(
                f"call {self.type} @llvm.fma.v{self.lanes}{self.dtype}({self.type} {factor}, "
                f"{self.type} {column}, {self.type} {total})"
            )
        nest.line(f"store {self.type} {total}, ptr {at}")

    def _factor(self, nest: Nest, pointer: str) -> str:
        scalar = scalar_name(self.dtype)
        x = nest.value(f"load {scalar}, ptr {pointer}, align {self.dtype.itemsize}")
        return nest.splat(x, scalar, self.lanes)

    def _squares(self, nest: Nest, addresses: list[str]) -> Iterator[str]:
        """The columns of the squares that start at these addresses."""
        size = self.dtype.itemsize
        for square in range(_SQUARES):
            loaded = []
            for address in addresses:
                at = offset(nest, address, square * self.lanes, self.dtype)
                loaded.append(nest.value(f"load {self.type}, ptr {at}, align {size}"))
            yield from transposed(nest, loaded, self.dtype)

    def _column(self, nest: Nest, addresses: list[str]) -> Iterator[str]:
        """The elements at these addresses."""
        scalar, column = scalar_name(self.dtype), "poison"
        for lane, address in enumerate(addresses):
            y = nest.value(f"load {scalar}, ptr {address}, align {self.dtype.itemsize}")
            column = nest.value(f"insertelement {self.type} {column}, {scalar} {y}, i64 {lane}")
        yield column

    def _store(self, nest: Nest, sums: str) -> None:
        """The sums of the rows that are there, added to what is there before on ``add``."""
        lanes, type, size = self.lanes, self.type, self.dtype.itemsize
        suffix = f"v{lanes}{self.dtype}.p0"
        numbers = ", ".join(f"i64 {lane}" for lane in range(lanes))
        counts = nest.splat("%rows", "i64", lanes)
        for g in range(self.groups):
            held = nest.offset(sums, g, type)
            total = nest.value(f"load {type}, ptr {held}")
            at = offset(nest, "%out", g * lanes, self.dtype)
            mask = "splat (i1 true)"
            if self.groups == 1:
                mask = nest.value(f"icmp ult <{lanes} x i64> <{numbers}>, {counts}")
            guard = nest.splat("%add", "i1", lanes)
            reads = nest.value(f"and <{lanes} x i1> {guard}, {mask}")
            old = nest.value(
                f"call {type} @llvm.masked.load.{suffix}(ptr {at}, i32 {size}, "
                f"<{lanes} x i1> {reads}, {type} zeroinitializer)"
            )
            both = nest.value(f"fadd {type} {old}, {total}")
            new = nest.value(f"select i1 %add, {type} {both}, {type} {total}")
            nest.line(
                f"call void @llvm.masked.store.{suffix}({type} {new}, ptr {at}, i32 {size}, "
                f"<{lanes} x i1> {mask})"
            )
