"""The shape of a correlation: its bands, the planes and sums in its workspace, and its tile."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Final

from nets.backend.llvm.conv.microkernels import UNROLLED_KERNEL, UNROLLED_ROW, Edges
from nets.backend.llvm.conv.rings import Ring, ring_of
from nets.backend.llvm.conv.tiles import tile_of
from nets.backend.llvm.conv.writer import Lines
from nets.ir.types import DType
from nets.locks import made_once
from nets.machine.machine import Machine
from nets.ops.tensor.conv_geometry import Axis, Tap, channel_block

_COPY_CYCLES: Final = 1.0
"""What an element of one more plane costs, with a margin for the cache it takes."""

_PANELS: Final = 8
_BAND_ROWS: Final = 4
"""A few large images are cut into bands for threads, none smaller than this."""

_WIDEST: Final = 1024
"""Places of a row up to which there is a table of masks; gaps in longer ones cost nothing."""

_UNROLLED_PHASES: Final = 9
"""Phases up to which each has its own code."""


def odd_lines(size: int, machine: Machine) -> int:
    """The size in bytes rounded up to an odd number of cache lines, so that neighbours that
    far apart share no set of the cache."""
    return (-(-size // machine.line_bytes) | 1) * machine.line_bytes


@dataclass(frozen=True)
class CorrelationShape:
    """``out[n, g, r] = Σ weight[g, r, c, tap] · source[n, g, c]`` with all sizes positive.

    ``source`` and ``out`` are sizes of images; ``strides`` are those of weight along g, r and c in
    elements, its taps lie one after the other in rows of ``kernel[1]``.
    """

    dtype: DType
    machine: Machine = field(repr=False)
    lanes: int
    registers: int
    n: int
    groups: int
    channels: int
    rows: int
    source: tuple[int, int]
    out: tuple[int, int]
    kernel: tuple[int, int]
    axes: tuple[Axis, Axis]
    strides: tuple[int, int, int]

    @made_once
    def is_walked(self) -> bool:
        """Whether the code has loops over the taps, planes and phases, not each of them."""
        phases = math.prod(len(axis.phases) for axis in self.axes)
        return max(self.kernel) > UNROLLED_KERNEL or phases > _UNROLLED_PHASES

    @made_once
    def _most_met(self) -> list[int]:
        """How many taps a place meets along each axis, at most."""
        return [max(len(phase.taps) for phase in axis.phases) for axis in self.axes]

    @made_once
    def _has_lone_rows(self) -> bool:
        """Whether every tap of a row of the kernel has its own instructions."""
        axis = self.axes[1]
        is_known = not axis.is_back or axis.step == 1
        return self.is_walked and is_known and self.kernel[1] <= UNROLLED_ROW

    def _in_odd_lines(self, elements: int) -> int:
        return odd_lines(elements * self.dtype.itemsize, self.machine)

    # The planes of a band.
    @made_once
    def _rings(self) -> tuple[Ring, Ring]:
        """The planes where taps are walked along."""
        down, across = self.axes
        return ring_of(down, is_apart=False), ring_of(across, is_apart=self.shifted)

    @made_once
    def _reach(self) -> list[tuple[int, int]]:
        """The least and the largest offset of a tap, along each axis."""
        found = []
        for axis in self.axes:
            offsets = [tap.offset for phase in axis.phases for tap in phase.taps] or [0]
            found.append((min(offsets), max(offsets)))
        return found

    @made_once
    def _met(self) -> list[list[Tap]]:
        """The taps of all phases, along each axis."""
        return [[tap for phase in axis.phases for tap in phase.taps] for axis in self.axes]

    @made_once
    def _columns(self) -> dict[Tap, tuple[int, int]]:
        """For each tap along a row the remainder by the step and the offset of its planes."""
        low = 0 if self.edges is not None else self._reach[1][0]
        return {tap: (tap.plane, tap.offset if self.shifted else low) for tap in self._met[1]}

    @property
    def _plane_count(self) -> int:
        if self.is_walked:
            return math.prod(ring.planes for ring in self._rings)
        return len(self._planes)

    @made_once
    def _planes(self) -> list[tuple[int, tuple[int, int]]]:
        """Remainder of the rows; remainder and offset of the columns."""
        rows = sorted({tap.plane for tap in self._met[0]})
        return list(itertools.product(rows, sorted(set(self._columns.values()))))

    @made_once
    def edges(self) -> Edges | None:
        """Where masks stand in for zeros beside a row, so that rows follow each other without a
        gap: where processors load under masks at no cost, and a row of the source is no longer."""
        low, high = self._reach[1]
        longest = -(-self.source[1] // self.axes[1].split)
        is_fast = self.machine.masks_are_free
        if not is_fast or low == high or not longest <= self._width <= _WIDEST:
            return None
        if self.is_walked and ring_of(self.axes[1], is_apart=False).planes > 1:
            return None
        offsets = (
            ()
            if self.is_walked and not self._has_lone_rows
            else (0, *(tap.offset for tap in self._met[1]))
        )
        return Edges(self._width, tuple(sorted(set(offsets))), self.lanes)

    @made_once
    def shifted(self) -> bool:
        """Whether each offset along a row has a plane of its own, so that rows follow each other
        without a gap: worth the copies where the gaps are wide and many sums fall into them."""
        if self.edges is not None or (
            self.is_walked and self.axes[1].is_back and self.axes[1].step > 1
        ):
            return False
        low, high = self._reach[1]
        taps = self._met[1]
        copies = len({(tap.plane, tap.offset) for tap in taps}) - len({tap.plane for tap in taps})
        in_gaps = self.rows * math.prod(self.kernel) * (high - low) / self.lanes
        return in_gaps > _COPY_CYCLES * copies * self._width

    @made_once
    def _width(self) -> int:
        return max(phase.count for phase in self.axes[1].phases)

    @made_once
    def pitch(self) -> int:
        low, high = self._met_along(1)
        is_dense = self.shifted or self.edges is not None
        return self._width if is_dense else self._width + high - low

    def _met_along(self, axis: int) -> tuple[int, int]:
        """The least and the largest offset in planes."""
        if self.is_walked and self._rings[axis].is_apart:
            return 0, 0
        return self._reach[axis]

    def _lines(self, band: int) -> int:
        low, high = self._met_along(0)
        return band + high - low

    def _plane(self, band: int) -> int:
        """Bytes from plane to plane."""
        return self._in_odd_lines(self._lines(band) * self.pitch)

    def _planes_bytes(self, band: int) -> int:
        return self.block * self._plane_count * self._plane(band)

    @made_once
    def block(self) -> int:
        return channel_block(self.channels, math.prod(self.kernel))

    @made_once
    def blocks(self) -> int:
        return -(-self.channels // self.block)

    @made_once
    def _height(self) -> int:
        return max(phase.count for phase in self.axes[0].phases)

    @made_once
    def bands(self) -> int:
        """Bands of an image: few, but small enough for the cache, and enough for threads."""
        least = -(-_PANELS // (self.n * self.groups))
        bands = max(1, min(least, self._height // _BAND_ROWS))
        most = self.machine.kept_bytes * 5 // 4
        while bands < self._height and self._planes_bytes(self._rows_in(bands)) > most:
            bands += 1
        return -(-self._height // self._rows_in(bands))

    def _rows_in(self, bands: int) -> int:
        return -(-self._height // bands)

    @made_once
    def band(self) -> int:
        """Rows of a band."""
        return self._rows_in(self.bands)

    @property
    def panels(self) -> int:
        return self.n * self.groups * self.bands

    # The tile, and the sums it leaves in the workspace.
    @made_once
    def tile(self) -> tuple[int, int]:
        return tile_of(self.rows, -(-self.band * self.pitch // self.lanes), self.machine)

    @property
    def _sums_pitch(self) -> int:
        """Bytes from row to row of the sums."""
        vectors = -(-self.band * self.pitch // self.lanes)
        return self._in_odd_lines(vectors * self.lanes)

    @made_once
    def lines(self) -> Lines | None:
        """The lines of the result, if the tiles are stored there and not to the workspace."""
        lone = all(len(axis.phases) == 1 and axis.phases[0].step == 1 for axis in self.axes)
        fits = self.pitch == self._width or self.pitch >= self.lanes
        return Lines(self.pitch, self._width) if self.blocks == 1 and lone and fits else None

    @property
    def _sums_rows(self) -> int:
        if self.lines is not None:
            return 0
        return self.rows if self.blocks > 1 else self.tile[0]

    @property
    def _sums_at(self) -> int:
        """Where the sums begin in the workspace; a tile may read a little beyond the planes."""
        return self._planes_bytes(self.band) + self._in_odd_lines(2 * self.lanes)

    @property
    def workspace_bytes(self) -> int:
        # A copy reads whole vectors.
        beyond = self._in_odd_lines(self.lanes)
        return self._sums_at + self._sums_rows * self._sums_pitch + beyond
