"""conv_weight of many groups of one channel each: every lane of a vector is a group of its own.

Of a block of rows of one image x, with zeros around it, and y are copied to the workspace with the
groups of a vector side by side. Then every place is a product of vectors for each tap.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from nets.backend.llvm.conv.correlation_shape import odd_lines
from nets.backend.llvm.conv.microkernels import UNROLLED_KERNEL, LaneMicrokernel
from nets.backend.llvm.conv.weight import WeightSums
from nets.backend.llvm.gemm.kernel_text import Count, KernelText
from nets.backend.llvm.gemm.pack import PackTransposed, offset, pack, scalar_name

_MOST_ROWS: Final = 4
"""Channels of y in a group up to which this is done: each takes registers."""

_MOST_POINTERS: Final = 8
"""Taps of a tile that have a pointer each, where the code does not hold their distances."""

_DISTANCE: Final = 8
"""Bytes of an entry of the table of distances."""


@dataclass(frozen=True)
class DepthwiseSums(WeightSums):
    """``out[g, r, 0, tap] = Σ y[n, g, r, place] · x[n, g, 0, …]`` with all sizes positive."""

    @property
    def is_worth_it(self) -> bool:
        """Whether there are more groups than channels, of which vectors would else be made."""
        return self.channels == 1 and self.rows < self.groups and self.rows <= _MOST_ROWS

    @property
    def symbol(self) -> str:
        digest = sha256(repr(self).encode()).hexdigest()[:16]
        return f"nets_conv_depthwise_{self.dtype}x{self.lanes}_{digest}"

    @property
    def panels(self) -> int:
        return -(-self.groups // self.lanes)

    # The workspace: x, y, sums, with a vector of groups for each element.
    @property
    def _vector(self) -> int:
        return self.lanes * self.dtype.itemsize

    @property
    def _turned_at(self) -> int:
        return odd_lines(self._lines * self.pitch * self._vector, self.machine)

    @property
    def _sums_at(self) -> int:
        return self._turned_at + odd_lines(
            self.band * self.places[1] * self.rows * self._vector, self.machine
        )

    @property
    def _distances_at(self) -> int:
        return self._sums_at + odd_lines(self.taps * self.rows * self._vector, self.machine)

    @property
    def workspace_bytes(self) -> int:
        return self._distances_at + (_DISTANCE * self.taps if self._is_walked else 0)

    @property
    def _is_walked(self) -> bool:
        """Whether tiles of taps are a loop."""
        return max(self.kernel) > UNROLLED_KERNEL

    # Text.
    def write(self, parameters: str) -> dict[str, str]:
        """The function and all it calls, by symbol."""
        body = KernelText()
        if self._is_walked:
            steps = self._tap_distances(self._vector)
            self._measure(body, self._distances_at, self.kernel, steps)
        with body.loop("%begin", "%end", 1) as panel:
            g = body.multiply(panel, self.lanes)
            lanes = body.least(body.subtract(self.groups, g), self.lanes)
            with body.loop(0, self._blocks(body), 1) as number:
                n = body.divide(number, self._bands)
                entry = body.add(body.multiply(n, self.groups), g)
                line, lines = self._rows_of(body, number)
                self._turn_x(body, entry, lanes, line)
                self._turn_y(body, entry, lanes, line, lines)
                add = "false" if number == 0 else body.value(f"icmp ne i64 {number}, 0")
                self._products(body, lines, add)
            self._put(body, g, lanes)
        return body.functions(self.symbol, parameters)

    @property
    def _turner(self) -> PackTransposed:
        """Makes vectors out of the elements of so many groups."""
        return PackTransposed(self.dtype, self.lanes, self.machine)

    def _turn_x(self, body: KernelText, entry: Count, lanes: Count, line: Count) -> None:
        height, width = self.source
        first = -self.low[1]
        begin = min(max(0, -first), self.pitch)
        end = max(begin, min(self.pitch, width - first))
        top, low, high = self._lines_met(body, line)
        image = offset(body, "%x", body.multiply(entry, height * width), self.dtype)

        def at(y: Count) -> str:
            return body.offset("%workspace", body.multiply(y, self.pitch * self._vector), "i8")

        for start, stop in ((0, low), (high, self._lines)):
            with body.loop(start, stop, 1) as y:
                self._zeros(body, at(y), 0, self.pitch)
        with body.loop(low, high, 1) as y:
            target = at(y)
            self._zeros(body, target, 0, begin)
            self._zeros(body, target, end, self.pitch)
            if begin < end:
                row = body.multiply(body.add(top, y), width)
                read = offset(body, image, body.add(row, first + begin), self.dtype)
                write = body.offset(target, begin * self._vector, "i8")
                distances = height * width, self.lanes
                pack(body, self._turner, read, write, (lanes, end - begin), distances)

    def _zeros(self, body: KernelText, line: str, begin: int, end: int) -> None:
        if begin < end:
            with body.loop(begin, end, 1) as place:
                at = body.offset(line, body.multiply(place, self._vector), "i8")
                type = f"<{self.lanes} x {scalar_name(self.dtype)}>"
                body.line(f"store {type} zeroinitializer, ptr {at}, align {self.dtype.itemsize}")

    def _turn_y(
        self, body: KernelText, entry: Count, lanes: Count, line: Count, lines: Count
    ) -> None:
        height, width = self.places
        for r in range(self.rows):
            image = body.add(body.multiply(entry, self.rows), r)
            place = body.add(body.multiply(image, height * width), body.multiply(line, width))
            source = offset(body, "%y", place, self.dtype)
            target = body.offset("%workspace", self._turned_at + r * self._vector, "i8")
            strides = self.rows * height * width, self.rows * self.lanes
            sizes = lanes, body.multiply(lines, width)
            pack(body, self._turner, source, target, sizes, strides)

    def _products(self, body: KernelText, lines: Count, add: str) -> None:
        for start, width in self._row_blocks(body):
            also = self._adds(body, add, start)
            place = body.multiply(start, self.steps[1] * self._vector)
            x = body.offset("%workspace", place, "i8")
            place = body.multiply(start, self.rows * self._vector)
            y = body.offset("%workspace", body.add(place, self._turned_at), "i8")
            for first, count in self._taps_at_once(body):
                kernel = LaneMicrokernel(
                    self.dtype,
                    self.lanes,
                    count,
                    self._known_distances(first, count),
                    self.rows,
                    width,
                    x_place=self.steps[1] * self._vector,
                    x_line=self.steps[0] * self.pitch * self._vector,
                    c_row=self.rows * self._vector,
                )
                at = body.add(body.multiply(first, self.rows * self._vector), self._sums_at)
                c = body.offset("%workspace", at, "i8")
                at = body.add(body.multiply(first, _DISTANCE), self._distances_at)
                distances = body.offset("%workspace", at, "i8") if self._is_walked else "null"
                operands = f"ptr {x}, ptr {distances}, ptr {y}, ptr {c}, i64 {lines}, i1 {also}"
                body.call(kernel, operands)

    def _known_distances(self, first: Count, count: int) -> tuple[int, ...]:
        """The distances of some taps, where the code holds them."""
        if self._is_walked or isinstance(first, str):
            return ()
        down, across = self._tap_distances(self._vector)
        taps = itertools.product(*map(range, self.kernel))
        return tuple(i * down + j * across for i, j in taps)[first : first + count]

    def _taps_at_once(self, body: KernelText) -> Iterator[tuple[Count, int]]:
        """First taps and their number of the tiles that fit into the registers."""
        most = max(1, (self.registers - self.rows - 2) // self.rows)
        if not self._is_walked:
            for first in range(0, self.taps, most):
                yield first, min(most, self.taps - first)
            return
        most = min(most, _MOST_POINTERS)
        whole = self.taps // most * most
        with body.loop(0, whole, most) as tap:
            yield tap, most
        if whole < self.taps:
            yield whole, self.taps - whole

    def _put(self, body: KernelText, g: Count, lanes: Count) -> None:
        """The sums to their places in the result."""
        scalar, size = scalar_name(self.dtype), self.dtype.itemsize
        with body.loop(0, lanes, 1) as lane, body.loop(0, self.taps, 1) as tap:
            for r in range(self.rows):
                at = body.add(body.multiply(tap, self.rows * self.lanes), r * self.lanes)
                sums = body.offset("%workspace", self._sums_at, "i8")
                read = offset(body, offset(body, sums, at, self.dtype), lane, self.dtype)
                value = body.value(f"load {scalar}, ptr {read}, align {size}")
                row = body.add(body.multiply(body.add(g, lane), self.rows), r)
                write = offset(body, "%out", body.multiply(row, self.taps), self.dtype)
                write = offset(body, write, tap, self.dtype)
                body.line(f"store {scalar} {value}, ptr {write}, align {size}")
