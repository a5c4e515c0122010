"""One row times a matrix, where every element of B is used once and memory sets the pace.

B is read in strips of a few rows, from left to right, so that each row is one stream; the row of
C waits in the cache meanwhile. An element of C is the same chain of multiply-additions as ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.gemm.kernel_text import Count, KernelText
from nets.backend.llvm.gemm.pack import offset, operands, scalar_name
from nets.ir.types import DType
from nets.machine.machine import Machine
from nets.ops.loop.kernels import K_BLOCK

_PANEL_BYTES: Final = 256
"""Columns of a panel, in bytes."""


@dataclass(frozen=True, slots=True)
class RowProduct:
    """``out[b, 0, j] = Σ_k x[b, k] · y[b, k, j]`` with all sizes positive."""

    dtype: DType
    batch: int
    n: int
    k: int
    machine: Machine

    @property
    def lanes(self) -> int:
        return self.machine.lanes(self.dtype)

    @property
    def name(self) -> str:
        return f"nets_gemm_{self.dtype}x{self.lanes}_row_{self.batch}_{self.n}_{self.k}"

    @property
    def panel_columns(self) -> int:
        return _PANEL_BYTES // self.dtype.itemsize

    @property
    def panels(self) -> int:
        """A panel is a group of columns of one entry of the batch."""
        return self.batch * -(-self.n // self.panel_columns)

    @property
    def distant(self) -> bool:
        """Whether B is worth asking for early, since the hardware would ask for main memory too
        late; from a cache it would cost time."""
        size = self.batch * self.k * self.n * self.dtype.itemsize
        return size >= self.machine.last_cache_bytes * 3 // 2

    @property
    def strip(self) -> int:
        """Rows of B that are read side by side: where they lie a page apart, they and C meet in
        one set of the L1 cache."""
        return self.machine.l1_ways - 2

    @property
    def workspace_bytes(self) -> int:
        """A row of sums of one k-block, where there are several."""
        return self.n * self.dtype.itemsize if self.k > K_BLOCK[self.dtype] else 0

    def write(self, symbol: str, parameters: str) -> dict[str, str]:
        """The function and all it calls, by symbol."""
        body = KernelText()
        panels = -(-self.n // self.panel_columns)
        with body.entries(self.batch, panels) as (entry, low, high):
            left = body.multiply(low, self.panel_columns)
            right = body.least(body.multiply(high, self.panel_columns), self.n)
            x, y, out = operands(body, entry, (1, self.n, self.k), self.dtype)
            y, out = (offset(body, pointer, left, self.dtype) for pointer in (y, out))
            columns = body.most(body.subtract(right, left), 0)
            self._blocks(body, (x, y, out), columns)
        return body.functions(symbol, parameters)

    def _blocks(self, body: KernelText, places: tuple[str, str, str], columns: Count) -> None:
        """The blocks of k: the first straight into C, the others into the workspace, then added."""
        block = K_BLOCK[self.dtype]
        out = places[2]
        self._strips(body, places, columns, 0, min(self.k, block))
        if self.k <= block:
            return
        adder = _AddRow(self.dtype, self.lanes)
        whole = self.k - self.k % block
        sums = (*places[:2], "%workspace")
        with body.loop(block, whole, block) as p:
            self._strips(body, sums, columns, p, block)
            body.call(adder, f"ptr {out}, ptr %workspace, i64 {columns}")
        if self.k % block:
            self._strips(body, sums, columns, whole, self.k % block)
            body.call(adder, f"ptr {out}, ptr %workspace, i64 {columns}")

    def _strips(
        self,
        body: KernelText,
        places: tuple[str, str, str],
        columns: Count,
        p: Count,
        depth: int,
    ) -> None:
        """One block of k from p on, strip by strip; the first strip starts the sums."""
        strip = self.strip
        whole = depth - depth % strip
        pieces = [(0, whole, strip)] if whole else []
        if depth % strip:
            pieces.append((whole, depth, depth % strip))
        for low, high, rows in pieces:
            part = _Strip(self.dtype, self.lanes, rows, self.n, 2 * strip * self.distant)
            with body.loop(low, high, rows) as s:
                k = body.add(p, s)
                a = offset(body, places[0], k, self.dtype)
                b = offset(body, places[1], body.multiply(k, self.n), self.dtype)
                first = body.value(f"icmp eq i64 {s}, 0")
                body.call(part, f"ptr {a}, ptr {b}, ptr {places[2]}, i64 {columns}, i1 {first}")


@dataclass(frozen=True, slots=True)
class _Strip:
    """c[j] = fma(a[rows−1], B[rows−1, j], … fma(a[0], B[0, j], c[j])), or from 0 on ``first``."""

    dtype: DType
    lanes: int
    rows: int
    row: int
    ahead: int
    """Rows from here to those that are asked for; 0 where none are."""

    @property
    def symbol(self) -> str:
        shape = f"{self.rows}_{self.row}" + "_distant" * (self.ahead > 0)
        return f"nets_gemm_strip_{self.dtype}x{self.lanes}_{shape}"

    def text(self) -> str:
        """``void (ptr a, ptr b, ptr c, i64 columns, i1 first)``."""
        body, size, scalar = KernelText(), self.dtype.itemsize, scalar_name(self.dtype)
        factors = []
        for r in range(self.rows):
            at = offset(body, "%a", r, self.dtype)
            factors.append(body.value(f"load {scalar}, ptr {at}, align {size}"))
        splats = [body.splat(factor, scalar, self.lanes) for factor in factors]
        whole = body.value(f"and i64 %columns, {-self.lanes}")
        with body.loop(0, whole, self.lanes) as j:
            self._chain(body, j, splats, f"<{self.lanes} x {scalar}>", f"v{self.lanes}")
            if self.ahead:
                self._ask(body, j)
        with body.loop(whole, "%columns", 1) as j:
            self._chain(body, j, factors, scalar, "")
        return body.function(self.symbol, "ptr %a, ptr %b, ptr %c, i64 %columns, i1 %first")

    def _ask(self, body: KernelText, j: Count) -> None:
        """The strip after the next, into the L2 cache."""
        for r in range(self.ahead, self.ahead + self.rows):
            at = offset(body, "%b", body.add(j, r * self.row), self.dtype)
            body.line(f"call void @llvm.prefetch.p0(ptr {at}, i32 0, i32 2, i32 1)")

    def _chain(self, body: KernelText, j: Count, factors: list[str], type: str, lanes: str) -> None:
        size = self.dtype.itemsize
        c = offset(body, "%c", j, self.dtype)
        old = body.value(f"load {type}, ptr {c}, align {size}")
        total = body.value(f"select i1 %first, {type} zeroinitializer, {type} {old}")
        for r, factor in enumerate(factors):
            at = offset(body, "%b", body.add(j, r * self.row), self.dtype)
            b = body.value(f"load {type}, ptr {at}, align {size}")
            total = body.value(
                f"call {type} @llvm.fma.{lanes}{self.dtype}({type} {factor}, {type} {b}, "
                f"{type} {total})"
            )
        body.line(f"store {type} {total}, ptr {c}, align {size}")


@dataclass(frozen=True, slots=True)
class _AddRow:
    """c[j] += s[j]: a finished k-block joins the result."""

    dtype: DType
    lanes: int

    @property
    def symbol(self) -> str:
        return f"nets_gemm_add_row_{self.dtype}x{self.lanes}"

    def text(self) -> str:
        """``void (ptr c, ptr s, i64 columns)``."""
        body, scalar = KernelText(), scalar_name(self.dtype)
        whole = body.value(f"and i64 %columns, {-self.lanes}")
        with body.loop(0, whole, self.lanes) as j:
            self._add(body, j, f"<{self.lanes} x {scalar}>")
        with body.loop(whole, "%columns", 1) as j:
            self._add(body, j, scalar)
        return body.function(self.symbol, "ptr %c, ptr %s, i64 %columns")

    def _add(self, body: KernelText, j: Count, type: str) -> None:
        size = self.dtype.itemsize
        c, s = (offset(body, pointer, j, self.dtype) for pointer in ("%c", "%s"))
        x = body.value(f"load {type}, ptr {c}, align {size}")
        y = body.value(f"load {type}, ptr {s}, align {size}")
        total = body.value(f"fadd {type} {x}, {y}")
        body.line(f"store {type} {total}, ptr {c}, align {size}")
