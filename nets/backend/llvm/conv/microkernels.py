"""The microkernels of convolution: tiles of sums in registers, fused multiply-additions.

Each element of a tile is one chain of ``llvm.fma`` in the order of its terms, which is all that
its bits depend on. Every stride is part of the text, so that addresses fold into instructions.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from nets.backend.llvm.conv.writer import Lines, Walk, Writer
from nets.ir.types import DType

UNROLLED_KERNEL: Final = 5
"""Taps along each axis up to which every tap has its own instructions; more are met in loops."""

UNROLLED_ROW: Final = 7
"""Taps of a row of the kernel up to which only its rows are met in a loop."""

_UNROLL: Final = 4
"""Places of a row that share a round of the loop, at most."""


@dataclass(frozen=True, slots=True)
class Edges:
    """Masks that let a tap meet zeros where it leads beyond its line.

    From column c of a line of ``pitch`` places, a tap with offset d meets column c + d, and zero
    where that is not a column of the line. There is a table of masks, a row for each of ``offsets``
    and a mask for each column; for no offsets, masks are computed where they are needed.
    """

    pitch: int
    offsets: tuple[int, ...]
    lanes: int

    @property
    def symbol(self) -> str:
        return f"nets_conv_edges_{sha256(repr(self).encode()).hexdigest()[:16]}"

    def text(self) -> str:
        """The table: for each offset and column the mask of a vector that begins there."""
        entries = []
        for offset in self.offsets:
            inside = [0 <= column + offset < self.pitch for column in range(self.pitch)]
            for column in range(self.pitch):
                bits = [inside[(column + lane) % self.pitch] << lane for lane in range(self.lanes)]
                entries.append(f"i16 {sum(bits)}")
        return f"@{self.symbol} = internal constant [{len(entries)} x i16] [{', '.join(entries)}]\n"


@dataclass(frozen=True, slots=True)
class TileMicrokernel:
    """C[rows, places] (+)= Σ over channels and taps of A[row, channel, tap] · B[place].

    All distances are in bytes: ``a_row`` is that from one row of A to the next, ``a_channel`` from
    one channel of A to the next; ``b_channel`` is the same for channels of B, ``c_row`` for rows of
    C.

    ``taps`` are the taps that have instructions of their own. Of each it gives the distance in A,
    the distance in B, and the offset along a line. Further taps are met in loops around these:
    ``down`` goes from row to row of the kernel, ``across`` from tap to tap of one row. With
    ``across``, ``taps`` holds the first tap of a row alone.

    The places are ``vectors`` vectors of consecutive elements of B. With ``edges``, a tap that
    leads beyond its line meets 0. C has room for every place; or it has ``lines``, and keeps only
    the places in them. Then a line has room for a vector at least, or there are no gaps between
    the lines.
    """

    dtype: DType
    lanes: int
    rows: int
    vectors: int
    taps: tuple[tuple[int, int, int], ...]
    down: Walk | None
    across: Walk | None
    a_row: int
    a_channel: int
    b_channel: int
    c_row: int
    adds: bool = False
    lines: Lines | None = None
    edges: Edges | None = None

    @property
    def symbol(self) -> str:
        return f"nets_conv_tile_{sha256(repr(self).encode()).hexdigest()[:16]}"

    def text(self) -> str:
        """The function ``void (ptr a, ptr b, ptr c, i64 channels, i64 place, i64 lines, i1 add,
        i64 down, i64 across, i64 offset)``.

        ``place`` is the number of the first place, ``lines`` how many lines C has, and ``add``
        whether to add to C. ``down`` and ``across`` are how many taps these loops meet, where the
        loop itself does not say it; ``offset`` is the offset of the first tap.
        """
        w = Writer(self.dtype, self.lanes, self.rows, self.vectors)
        w.rows_of("%a", [r * self.a_row for r in range(self.rows)])
        masks = self._masks(w)
        columns = [] if masks else self._columns(w)
        with w.loop("%channels", {"at": ("i64", "0"), "b": ("ptr", "%b")}, least=0):
            with ExitStack() as walks:
                at, b = "at", "b"
                for walk, count in ((self.down, "%down"), (self.across, "%across")):
                    if walk is not None:
                        at, b = walks.enter_context(w.walk(walk, count, at, b))
                for a, distance, offset in self.taps:
                    met = [self._inside(w, column) for column in columns]
                    w.step(w.now[at], a, w.now[b], distance, met or masks.get(offset))
            w.advance("at", self.a_channel)
            w.advance("b", self.b_channel)
        if self.lines is None:
            w.store("%c", self.c_row, self.adds)
        else:
            w.store_lines("%c", self.c_row, self.lines)
        parameters = "ptr %a, ptr %b, ptr %c, i64 %channels, i64 %place, i64 %lines, i1 %add"
        return w.function(self.symbol, f"{parameters}, i64 %down, i64 %across, i64 %offset")

    def _inside(self, w: Writer, column: str) -> str:
        assert self.edges is not None
        return w.inside(column, w.now.get("offset", "%offset"), self.edges.pitch)

    def _columns(self, w: Writer) -> list[str]:
        """The columns of the lanes of each vector, where zeros are met beyond a line."""
        if self.edges is None:
            return []
        places = [w.value(f"add i64 %place, {v * self.lanes}") for v in range(self.vectors)]
        return [w.columns(place, self.edges.pitch) for place in places]

    def _masks(self, w: Writer) -> dict[int, list[str]]:
        """The masks of the vectors for each offset that may lead beyond a line."""
        if self.edges is None or not self.edges.offsets:
            return {}
        places = [w.value(f"add i64 %place, {v * self.lanes}") for v in range(self.vectors)]
        columns = [w.value(f"urem i64 {place}, {self.edges.pitch}") for place in places]
        starts = [
            w.value(f"getelementptr i16, ptr @{self.edges.symbol}, i64 {column}")
            for column in columns
        ]
        found = {}
        for row, offset in enumerate(self.edges.offsets):
            if offset and any(offset == tap[2] for tap in self.taps):
                distance = str(2 * row * self.edges.pitch)
                found[offset] = [w.mask(start, distance) for start in starts]
        return found


@dataclass(frozen=True, slots=True)
class PlaceMicrokernel:
    """C[rows, columns] (+)= Σ over places of X[row, place] · G[place, columns].

    Row r of X begins at the r-th of the distances given with the call; its places are ``x_place``
    bytes apart along a row of the image, of ``width`` places, and rows ``x_line`` bytes apart. A
    place of G is ``vectors`` vectors, one after the other.
    """

    dtype: DType
    lanes: int
    rows: int
    vectors: int
    width: int
    x_place: int
    x_line: int
    c_row: int

    @property
    def symbol(self) -> str:
        return f"nets_conv_places_{sha256(repr(self).encode()).hexdigest()[:16]}"

    def text(self) -> str:
        """``void (ptr x, ptr distances, ptr g, ptr c, i64 lines, i1 add)``, lines ≥ 1."""
        w = Writer(self.dtype, self.lanes, self.rows, self.vectors)
        w.rows_at("%x", "%distances", self.rows)
        unroll = max(u for u in range(1, _UNROLL + 1) if self.width % u == 0)
        place = self.vectors * self.lanes * self.dtype.itemsize
        with w.loop("%lines", {"at": ("i64", "0"), "g": ("ptr", "%g")}):
            with w.loop(str(self.width // unroll), {}):
                for u in range(unroll):
                    w.step(w.now["at"], u * self.x_place, w.now["g"], u * place)
                w.advance("at", unroll * self.x_place)
                w.advance("g", unroll * place)
            w.advance("at", self.x_line - self.width * self.x_place)
        w.store("%c", self.c_row, adds=True)
        parameters = "ptr %x, ptr %distances, ptr %g, ptr %c, i64 %lines, i1 %add"
        return w.function(self.symbol, parameters)


@dataclass(frozen=True, slots=True)
class LaneMicrokernel:
    """C[tap, columns] (+)= Σ over places of X[place + distance of the tap] · Y[place, columns],
    each lane for itself.

    Distances and strides are in bytes: places of X are ``x_place`` apart along a row of the image,
    of ``width`` places, and rows ``x_line``; taps of C are ``c_row`` apart. A place of Y is
    ``vectors`` vectors, one after the other, that of X is one. Without ``distances``, those of the
    ``taps`` come with the call.
    """

    dtype: DType
    lanes: int
    taps: int
    distances: tuple[int, ...]
    vectors: int
    width: int
    x_place: int
    x_line: int
    c_row: int

    @property
    def symbol(self) -> str:
        return f"nets_conv_lanes_{sha256(repr(self).encode()).hexdigest()[:16]}"

    def text(self) -> str:
        """``void (ptr x, ptr distances, ptr y, ptr c, i64 lines, i1 add)``, lines ≥ 1."""
        w = Writer(self.dtype, self.lanes, self.taps, self.vectors)
        if not self.distances:
            w.rows_at("%x", "%distances", self.taps)
        with w.loop("%lines", {"at": ("i64", "0"), "y": ("ptr", "%y")}):
            with w.loop(str(self.width), {}):
                w.step_lanes("%x", w.now["at"], self.distances, w.now["y"])
                w.advance("at", self.x_place)
                w.advance("y", self.vectors * self.lanes * self.dtype.itemsize)
            w.advance("at", self.x_line - self.width * self.x_place)
        w.store("%c", self.c_row, adds=True)
        parameters = "ptr %x, ptr %distances, ptr %y, ptr %c, i64 %lines, i1 %add"
        return w.function(self.symbol, parameters)
