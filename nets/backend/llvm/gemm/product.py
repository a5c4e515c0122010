"""The loops around the microkernel for one product, and the packing between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.gemm.blocking import Blocking
from nets.backend.llvm.gemm.kernel_text import Count, KernelText
from nets.backend.llvm.gemm.microkernel import UNROLL, Microkernel
from nets.backend.llvm.gemm.pack import (
    PackColumns,
    PackRows,
    PackTransposed,
    offset,
    operands,
    pack,
)
from nets.ir.sizes import Dim
from nets.ir.types import DType
from nets.locks import made_once
from nets.machine.machine import Machine
from nets.ops.loop.kernels import K_BLOCK

BATCH_PANELS: Final = 8
"""From this batch size on, the panels are the batch entries."""

_NEAR_BYTES: Final = 2048
"""A result of this size takes so little time that to ask for its memory would be a part of it."""


@dataclass(frozen=True, slots=True)
class _KBlock:
    """A block of k: the operands and where panels of B are packed; its steps; whether it adds."""

    x: str
    y: str
    out: str
    panels: str
    start: Count
    depth: Count
    add: str


@dataclass(frozen=True, slots=True)
class Open:
    """Which sizes of a product the kernel is told when it is called."""

    batch: bool = False
    m: bool = False
    n: bool = False
    k: bool = False

    @property
    def parameters(self) -> list[str]:
        """What the kernel is told, in this order."""
        return [name for name in ("m", "n", "k") if getattr(self, name)]


CLOSED: Final = Open()


@dataclass(frozen=True)
class Product:
    """``out[b, i, j] = Σ_k x[b, i, k] · y[b, k, j]`` with all sizes positive.

    The sizes that are ``open`` may be any when the kernel is called, 0 as well; here they are what
    is usual.
    """

    dtype: DType
    batch: int
    m: int
    n: int
    k: int
    transpose_x: bool
    transpose_y: bool
    blocking: Blocking
    machine: Machine
    open: Open = CLOSED

    @property
    def rows(self) -> Count:
        """m, of any call."""
        return "%m" if self.open.m else self.m

    @property
    def columns(self) -> Count:
        """n, of any call."""
        return "%n" if self.open.n else self.n

    @property
    def steps(self) -> Count:
        """k, of any call."""
        return "%k" if self.open.k else self.k

    @property
    def name(self) -> str:
        layout = "nt"[self.transpose_x] + "nt"[self.transpose_y]
        open = (self.open.batch, self.open.m, self.open.n, self.open.k)
        sizes = zip((self.batch, self.m, self.n, self.k), open, strict=True)
        shape = "_".join("any" * is_open + str(size) for size, is_open in sizes) + f"_{layout}"
        return f"nets_gemm_{self.dtype}x{self.blocking.lanes}_{shape}"

    @made_once
    def by_columns(self) -> bool:
        """Whether panels are groups of columns; else of rows.

        What is packed should be shared out, not packed by every thread. Where that is no matter,
        rows have the whole of their memory for themselves.
        """
        if self.blocking.pack_b:
            return self.n >= self.m
        return _evenness(self._panels_of_columns) > _evenness(self._panels_of_rows)

    @property
    def _panels_of_rows(self) -> int:
        return -(-self.m // self.blocking.rows)

    @property
    def _panels_of_columns(self) -> int:
        return -(-self.n // self.blocking.columns)

    @property
    def panels_per_entry(self) -> int:
        if self.batch >= BATCH_PANELS or self.open.batch:
            return 1
        return self._panels_of_columns if self.by_columns else self._panels_of_rows

    @property
    def panels(self) -> int:
        return self.batch * self.panels_per_entry

    def panels_of(self, m: Dim, n: Dim) -> Dim:
        """How many panels an entry has in a call with these sizes."""
        if not self._has_open_panels:
            return self.panels_per_entry
        blocking = self.blocking
        size, unit = (n, blocking.columns) if self.by_columns else (m, blocking.rows)
        return (size + (unit - 1)) // unit

    @made_once
    def _last_rows(self) -> int:
        """Rows of each of the last two tiles where they share their rows evenly, else 0.

        Rows that are split into panels or blocks, or lie packed tile by tile, are not shared.
        """
        blocking = self.blocking
        split = self.panels_per_entry > 1 and not self.by_columns
        if self.open.m:
            return 0
        if split or blocking.block_rows < self.m or (blocking.pack_a and self.transpose_x):
            return 0
        return blocking.shared_rows

    @property
    def _first_rows(self) -> int:
        """Rows of the first tile."""
        return self._last_rows if self.m == 2 * self._last_rows else self.blocking.rows

    @property
    def depth(self) -> int:
        """Steps of k between packed rows and panels: the longest k-block, in whole cache lines."""
        longest = K_BLOCK[self.dtype]
        return -(-(longest if self.open.k else min(self.k, longest)) // 16) * 16

    @property
    def a_bytes(self) -> int:
        blocking = self.blocking
        return blocking.block_rows * self.depth * self.dtype.itemsize if blocking.pack_a else 0

    @property
    def workspace_bytes(self) -> int:
        blocking = self.blocking
        b_bytes = blocking.block_columns * self.depth * self.dtype.itemsize
        return self.a_bytes + (b_bytes if blocking.pack_b else 0)

    def write(self, symbol: str, parameters: str) -> dict[str, str]:
        """The function and all it calls, by symbol."""
        body = KernelText()
        with body.entries(self.batch, self._panels_of_entry(body)) as (b, low, high):
            rows: tuple[Count, Count] = (0, self.rows)
            columns: tuple[Count, Count] = (0, self.columns)
            if self.panels_per_entry > 1 or self._has_open_panels:
                if self.by_columns:
                    columns = self._range(body, low, high, self.blocking.columns, self.columns)
                else:
                    rows = self._range(body, low, high, self.blocking.rows, self.rows)
            x, y, out = operands(body, b, (self.rows, self.columns, self.steps), self.dtype)
            self._blocks(body, (x, y, out), rows, columns)
        return body.functions(symbol, parameters)

    @property
    def _has_open_panels(self) -> bool:
        """Whether a call tells how many panels an entry has."""
        is_split = self.batch < BATCH_PANELS and not self.open.batch
        return is_split and (self.open.n if self.by_columns else self.open.m)

    def _panels_of_entry(self, body: KernelText) -> Count:
        if not self._has_open_panels or self.batch == 1:
            return self.panels_per_entry
        blocking = self.blocking
        unit = blocking.columns if self.by_columns else blocking.rows
        size = self.columns if self.by_columns else self.rows
        return body.most(body.divide(body.add(size, unit - 1), unit), 1)

    def _range(
        self, body: KernelText, low: Count, high: Count, unit: int, size: Count
    ) -> tuple[Count, Count]:
        return body.multiply(low, unit), body.least(body.multiply(high, unit), size)

    def _blocks(
        self,
        body: KernelText,
        places: tuple[str, str, str],
        rows: tuple[Count, Count],
        columns: tuple[Count, Count],
    ) -> None:
        """The loops over blocks of k, of columns and of rows."""
        blocking, block = self.blocking, K_BLOCK[self.dtype]
        panels = body.offset("%workspace", self.a_bytes, "i8")
        # A sum of no terms takes one step as well, which stores zeros.
        end = body.most(self.steps, 1) if self.open.k else self.k
        with body.loop(0, end, block) as p:
            depth = body.least(body.subtract(self.steps, p), block)
            adds = self.open.k or self.k > block
            add = body.value(f"icmp ne i64 {p}, 0") if adds else "false"
            part = _KBlock(*places, panels, p, depth, add)
            if blocking.pack_a and blocking.by_panels:
                self._pack_a(body, part, *rows)
            with body.loop(*columns, blocking.block_columns) as j0:
                j1 = body.least(body.add(j0, blocking.block_columns), columns[1])
                below = rows
                if blocking.packs_on_the_way:
                    below = (body.least(body.add(rows[0], self._first_rows), rows[1]), rows[1])
                    self._tiles(body, part, (rows[0], below[0]), (j0, j1), rows[0], packs=True)
                elif blocking.pack_b:
                    self._pack_b(body, part, j0, j1)
                with body.loop(*below, blocking.block_rows) as i0:
                    i1 = body.least(body.add(i0, blocking.block_rows), rows[1])
                    if blocking.pack_a and not blocking.by_panels:
                        self._pack_a(body, part, i0, i1)
                    first = rows[0] if blocking.by_panels else i0
                    self._tiles(body, part, (i0, i1), (j0, j1), first)

    def _tiles(
        self,
        body: KernelText,
        part: _KBlock,
        rows: tuple[Count, Count],
        columns: tuple[Count, Count],
        first: Count,
        packs: bool = False,
    ) -> None:
        """The tiles of a block of C, panel by panel.

        ``first`` is the first row of A that is packed; kernels that pack B may run before any is.
        """
        blocking, row = self.blocking, body.multiply(self.columns, self.dtype.itemsize)
        packed_a = blocking.pack_a and (blocking.by_panels or not packs)
        for j, width, few_columns in self._pieces(body, *columns, self.columns, blocking.columns):
            panel = self._panel(body, part, columns[0], j) if blocking.pack_b else ""
            b = panel if blocking.pack_b and not packs else self._y(body, part, j)
            for i, height, few_rows in self._pieces(
                body, *rows, self.rows, blocking.rows, self._last_rows
            ):
                a = self._packed_a(body, first, i) if packed_a else self._x(body, part, i)
                at = body.add(body.multiply(i, self.columns), j)
                c = offset(body, part.out, at, self.dtype)
                stride = self._a_stride(body, packed_a)
                matrices = f"ptr {a}, i64 {stride}, ptr {b}, i64 {row}, ptr {c}"
                goal = f", ptr {panel}" if packs else ""
                goal += "".join(
                    f", i64 {few}" for few in (few_rows, few_columns) if few is not None
                )
                body.call(
                    self._microkernel(height, width, packs),
                    f"{matrices}, i64 {row}, i64 {part.depth}, i1 {part.add}{goal}",
                )

    def _pieces(
        self, body: KernelText, low: Count, high: Count, size: Count, unit: int, last: int = 0
    ) -> Iterator[tuple[Count, int, Count | None]]:
        """Loops over the whole tiles from low to high, and then over the last, smaller one.

        ``high`` is a multiple of the unit, or ``size``. With ``last``, there are two smaller ones
        of that size in the place of one that is whole and one that is not. Of a size that a call
        tells, every tile is told how much of it there is.
        """
        if isinstance(size, str):
            with body.loop(low, high, unit) as at:
                yield at, unit, body.least(body.subtract(high, at), unit)
            return
        rest = size % unit
        whole = size - (2 * last or rest)
        if whole:
            with body.loop(low, body.least(high, whole), unit) as at:
                yield at, unit, None
        if rest and not (isinstance(high, int) and high <= whole):
            with body.loop(body.most(low, whole), high, last or unit) as at:
                yield at, last or rest, None

    def _microkernel(self, rows: int, columns: int, packs: bool) -> Microkernel:
        return Microkernel(
            self.dtype,
            self.machine,
            self.blocking.lanes,
            rows,
            columns,
            a_by_rows=not self.transpose_x,
            packed=self.blocking.pack_b and not packs,
            adds=self.open.k or self.k > K_BLOCK[self.dtype],
            even=not self.open.k and self.k % UNROLL == 0,
            ahead=self.blocking.ahead or packs,
            near=self.m * self.n * self.dtype.itemsize <= _NEAR_BYTES,
            packs=packs,
            open_rows=self.open.m,
            open_columns=self.open.n,
        )

    def _a_stride(self, body: KernelText, is_packed: bool) -> Count:
        """Bytes between rows of A, or between its steps where it lies by columns."""
        packed, loose = (
            (self.blocking.rows, self.rows) if self.transpose_x else (self.depth, self.steps)
        )
        return body.multiply(packed if is_packed else loose, self.dtype.itemsize)

    # Where the operands are, and how they get there. Panels are `depth` · width elements long.
    def _packed_a(self, body: KernelText, first: Count, i: Count) -> str:
        at = body.multiply(body.subtract(i, first), self.depth)
        return offset(body, "%workspace", at, self.dtype)

    def _x(self, body: KernelText, part: _KBlock, i: Count) -> str:
        if self.transpose_x:
            at = body.add(body.multiply(part.start, self.rows), i)
        else:
            at = body.add(body.multiply(i, self.steps), part.start)
        return offset(body, part.x, at, self.dtype)

    def _panel(self, body: KernelText, part: _KBlock, j0: Count, j: Count) -> str:
        at = body.multiply(body.subtract(j, j0), self.depth)
        return offset(body, part.panels, at, self.dtype)

    def _y(self, body: KernelText, part: _KBlock, j: Count) -> str:
        if self.transpose_y:
            at = body.add(body.multiply(j, self.steps), part.start)
        else:
            at = body.add(body.multiply(part.start, self.columns), j)
        return offset(body, part.y, at, self.dtype)

    def _pack_a(self, body: KernelText, part: _KBlock, i0: Count, i1: Count) -> None:
        packed = "%workspace"
        if self.transpose_x:
            source, unit = self._x(body, part, i0), self.blocking.rows
            self._pack_panels(body, source, packed, part.depth, (i0, i1, self.m), unit, unit)
            return
        rows, distances = body.subtract(i1, i0), (self.steps, self.depth)
        source = self._x(body, part, i0)
        pack(body, PackRows(self.dtype), source, packed, (rows, part.depth), distances)

    def _pack_b(self, body: KernelText, part: _KBlock, j0: Count, j1: Count) -> None:
        lanes, unit = self.blocking.lanes, self.blocking.columns
        if not self.transpose_y:
            source, span = self._y(body, part, j0), (j0, j1, self.n)
            self._pack_panels(body, source, part.panels, part.depth, span, unit, lanes)
            return
        for j, width, few in self._pieces(body, j0, j1, self.columns, unit):
            panel = self._panel(body, part, j0, j)
            pitch = -(-width // lanes) * lanes
            for first in range(0, width, lanes):
                packer = PackTransposed(self.dtype, lanes, self.machine)
                source = self._y(body, part, body.add(j, first))
                target = offset(body, panel, first, self.dtype)
                count = body.least(lanes, body.subtract(width if few is None else few, first))
                if few is not None:
                    count = body.most(count, 0)
                sizes, distances = (count, part.depth), (self.steps, pitch)
                pack(body, packer, source, target, sizes, distances)

    def _pack_panels(
        self,
        body: KernelText,
        source: str,
        packed: str,
        depth: Count,
        span: tuple[Count, Count, int],
        unit: int,
        whole: int,
    ) -> None:
        """Columns from span[0] below span[1], of span[2] in all, into panels of ``unit``.

        A last, narrower panel is padded to a multiple of ``whole``.
        """
        low, high, size = span
        end = size - size % unit
        distances = (size, self.depth * unit)
        if end:
            part = PackColumns(self.dtype, unit, unit)
            count = body.divide(body.most(body.subtract(body.least(high, end), low), 0), unit)
            pack(body, part, source, packed, (count, depth), distances)
        if size % unit:
            pitch = -(-(size % unit) // whole) * whole
            part = PackColumns(self.dtype, size % unit, pitch)
            with body.loop(body.most(low, end), high, unit) as at:
                done = body.subtract(at, low)
                last = offset(body, source, done, self.dtype)
                target = offset(body, packed, body.multiply(done, self.depth), self.dtype)
                pack(body, part, last, target, (1, depth), distances)


def _evenness(panels: int) -> float:
    """How much of the time two threads that share the panels are both at work."""
    return panels / (panels + panels % 2)
