"""conv and conv_input: sums over channels and taps, by bands of rows of an image.

A band of rows of the source is copied to the workspace, with zeros around it: one plane for each
channel (with a step of s, one plane for each channel and each remainder by s). A place of the
result has the number q = row · pitch + column, and a tap has one distance: at every place q it
meets the element q + distance of the plane. So neighbouring places meet neighbouring elements, also
from the end of one row to the begin of the next, and a tile can be some channels of the result
times whole vectors of places, whatever the width of the image.

Between two rows there is a gap for the zeros; the sums in the gaps are computed and not kept. Where
the processor can load under masks, masks give the zeros, and there are no gaps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from nets.backend.llvm.conv.correlation_shape import CorrelationShape
from nets.backend.llvm.conv.microkernels import TileMicrokernel
from nets.backend.llvm.conv.rings import Places, between_taps, places_from
from nets.backend.llvm.conv.rows import RowCopier
from nets.backend.llvm.conv.writer import Walk
from nets.backend.llvm.gemm.kernel_text import Count, KernelText
from nets.backend.llvm.gemm.pack import offset
from nets.locks import made_once

_LEAST_LANES: Final = 4
"""Lanes that half a vector should have."""


@dataclass(frozen=True)
class Correlation(CorrelationShape):
    """The text of the correlation of that shape."""

    @made_once
    def symbol(self) -> str:
        return f"nets_conv_{self.dtype}x{self.lanes}_{sha256(repr(self).encode()).hexdigest()[:16]}"

    def write(self, parameters: str) -> dict[str, str]:
        """The function and all it calls, by symbol."""
        body = KernelText()
        with body.loop("%begin", "%end", 1) as panel:
            entry, band = self._divided(body, panel, self.bands)
            _, g = self._divided(body, entry, self.groups)
            first = body.multiply(band, self.band)
            if self.blocks == 1:
                self._pack(body, entry, 0, self.channels, first)
            if self.is_walked:
                self._walked_phases(body, entry, g, first)
            else:
                for phases in itertools.product(*(axis.phases for axis in self.axes)):
                    places = [Places(x.first, x.step, x.count, x.taps) for x in phases]
                    self._phase(body, entry, g, first, places)
        return body.functions(self.symbol, parameters)

    def _walked_phases(self, body: KernelText, entry: Count, g: Count, first: Count) -> None:
        down, across = self.axes
        with body.loop(0, len(down.phases), 1) as i:
            rows = places_from(body, down, self._rings[0], self.out[0], i)
            with body.loop(0, len(across.phases), 1) as j:
                columns = places_from(body, across, self._rings[1], self.out[1], j)
                self._phase(body, entry, g, first, (rows, columns))

    def _divided(self, body: KernelText, x: Count, by: int) -> tuple[Count, Count]:
        quotient = body.divide(x, by)
        return quotient, 0 if by == 1 else body.subtract(x, body.multiply(quotient, by))

    def _pack(self, body: KernelText, entry: Count, c0: Count, count: Count, first: Count) -> None:
        """The planes of ``count`` channels from c0 on, for the band that begins at that row."""
        copier, (height, width) = RowCopier(self.dtype, self.lanes), self.source
        lines = self._lines(self.band)
        channel = body.add(body.multiply(entry, self.channels), c0)
        split = self.axes[0].split
        with body.loop(0, count, 1) as c:
            image = body.multiply(body.add(channel, c), height * width)
            source = offset(body, "%x", image, self.dtype)
            for number, row, column in self._each_plane(body):
                at = body.add(body.multiply(c, self._plane_count), number)
                plane = body.offset("%workspace", body.multiply(at, self._plane(self.band)), "i8")
                # Line y of the plane is row ``row + split · (first + reach + y)`` of the image.
                top = body.add(first, self._met_along(0)[0])
                low = body.most(body.subtract(self._up(body, 0, row), top), 0)
                low = body.least(low, lines)
                high = body.subtract(self._up(body, height, row), top)
                high = body.most(low, body.least(high, lines))
                for begin, end in ((0, low), (high, lines)):
                    with body.loop(begin, end, 1) as y:
                        line = offset(body, plane, body.multiply(y, self.pitch), self.dtype)
                        copier.zeros(body, line, 0, self.pitch)
                    if begin == 0:
                        with body.loop(low, high, 1) as y:
                            line = offset(body, plane, body.multiply(y, self.pitch), self.dtype)
                            place = body.add(body.multiply(body.add(top, y), split), row)
                            read = offset(body, source, body.multiply(place, width), self.dtype)
                            step = self.axes[1].split
                            copier.padded(body, read, line, width, column, step, self.pitch)

    def _up(self, body: KernelText, end: int, row: Count) -> Count:
        """How many rows, a step apart from that one on, lie before the end, at least 0 of them."""
        split = self.axes[0].split
        if isinstance(row, int):
            return -((row - end) // split)
        return body.subtract(0, body.floor(body.subtract(row, end), split))

    def _each_plane(self, body: KernelText) -> Iterator[tuple[Count, Count, Count]]:
        """The number of each plane, and the first row and column of the image in it."""
        if not self.is_walked:
            split = self.axes[1].split
            for number, (remainder, (column, distance)) in enumerate(self._planes):
                yield number, remainder, column + split * distance
            return
        down, across = self._rings
        with body.loop(0, down.planes, 1) as i, body.loop(0, across.planes, 1) as j:
            row = body.add(body.multiply(i, down.stride), down.origin)
            place = body.add(body.multiply(j, across.stride), across.origin)
            first = body.add(place, self.axes[1].split * self._line_start)
            yield body.add(body.multiply(i, across.planes), j), row, first

    @property
    def _line_start(self) -> int:
        """The offset, along a line, of its first element."""
        return 0 if self.edges is not None else self._met_along(1)[0]

    def _phase(
        self, body: KernelText, entry: Count, g: Count, first: Count, phases: Sequence[Places]
    ) -> None:
        """The places of one phase along each axis: their sums, and these to the result."""
        lines = body.most(body.least(body.subtract(phases[0].count, first), self.band), 0)
        if self.blocks == 1:
            for r, height in self._tiles(body):
                if self.lines is None:
                    at = body.offset("%workspace", self._sums_at, "i8")
                    self._sums(body, g, at, (0, self.channels), (r, height), lines, phases)
                    self._unpack(body, entry, r, height, first, lines, phases)
                else:
                    at = self._place(body, entry, r, first)
                    self._sums(body, g, at, (0, self.channels), (r, height), lines, phases)
            return
        with body.loop(0, self.channels, self.block) as c0:
            count = body.least(body.subtract(self.channels, c0), self.block)
            self._pack(body, entry, c0, count, first)
            add = body.value(f"icmp ne i64 {c0}, 0")
            for r, height in self._tiles(body):
                at = body.offset("%workspace", self._sums_at, "i8")
                at = body.offset(at, body.multiply(r, self._sums_pitch), "i8")
                self._sums(body, g, at, (c0, count), (r, height), lines, phases, add)
        self._unpack(body, entry, 0, self.rows, first, lines, phases)

    def _tiles(self, body: KernelText) -> Iterator[tuple[Count, int]]:
        """Loops over the whole tiles of rows, and then over the last, smaller one."""
        unit = self.tile[0]
        whole = self.rows - self.rows % unit
        with body.loop(0, whole, unit) as r:
            yield r, unit
        if whole < self.rows:
            yield whole, self.rows - whole

    def _place(self, body: KernelText, entry: Count, r: Count, first: Count) -> str:
        """Where line ``first`` of row r of the result begins."""
        image = body.add(body.multiply(entry, self.rows), r)
        line = body.add(body.multiply(image, self.out[0]), first)
        return offset(body, "%out", body.multiply(line, self.out[1]), self.dtype)

    def _sums(
        self,
        body: KernelText,
        g: Count,
        c: str,
        channels: tuple[Count, Count],
        rows: tuple[Count, int],
        lines: Count,
        phases: Sequence[Places],
        add: str = "false",
    ) -> None:
        """The tiles of some rows to c, for so many channels from the first on."""
        (c0, count), (r, height) = channels, rows
        of_g, of_r, of_c = self.strides
        begin = body.add(body.multiply(g, of_g), body.multiply(r, of_r))
        begin = body.add(begin, body.multiply(c0, of_c))
        down, across = phases
        begin = body.add(begin, body.add(body.multiply(down.tap, self.kernel[1]), across.tap))
        planes = self._first_met(body, down, across)
        for axis, met in enumerate((down.met, across.met)):
            if self._is_lone(axis):  # Each place meets this tap, or none.
                count = body.multiply(count, met)
        walked = f"i64 {down.met}, i64 {across.met}, i64 {across.offset}"
        if self.edges is not None:
            body.include(self.edges.symbol, self.edges.text())
        a = offset(body, "%y", begin, self.dtype)
        # Up to the last place of the last line.
        between = body.subtract(self.pitch, phases[1].count)
        places = body.most(body.subtract(body.multiply(lines, self.pitch), between), 0)
        for low, high, vectors, lanes in self._widths(body, places):
            kernel = self._kernel(height, vectors, lanes, phases)
            with body.loop(low, high, vectors * lanes) as q:
                b = offset(body, planes, q, self.dtype)
                to = offset(body, c, q, self.dtype) if self.lines is None else c
                where = f"i64 {count}, i64 {q}, i64 {lines}, i1 {add}, {walked}"
                body.call(kernel, f"ptr {a}, ptr {b}, ptr {to}, {where}")

    def _first_met(self, body: KernelText, down: Places, across: Places) -> str:
        """What the first place meets at the first tap that is walked along."""
        if not self.is_walked:
            return "%workspace"
        rows, columns = self._rings
        line = body.subtract(down.offset, self._met_along(0)[0])
        place = body.subtract(across.offset, self._line_start)
        place = body.add(body.multiply(line, self.pitch), place)
        number = rows.start * columns.planes + columns.start
        plane = body.offset("%workspace", number * self._plane(self.band), "i8")
        return offset(body, plane, place, self.dtype)

    def _widths(self, body: KernelText, places: Count) -> Iterator[tuple[Count, Count, int, int]]:
        """Begin, end, vectors and their lanes of the tiles: wide ones, then one for the rest, and a
        half vector, which some processors compute in half the time; or single vectors."""
        unit, half = self.tile[1] * self.lanes, self.lanes // 2
        whole = body.multiply(body.divide(places, unit), unit)
        yield 0, whole, self.tile[1], self.lanes
        if isinstance(places, str) or isinstance(whole, str):
            yield whole, places, 1, self.lanes
            return
        vectors, beyond = divmod(places - whole, self.lanes)
        if half < _LEAST_LANES or beyond > half:
            vectors, beyond = vectors + (beyond > 0), 0
        middle = whole + vectors * self.lanes
        if vectors:
            yield whole, middle, vectors, self.lanes
        if beyond:
            yield middle, places, 1, half

    def _kernel(
        self, rows: int, vectors: int, lanes: int, phases: Sequence[Places]
    ) -> TileMicrokernel:
        size, plane = self.dtype.itemsize, self._plane(self.band)
        down, across = self._walk(0), self._walk(1)
        taps = self._walked_taps() if self.is_walked else self._taps(phases)
        return TileMicrokernel(
            self.dtype,
            lanes,
            rows,
            vectors,
            taps,
            down,
            across,
            a_row=self.strides[1] * size,
            a_channel=self.strides[2] * size,
            b_channel=plane * self._plane_count,
            c_row=self._sums_pitch if self.lines is None else math.prod(self.out) * size,
            adds=self.blocks > 1,
            lines=self.lines,
            edges=self.edges,
        )

    def _taps(self, phases: Sequence[Places]) -> tuple[tuple[int, int, int], ...]:
        """Distances of each tap, in the weight and in the planes, and its offset along a line."""
        size, plane = self.dtype.itemsize, self._plane(self.band)
        taps = []
        for row, column in itertools.product(*(phase.taps for phase in phases)):
            met = self._columns[column]
            at = self._planes.index((row.plane, met)) * plane
            line, place = row.offset - self._reach[0][0], column.offset - met[1]
            weight = row.k * self.kernel[1] + column.k
            taps.append((weight * size, at + (line * self.pitch + place) * size, column.offset))
        return tuple(taps)

    def _is_lone(self, axis: int) -> bool:
        """Whether one tap at most is met along an axis where the code knows no tap."""
        return self.is_walked and self._most_met[axis] <= 1

    def _walked_taps(self) -> tuple[tuple[int, int, int], ...]:
        """What is inside of the walks: one tap, or those of a row."""
        if not self._has_lone_rows:
            return ((0, 0, 0),)
        size, ring = self.dtype.itemsize, self._rings[1]
        step, around = self._distances(1)
        taps, place, at = [], ring.start, 0
        for k in range(self.kernel[1]):
            offset = ring.offset + k * ring.further
            taps.append((k * size, at, offset))
            place, at = place + ring.turn, at + step
            if ring.wraps and place >= ring.planes:
                place, at = place - ring.planes, at + around
        return tuple(taps)

    def _walk(self, number: int) -> Walk | None:
        """The walk along one axis, if there is one."""
        axis, ring = self.axes[number], self._rings[number]
        is_short = self._is_lone(number) or (number == 1 and self._has_lone_rows)
        if is_short or not self.is_walked:
            return None
        between = self.dtype.itemsize * (self.kernel[1] if number == 0 else 1)
        step, around = self._distances(number)
        return Walk(
            between_taps(axis) * between,
            step,
            ring.further if number == 1 and self.edges is not None else 0,
            None if axis.is_back and axis.step > 1 else axis.kernel,
            ring.planes if ring.wraps else 1,
            ring.start,
            ring.turn,
            around,
        )

    def _distances(self, number: int) -> tuple[int, int]:
        """How far in the planes taps are apart along an axis, and what leads around the ring."""
        size, plane, ring = self.dtype.itemsize, self._plane(self.band), self._rings[number]
        element = size if number == 1 else self.pitch * size
        turn = plane if number == 1 else plane * self._rings[1].planes
        return ring.further * element + ring.turn * turn, element - ring.planes * turn

    def _unpack(
        self,
        body: KernelText,
        entry: Count,
        r0: Count,
        rows: int,
        first: Count,
        lines: Count,
        phases: Sequence[Places],
    ) -> None:
        """The sums of some rows of channels, to their places in the result."""
        copier, (height, width) = RowCopier(self.dtype, self.lanes), self.out
        down, across = phases
        channel = body.add(body.multiply(entry, self.rows), r0)
        with body.loop(0, rows, 1) as r:
            at = body.add(body.multiply(r, self._sums_pitch), self._sums_at)
            source = body.offset("%workspace", at, "i8")
            image = body.multiply(body.add(channel, r), height * width)
            target = offset(body, "%out", image, self.dtype)
            with body.loop(0, lines, 1) as y:
                row = body.add(body.multiply(body.add(first, y), down.step), down.first)
                place = body.add(body.multiply(row, width), across.first)
                write = offset(body, target, place, self.dtype)
                read = offset(body, source, body.multiply(y, self.pitch), self.dtype)
                copier.spread(body, read, write, across.count, across.step)
