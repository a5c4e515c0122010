"""A few rows times a matrix, where few registers do not hold a tile that reads B only once.

B is read in strips of a few rows, each strip from left to right: so each row is a stream that the
hardware can load ahead. While a piece of a strip is in the L1 cache, it is multiplied with all rows
of x. Until the last strip of a block of k is done, the sums of a tile stand side by side in the
workspace; then they move to C. An element of C is the same chain of multiply-additions as in every
other kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Final

from nets.backend.llvm.gemm.kernel_text import Count, KernelText
from nets.backend.llvm.gemm.pack import offset, operands, scalar_name
from nets.ir.types import DType
from nets.machine.machine import Machine
from nets.ops.loop.kernels import K_BLOCK

_MOST_ROWS: Final = 8

_ROWS: Final = 6
"""Rows of a tile, at most."""


def suits(m: int, n: int, k: int, size: int, machine: Machine) -> bool:
    """Whether elements of B are used too few times to be worth a place in the caches.

    Where registers are many, tiles of `Product` read B once without this.
    """
    is_distant = k * n * size >= machine.distant_bytes
    return not machine.has_many_registers and m <= _MOST_ROWS and is_distant


@dataclass(frozen=True, slots=True)
class FewRows:
    """``out[b, i, j] = Σ_k x[b, i, k] · y[b, k, j]`` with all sizes positive and few rows i.

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
        return f"nets_gemm_{self.dtype}x{self.lanes}_few_{shape}"

    @property
    def strip(self) -> int:
        """Rows of B that are read side by side: where they lie a page apart, they meet in one set
        of the L1 cache."""
        return self.machine.l1_ways

    @property
    def panels(self) -> int:
        """A panel is a tile's columns in one entry of the batch."""
        return self.batch * -(-self.n // self._strip(self.strip).columns)

    @property
    def workspace_bytes(self) -> int:
        """The sums of a block of k, in whole tiles."""
        columns = self._strip(self.strip).columns
        return self.m * -(-self.n // columns) * columns * self.dtype.itemsize

    def write(self, symbol: str, parameters: str) -> dict[str, str]:
        """The function and all it calls, by symbol."""
        body, unit = KernelText(), self._strip(self.strip).columns
        with body.entries(self.batch, -(-self.n // unit)) as (entry, low, high):
            places = operands(body, entry, (self.m, self.n, self.k), self.dtype)
            span = body.multiply(low, unit), body.multiply(high, unit)
            block = K_BLOCK[self.dtype]
            whole = self.k - self.k % block
            if whole:
                with body.loop(0, whole, block) as p:
                    self._block(body, places, span, p, block)
            if self.k % block:
                self._block(body, places, span, whole, self.k % block)
        return body.functions(symbol, parameters)

    def _block(
        self, body: KernelText, places: list[str], span: tuple[Count, Count], p: Count, depth: int
    ) -> None:
        """One block of k from p on, strip by strip; the last one moves the sums to C."""
        row = self.m * self.dtype.itemsize
        start = body.offset("%workspace", body.multiply(span[0], row), "i8")
        count = body.multiply(body.subtract(span[1], span[0]), row)
        body.line(f"call void @llvm.memset.p0.i64(ptr {start}, i8 0, i64 {count}, i1 false)")
        add = body.value(f"icmp ne i64 {p}, 0") if self.k > K_BLOCK[self.dtype] else "false"
        whole = depth - depth % self.strip
        if whole:
            with body.loop(0, whole, self.strip) as s:
                ends = body.value(f"icmp eq i64 {s}, {depth - self.strip}")
                strip = self._strip(self.strip)
                self._call(body, strip, places, span, body.add(p, s), f"i1 {ends}, i1 {add}")
        if depth > whole:
            strip = self._strip(depth - whole)
            self._call(body, strip, places, span, body.add(p, whole), f"i1 true, i1 {add}")

    def _call(
        self,
        body: KernelText,
        strip: _Strip,
        places: list[str],
        span: tuple[Count, Count],
        k: Count,
        flags: str,
    ) -> None:
        x, y, out = places
        a = offset(body, x, body.multiply(k, strip.a_step), self.dtype)
        b = offset(body, y, body.multiply(k, self.n), self.dtype)
        where = f"ptr {a}, ptr {b}, ptr %workspace, ptr {out}, i64 {span[0]}, i64 {span[1]}"
        body.call(strip, f"{where}, {flags}")

    def _strip(self, rows: int) -> _Strip:
        a_row, a_step = (1, self.m) if self.transpose_x else (self.k, 1)
        return _Strip(self.dtype, self.machine, self.m, self.n, rows, a_row, a_step)


@dataclass(frozen=True, slots=True)
class _Strip:
    """``sums[i, j] = fma(x[i, rows−1], B[rows−1, j], … fma(x[i, 0], B[0, j], sums[i, j]))``.

    Elements of x are ``a_row`` apart from row to row, ``a_step`` from step to step.
    """

    dtype: DType
    machine: Machine
    m: int
    n: int
    rows: int
    a_row: int
    a_step: int

    @property
    def lanes(self) -> int:
        return self.machine.lanes(self.dtype)

    @property
    def symbol(self) -> str:
        shape = f"{self.m}_{self.n}_{self.rows}_{self.a_row}_{self.a_step}"
        return f"nets_gemm_few_{self.dtype}x{self.lanes}_{shape}"

    @property
    def rows_at_once(self) -> int:
        """Rows of x in a tile: as many as registers hold, or fewer that share them out evenly."""
        return -(-self.m // -(-self.m // _ROWS))

    @property
    def columns(self) -> int:
        """Columns of a tile: enough vectors for the sums that must be under way."""
        return -(-self.machine.sums_under_way // self.rows_at_once) * self.lanes

    @property
    def type(self) -> str:
        return f"<{self.lanes} x {scalar_name(self.dtype)}>"

    def text(self) -> str:
        """``void (ptr a, ptr b, ptr sums, ptr c, i64 low, i64 high, i1 ends, i1 add)``.

        For the tiles from column ``low`` on below ``high``. The sums move to C where this ``ends``
        a block of k, and are added to it on ``add``.
        """
        body = KernelText()
        whole = self.n - self.n % self.columns
        if whole:
            with body.loop("%low", body.least("%high", whole), self.columns) as j:
                self._piece(body, j, self.columns)
        if self.n > whole:
            with body.loop(body.most("%low", whole), "%high", self.columns) as j:
                self._piece(body, j, self.n - whole)
        parameters = "ptr %a, ptr %b, ptr %sums, ptr %c, i64 %low, i64 %high"
        parameters += ", i1 %ends, i1 %add"
        return body.function(self.symbol, parameters)

    def _piece(self, body: KernelText, j: Count, columns: int) -> None:
        """All rows of x times some columns of B, tile by tile."""
        whole = self.m - self.m % self.rows_at_once
        with body.loop(0, whole, self.rows_at_once) as i:
            self._tile(body, (i, j), self.rows_at_once, columns)
        if self.m > whole:
            self._tile(body, (whole, j), self.m - whole, columns)

    def _tile(self, body: KernelText, at: tuple[Count, Count], rows: int, columns: int) -> None:
        (i, j), vectors = at, -(-columns // self.lanes)
        masks = [self._mask(columns, v) for v in range(vectors)]
        first = body.add(body.multiply(j, self.m), body.multiply(i, vectors * self.lanes))
        sums = offset(body, "%sums", first, self.dtype)
        held = [offset(body, sums, v * self.lanes, self.dtype) for v in range(rows * vectors)]
        totals = [body.value(f"load {self.type}, ptr {pointer}") for pointer in held]
        a = offset(body, "%a", body.multiply(i, self.a_row), self.dtype)
        b = offset(body, "%b", j, self.dtype)
        for step in range(self.rows):
            self._step(body, (a, b), step, totals, masks)
        with body.when(body.value("xor i1 %ends, true")):
            for total, pointer in zip(totals, held, strict=True):
                body.line(f"store {self.type} {total}, ptr {pointer}")
        with body.when("%ends"):
            c = offset(body, "%c", body.add(body.multiply(i, self.n), j), self.dtype)
            self._finish(body, c, totals, masks)

    def _step(
        self,
        body: KernelText,
        places: tuple[str, str],
        step: int,
        totals: list[str],
        masks: list[str],
    ) -> None:
        """One row of B for a tile, whose totals lie row by row."""
        a, b = places
        row = offset(body, b, step * self.n, self.dtype)
        vectors = [
            self._load(body, offset(body, row, v * self.lanes, self.dtype), mask)
            for v, mask in enumerate(masks)
        ]
        for r in range(len(totals) // len(masks)):
            factor = self._factor(body, a, r * self.a_row + step * self.a_step)
            for v, vector in enumerate(vectors, start=r * len(masks)):
                totals[v] = body.value(
                    f"call {self.type} @llvm.fma.v{self.lanes}{self.dtype}({self.type} {factor}, "
                    f"{self.type} {vector}, {self.type} {totals[v]})"
                )

    def _finish(self, body: KernelText, c: str, totals: list[str], masks: list[str]) -> None:
        """The totals of a tile to C, or added to it."""
        rows, vectors = range(len(totals) // len(masks)), range(len(masks))
        goals = [
            (offset(body, c, r * self.n + v * self.lanes, self.dtype), masks[v])
            for r, v in product(rows, vectors)
        ]
        # Not chosen by a select, for LLVM would load the whole strip before the first addition.
        with body.when("%add"):
            for total, goal in zip(totals, goals, strict=True):
                old = self._load(body, *goal)
                self._store(body, body.value(f"fadd {self.type} {old}, {total}"), *goal)
        with body.when(body.value("xor i1 %add, true")):
            for total, goal in zip(totals, goals, strict=True):
                self._store(body, total, *goal)

    def _factor(self, body: KernelText, a: str, at: int) -> str:
        """An element of x in every lane."""
        scalar, pointer = scalar_name(self.dtype), offset(body, a, at, self.dtype)
        x = body.value(f"load {scalar}, ptr {pointer}, align {self.dtype.itemsize}")
        return body.splat(x, scalar, self.lanes)

    def _mask(self, columns: int, v: int) -> str:
        """Which lanes of vector v are there, or nothing where all are."""
        count = columns - v * self.lanes
        bits = ", ".join(f"i1 {int(lane < count)}" for lane in range(self.lanes))
        return f"<{self.lanes} x i1> <{bits}>" if count < self.lanes else ""

    def _load(self, body: KernelText, pointer: str, mask: str) -> str:
        size = self.dtype.itemsize
        if not mask:
            return body.value(f"load {self.type}, ptr {pointer}, align {size}")
        return body.value(
            f"call {self.type} @llvm.masked.load.v{self.lanes}{self.dtype}.p0(ptr {pointer}, "
            f"i32 {size}, {mask}, {self.type} zeroinitializer)"
        )

    def _store(self, body: KernelText, value: str, pointer: str, mask: str) -> None:
        size = self.dtype.itemsize
        if not mask:
            body.line(f"store {self.type} {value}, ptr {pointer}, align {size}")
            return
        body.line(
            f"call void @llvm.masked.store.v{self.lanes}{self.dtype}.p0({self.type} {value}, "
            f"ptr {pointer}, i32 {size}, {mask})"
        )
