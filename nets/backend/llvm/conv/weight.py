"""conv_weight: sums over the places of all images, a tile of channels and taps at a time.

For some blocks of rows, x is copied to the workspace with its zeros around it, and y turned so that
its channels are neighbours. Then every place is a rank-1 update of the tile: its rows are the
elements of x that pairs of channel and tap meet, its columns channels of y. A tile takes one block
after the other, so that it stays in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from nets.backend.llvm.conv.correlation_shape import odd_lines
from nets.backend.llvm.conv.microkernels import PlaceMicrokernel
from nets.backend.llvm.conv.rows import RowCopier
from nets.backend.llvm.conv.tiles import tile_of
from nets.backend.llvm.gemm.kernel_text import Count, KernelText
from nets.backend.llvm.gemm.pack import PackTransposed, offset, pack, scalar_name
from nets.ir.types import DType
from nets.locks import made_once
from nets.machine.machine import Machine
from nets.ops.tensor.conv_geometry import place_block, row_block

_DISTANCE: Final = 8
"""Bytes of an entry of a table of distances."""

_GROUP_BYTES: Final = 4 << 20
"""What the blocks that are copied at once may take."""


@dataclass(frozen=True)
class WeightSums:
    """``out[g, r, c, tap] = Σ y[n, g, r, place] · x[n, g, c, …]`` with all sizes positive."""

    dtype: DType
    machine: Machine = field(repr=False)
    lanes: int
    registers: int
    n: int
    groups: int
    channels: int
    rows: int
    source: tuple[int, int]
    places: tuple[int, int]
    kernel: tuple[int, int]
    steps: tuple[int, int]
    low: tuple[int, int]
    dilation: tuple[int, int]
    is_open: bool = field(default=False, repr=False, kw_only=True)
    """Whether the function is told n, which here is what is usual, as ``i64 %n``; it is not 0."""

    @made_once
    def symbol(self) -> str:
        digest = sha256(repr(self).encode()).hexdigest()[:16] + "_any" * self.is_open
        return f"nets_conv_weight_{self.dtype}x{self.lanes}_{digest}"

    def _blocks(self, body: KernelText) -> Count:
        """Blocks of rows of all images."""
        return body.multiply("%n" if self.is_open else self.n, self._bands)

    @property
    def taps(self) -> int:
        return math.prod(self.kernel)

    @property
    def pairs(self) -> int:
        """Pairs of a channel and a tap: the rows of all tiles."""
        return self.channels * self.taps

    @made_once
    def tile(self) -> tuple[int, int]:
        """Pairs, and vectors of channels of y."""
        return tile_of(self.pairs, -(-self.rows // self.lanes), self.machine)

    @property
    def tiles(self) -> int:
        return -(-self.pairs // self.tile[0])

    @property
    def panels(self) -> int:
        return self.groups * self.tiles

    @property
    def band(self) -> int:
        return min(row_block(self.places[1]), self.places[0])

    @property
    def _bands(self) -> int:
        """Blocks of rows of an image."""
        return -(-self.places[0] // self.band)

    def _in_odd_lines(self, elements: int) -> int:
        return odd_lines(elements * self.dtype.itemsize, self.machine)

    # The workspace: planes of x and places of y of some blocks, sums.
    @made_once
    def pitch(self) -> int:
        return (self.places[1] - 1) * self.steps[1] + self.dilation[1] * (self.kernel[1] - 1) + 1

    @property
    def _lines(self) -> int:
        return (self.band - 1) * self.steps[0] + self.dilation[0] * (self.kernel[0] - 1) + 1

    @property
    def _plane(self) -> int:
        return self._in_odd_lines(self._lines * self.pitch + self.lanes)

    @property
    def _columns(self) -> int:
        return -(-self.rows // self.lanes) * self.lanes

    @property
    def _places_at(self) -> int:
        return self.channels * self._plane

    @property
    def _block_bytes(self) -> int:
        count = self.band * self.places[1] * self._columns
        return self._places_at + self._in_odd_lines(count)

    @made_once
    def blocks_at_once(self) -> int:
        """Blocks that are copied at once: what a tile reads of y in all stays in the L2 cache."""
        read = self.band * self.places[1] * self.tile[1] * self.lanes * self.dtype.itemsize
        most = min(self.machine.kept_bytes // read, _GROUP_BYTES // self._block_bytes)
        return max(1, min(most, self.n * self._bands))

    @property
    def _sums_at(self) -> int:
        return self.blocks_at_once * self._block_bytes

    @property
    def _distances_at(self) -> int:
        return self._sums_at + self._in_odd_lines(self.pairs * self._columns)

    @property
    def workspace_bytes(self) -> int:
        return self._distances_at + _DISTANCE * self.pairs

    # Text.
    def write(self, parameters: str) -> dict[str, str]:
        """The function and all it calls, by symbol."""
        body, unit = KernelText(), self.tile[0]
        steps = [self._plane, *self._tap_distances(self.dtype.itemsize)]
        self._measure(body, self._distances_at, (self.channels, *self.kernel), steps)
        with body.entries(self.groups, self.tiles) as (g, low, high):
            first = body.multiply(low, unit)
            last = body.least(body.multiply(high, unit), self.pairs)
            blocks = self._blocks(body)
            with body.loop(0, blocks, self.blocks_at_once) as begin:
                count = body.least(body.subtract(blocks, begin), self.blocks_at_once)
                with body.loop(0, 1 if self.blocks_at_once == 1 else count, 1) as slot:
                    self._pack(body, g, (first, last), body.add(begin, slot), slot)
                self._sums(body, first, last, begin, 1 if self.blocks_at_once == 1 else count)
            self._unpack(body, g, first, last)
        return body.functions(self.symbol, parameters)

    def _tap_distances(self, element: int) -> tuple[int, int]:
        """Bytes between the places that two neighbouring taps meet, along each axis."""
        return self.dilation[0] * self.pitch * element, self.dilation[1] * element

    def _measure(
        self, body: KernelText, at: int, counts: Sequence[int], steps: Sequence[int]
    ) -> None:
        """Put a table into the workspace: of all sums of so many steps along each axis."""
        table = body.offset("%workspace", at, "i8")
        with ExitStack() as loops:
            row: Count = 0
            distance: Count = 0
            for count, step in zip(counts, steps, strict=True):
                i = loops.enter_context(body.loop(0, count, 1))
                row = body.add(body.multiply(row, count), i)
                distance = body.add(distance, body.multiply(i, step))
            entry = body.offset(table, row, "i64")
            body.line(f"store i64 {distance}, ptr {entry}, align 8")

    def _pack(
        self, body: KernelText, g: Count, pairs: tuple[Count, Count], number: Count, slot: Count
    ) -> None:
        """The block with a number, to its place among those that are copied at once."""
        n = body.divide(number, self._bands)
        line, lines = self._rows_of(body, number)
        entry = body.add(body.multiply(n, self.groups), g)
        block = self._block(body, slot)
        self._pack_x(body, block, entry, *pairs, line)
        self._pack_y(body, block, entry, line, lines)

    def _rows_of(self, body: KernelText, number: Count) -> tuple[Count, Count]:
        """The first row of a block, and how many it has."""
        if self._bands == 1:
            return 0, self.places[0]
        before = body.multiply(body.divide(number, self._bands), self._bands)
        line = body.multiply(body.subtract(number, before), self.band)
        return line, body.least(body.subtract(self.places[0], line), self.band)

    def _block(self, body: KernelText, slot: Count) -> str:
        return body.offset("%workspace", body.multiply(slot, self._block_bytes), "i8")

    def _pack_x(
        self, body: KernelText, block: str, entry: Count, first: Count, last: Count, line: Count
    ) -> None:
        """The planes of the channels that the pairs from ``first`` below ``last`` have."""
        copier, (height, width) = RowCopier(self.dtype, self.lanes), self.source
        begin = body.divide(first, self.taps)
        end = body.divide(body.add(last, self.taps - 1), self.taps)
        top, low, high = self._lines_met(body, line)
        with body.loop(begin, end, 1) as c:
            image = body.add(body.multiply(entry, self.channels), c)
            source = offset(body, "%x", body.multiply(image, height * width), self.dtype)
            plane = body.offset(block, body.multiply(c, self._plane), "i8")

            def at(y: Count, plane: str = plane) -> str:
                return offset(body, plane, body.multiply(y, self.pitch), self.dtype)

            with body.loop(0, low, 1) as y:
                copier.zeros(body, at(y), 0, self.pitch)
            with body.loop(low, high, 1) as y:
                row = body.multiply(body.add(top, y), width)
                read = offset(body, source, row, self.dtype)
                copier.padded(body, read, at(y), width, -self.low[1], 1, self.pitch)
            with body.loop(high, self._lines, 1) as y:
                copier.zeros(body, at(y), 0, self.pitch)

    def _lines_met(self, body: KernelText, line: Count) -> tuple[Count, Count, Count]:
        """What row of x the first line of the planes is, for a block that begins at that row of
        places; and from which to which line they are rows of x."""
        top = body.subtract(body.multiply(line, self.steps[0]), self.low[0])
        low = body.least(body.most(body.subtract(0, top), 0), self._lines)
        high = body.most(low, body.least(body.subtract(self.source[0], top), self._lines))
        return top, low, high

    def _columns_of_tiles(self, body: KernelText) -> Iterator[tuple[Count, int]]:
        """First column and vectors of each tile: loops over those that are full, then the last."""
        unit, vectors = self.tile[1], self._columns // self.lanes
        whole = self.rows // self.lanes // unit * unit
        with body.loop(0, whole * self.lanes, unit * self.lanes) as column:
            yield column, unit
        if whole < vectors:
            yield whole * self.lanes, vectors - whole

    def _y_at(self, body: KernelText, block: str, column: Count) -> str:
        """Where the places of a tile's columns lie: tile after tile, place after place."""
        of_column = self.band * self.places[1] * self.dtype.itemsize
        at = body.add(body.multiply(column, of_column), self._places_at)
        return body.offset(block, at, "i8")

    def _pack_y(
        self, body: KernelText, block: str, entry: Count, line: Count, lines: Count
    ) -> None:
        height, width = self.places
        count = body.multiply(lines, width)
        for column, vectors in self._columns_of_tiles(body):
            target = self._y_at(body, block, column)
            part = PackTransposed(self.dtype, self.lanes, self.machine)
            for vector in range(vectors):
                row = body.add(column, vector * self.lanes)
                image = body.add(body.multiply(entry, self.rows), row)
                place = body.add(body.multiply(image, height * width), body.multiply(line, width))
                source = offset(body, "%y", place, self.dtype)
                to = offset(body, target, vector * self.lanes, self.dtype)
                rows = self.lanes if isinstance(row, str) else min(self.lanes, self.rows - row)
                distances = height * width, vectors * self.lanes
                pack(body, part, source, to, (rows, count), distances)

    def _sums(
        self, body: KernelText, first: Count, last: Count, begin: Count, count: Count
    ) -> None:
        """All tiles, for so many blocks from ``begin`` on."""
        unit = self.tile[0]
        whole = self.pairs - self.pairs % unit
        pieces = [(first, body.least(last, whole), unit)]
        if whole < self.pairs:
            pieces.append((body.most(first, whole), last, self.pairs - whole))
        for column, vectors in self._columns_of_tiles(body):
            for low, high, height in pieces:
                self._tiles(body, (low, high, height), (column, vectors), begin, count)

    def _tiles(
        self,
        body: KernelText,
        pairs: tuple[Count, Count, int],
        columns: tuple[Count, int],
        begin: Count,
        count: Count,
    ) -> None:
        """The tiles of some pairs, of one height, and some columns."""
        (low, high, height), (column, vectors) = pairs, columns
        with body.loop(low, high, self.tile[0]) as pair:
            at = body.add(body.multiply(pair, self._columns), column)
            c = offset(body, body.offset("%workspace", self._sums_at, "i8"), at, self.dtype)
            table = body.offset("%workspace", self._distances_at, "i8")
            distances = body.offset(table, pair, "i64")
            with body.loop(0, count, 1) as slot:
                number, block = body.add(begin, slot), self._block(body, slot)
                _, lines = self._rows_of(body, number)
                add = "false" if number == 0 else body.value(f"icmp ne i64 {number}, 0")
                for start, width in self._row_blocks(body):
                    kernel = self._kernel(height, vectors, width)
                    x, y = self._first_place(body, block, start, column, vectors)
                    also = self._adds(body, add, start)
                    operands = f"ptr {x}, ptr {distances}, ptr {y}, ptr {c}"
                    body.call(kernel, f"{operands}, i64 {lines}, i1 {also}")

    def _row_blocks(self, body: KernelText) -> Iterator[tuple[Count, int]]:
        """First place and width of the parts of a row that are summed one after the other."""
        width, part = self.places[1], place_block(self.places[1])
        with body.loop(0, width // part * part, part) as start:
            yield start, part
        if width % part:
            yield width // part * part, width % part

    def _adds(self, body: KernelText, add: str, start: Count) -> str:
        """Whether a part of a row adds to what there is, as all but the first do."""
        if start == 0:
            return add
        if isinstance(start, int):
            return "true"
        return body.value(f"or i1 {add}, {body.value(f'icmp ne i64 {start}, 0')}")

    def _first_place(
        self, body: KernelText, block: str, start: Count, column: Count, vectors: int
    ) -> tuple[str, str]:
        """Where a part of a row begins: what it meets in the planes, and the places of a tile."""
        x = offset(body, block, body.multiply(start, self.steps[1]), self.dtype)
        place = body.multiply(start, vectors * self.lanes)
        return x, offset(body, self._y_at(body, block, column), place, self.dtype)

    def _kernel(self, rows: int, vectors: int, width: int) -> PlaceMicrokernel:
        size = self.dtype.itemsize
        return PlaceMicrokernel(
            self.dtype,
            self.lanes,
            rows,
            vectors,
            width,
            x_place=self.steps[1] * size,
            x_line=self.steps[0] * self.pitch * size,
            c_row=self._columns * size,
        )

    def _unpack(self, body: KernelText, g: Count, first: Count, last: Count) -> None:
        """The sums, turned, to their places in the result."""
        scalar, size = scalar_name(self.dtype), self.dtype.itemsize
        sums = body.offset("%workspace", self._sums_at, "i8")
        out = offset(body, "%out", body.multiply(g, self.rows * self.pairs), self.dtype)
        part = PackTransposed(self.dtype, self.lanes, self.machine)
        whole = body.multiply(body.divide(body.subtract(last, first), self.lanes), self.lanes)
        whole = body.add(first, whole)
        with body.loop(first, whole, self.lanes) as pair:
            read = offset(body, sums, body.multiply(pair, self._columns), self.dtype)
            write = offset(body, out, pair, self.dtype)
            sizes, distances = (self.lanes, self.rows), (self._columns, self.pairs)
            pack(body, part, read, write, sizes, distances)
        with body.loop(whole, last, 1) as pair, body.loop(0, self.rows, 1) as r:
            read = offset(body, sums, body.multiply(pair, self._columns), self.dtype)
            value = body.value(
                f"load {scalar}, ptr {offset(body, read, r, self.dtype)}, align {size}"
            )
            write = offset(body, out, body.multiply(r, self.pairs), self.dtype)
            write = offset(body, write, pair, self.dtype)
            body.line(f"store {scalar} {value}, ptr {write}, align {size}")
