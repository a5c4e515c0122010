"""Packing: blocks of the operands copied to where the microkernel reads them in order.

Three packers, by how the operand lies in memory; each is a small function that kernels of one
module share, for distances come with the call::

    void (ptr from, ptr to, i64 count, i64 k, i64 row, i64 step)

with the elements from row to row of the operand, and those from row to row or from panel to panel
of what is packed. Packed panels live in the workspace; nothing outside the block is ever read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.gemm.kernel_text import Count, KernelText
from nets.ir.types import DType
from nets.machine.machine import Machine

_PARAMETERS: Final = "ptr %from, ptr %to, i64 %count, i64 %k, i64 %row, i64 %step"

_CHUNK: Final = 16
"""Bytes inside which CPUs shuffle in one cycle."""


def scalar_name(dtype: DType) -> str:
    """LLVM's word for the dtype."""
    return "float" if dtype.itemsize == 4 else "double"


def offset(body: KernelText, pointer: str, elements: Count, dtype: DType) -> str:
    """The address of an element."""
    return body.offset(pointer, elements, scalar_name(dtype))


def operands(
    body: KernelText, entry: Count, sizes: tuple[Count, Count, Count], dtype: DType
) -> list[str]:
    """Where x, y and out of an entry of the batch start, by the sizes m, n and k of the product."""
    m, n, k = sizes
    matrices = {"%x": (m, k), "%y": (k, n), "%out": (m, n)}
    return [
        offset(body, name, body.multiply(entry, body.multiply(*each)), dtype)
        for name, each in matrices.items()
    ]


def transposed(body: KernelText, rows: list[str], dtype: DType) -> list[str]:
    """The columns of a square of vectors: first inside 16-byte chunks, then chunk by chunk.

    Each of the log2(lanes) rounds is one two-operand shuffle per vector that CPUs do in one go.
    """
    lanes = len(rows)
    rows, half = _transposed_chunks(body, rows, dtype), min(_CHUNK // dtype.itemsize, lanes)
    while half < lanes:
        for i in (i for i in range(lanes) if not i & half):
            x, y = rows[i], rows[i + half]
            order = [j + (lanes - half if j & half else 0) for j in range(lanes)]
            rows[i] = _shuffle(body, x, y, order, dtype)
            order = [j + (lanes if j & half else half) for j in range(lanes)]
            rows[i + half] = _shuffle(body, x, y, order, dtype)
        half *= 2
    return rows


def loaded_square(
    body: KernelText, places: Iterable[str], lanes: int, dtype: DType, ahead: int = 0
) -> list[str]:
    """A square of memory whose rows start at these places, to be turned by `square_columns`.

    Vectors of two chunks are put together from chunks of two rows: what fills half of a vector from
    memory takes no turn of those who shuffle. ``ahead`` asks for what lies so many bytes further
    on.
    """
    half, rows = _CHUNK // dtype.itemsize, []
    if lanes != 2 * half:
        for place in places:
            rows.append(_loaded(body, place, lanes, dtype))
            if ahead:
                ask(body, place, ahead)
        return rows
    places = list(places)
    for start in (0, half):
        starts = [offset(body, place, start, dtype) for place in places]
        chunks = [_loaded(body, at, half, dtype) for at in starts]
        for low, high in zip(chunks[:half], chunks[half:], strict=True):
            rows.append(_shuffle(body, low, high, list(range(lanes)), dtype, half))
    return rows


def square_columns(body: KernelText, square: list[str], dtype: DType) -> list[str]:
    """The columns of a square that `loaded_square` loaded."""
    turned = _transposed_chunks if len(square) == 2 * _CHUNK // dtype.itemsize else transposed
    return turned(body, square, dtype)


def ask(body: KernelText, place: str, ahead: int) -> None:
    """Asks for what lies so many bytes behind a place, into the L2 cache."""
    later = body.offset(place, ahead, "i8")
    body.line(f"call void @llvm.prefetch.p0(ptr {later}, i32 0, i32 2, i32 1)")


def _loaded(body: KernelText, place: str, lanes: int, dtype: DType) -> str:
    type = f"<{lanes} x {scalar_name(dtype)}>"
    return body.value(f"load {type}, ptr {place}, align {dtype.itemsize}")


def _transposed_chunks(body: KernelText, rows: list[str], dtype: DType) -> list[str]:
    """The squares that the 16-byte chunks of vectors make up, each transposed for itself."""
    lanes = len(rows)
    chunk = min(_CHUNK // dtype.itemsize, lanes)

    def interleave(x: str, y: str, unit: int, high: bool) -> str:
        """In each chunk: a unit of x, one of y, …, out of its low or high half."""
        order = []
        for lane in range(lanes):
            start, at = lane - lane % chunk, lane % chunk
            source = start + high * chunk // 2 + at // (2 * unit) * unit + at % unit
            order.append(source + lanes * (at // unit % 2))
        return _shuffle(body, x, y, order, dtype)

    unit = 1
    while unit < chunk:
        for i in (i for i in range(lanes) if not i & unit):
            x, y = rows[i], rows[i + unit]
            rows[i], rows[i + unit] = (interleave(x, y, unit, high) for high in (False, True))
        unit *= 2
    if chunk == 4:
        # Two rounds leave the columns of a chunk in the order 0, 2, 1, 3.
        for i in range(0, lanes, 4):
            rows[i + 1], rows[i + 2] = rows[i + 2], rows[i + 1]
    return rows


def _shuffle(
    body: KernelText, x: str, y: str, order: list[int], dtype: DType, lanes: int | None = None
) -> str:
    """The lanes of x and y, numbered in a row, that ``order`` lists."""
    type = f"<{lanes or len(order)} x {scalar_name(dtype)}>"
    mask = ", ".join(f"i32 {lane}" for lane in order)
    return body.value(f"shufflevector {type} {x}, {type} {y}, <{len(order)} x i32> <{mask}>")


@dataclass(frozen=True, slots=True)
class PackRows:
    """Copies ``count`` rows, ``row`` elements apart, to rows ``step`` apart.

    All that a row-major A needs, for the kernel broadcasts its elements one by one.
    """

    dtype: DType

    @property
    def symbol(self) -> str:
        return f"nets_gemm_rows_{self.dtype}"

    def text(self) -> str:
        """The function."""
        body = KernelText()
        count = body.multiply("%k", self.dtype.itemsize)
        with body.loop(0, "%count", 1) as i:
            source = offset(body, "%from", body.multiply(i, "%row"), self.dtype)
            target = offset(body, "%to", body.multiply(i, "%step"), self.dtype)
            body.line(
                f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {count}, "
                "i1 false)"
            )
        return body.function(self.symbol, _PARAMETERS)


_ROWS: Final = 8
"""Rows that are cut together, so that both sides of the copy are runs of several cache lines."""


@dataclass(frozen=True, slots=True)
class PackColumns:
    """Cuts rows, ``row`` elements apart, into ``count`` panels of ``width`` columns each.

    Element (k, c) of a panel goes to k · ``pitch`` + c, with zeros up to the pitch; panels lie
    ``step`` apart.
    """

    dtype: DType
    width: int
    pitch: int

    @property
    def symbol(self) -> str:
        return f"nets_gemm_columns_{self.dtype}_{self.width}_{self.pitch}"

    def text(self) -> str:
        """The function."""
        body, size, width = KernelText(), self.dtype.itemsize, self.width
        scalar = scalar_name(self.dtype)
        type = f"<{width} x {scalar}>"
        with body.loop(0, "%k", _ROWS) as low, body.loop(0, "%count", 1) as panel:
            source = offset(body, "%from", body.multiply(panel, width), self.dtype)
            target = offset(body, "%to", body.multiply(panel, "%step"), self.dtype)
            with body.loop(low, body.least(body.add(low, _ROWS), "%k"), 1) as k:
                read = offset(body, source, body.multiply(k, "%row"), self.dtype)
                write = offset(body, target, body.multiply(k, self.pitch), self.dtype)
                value = body.value(f"load {type}, ptr {read}, align {size}")
                padded = type
                if self.pitch > width:
                    lanes = ", ".join(f"i32 {min(i, width)}" for i in range(self.pitch))
                    value = body.value(
                        f"shufflevector {type} {value}, {type} zeroinitializer, "
                        f"<{self.pitch} x i32> <{lanes}>"
                    )
                    padded = f"<{self.pitch} x {scalar}>"
                body.line(f"store {padded} {value}, ptr {write}, align {size}")
        return body.function(self.symbol, _PARAMETERS)


@dataclass(frozen=True, slots=True)
class PackTransposed:
    """Turns ``count`` rows, up to ``lanes``, ``row`` elements apart, into columns of a panel.

    Element (c, k) goes to k · ``step`` + c. Missing rows become columns of zeros. Whole squares
    are transposed in registers, the edges element by element.
    """

    dtype: DType
    lanes: int
    machine: Machine

    @property
    def symbol(self) -> str:
        return f"nets_gemm_transposed_{self.dtype}_{self.lanes}"

    def text(self) -> str:
        """The function."""
        body = KernelText()
        whole = body.value(f"and i64 %k, {-self.lanes}")
        all_rows = body.value(f"icmp eq i64 %count, {self.lanes}")
        done = body.value(f"select i1 {all_rows}, i64 {whole}, i64 0")
        with body.loop(0, done, self.lanes) as k:
            self._square(body, k)
        with body.loop(done, "%k", 1) as k:
            target = offset(body, "%to", body.multiply(k, "%step"), self.dtype)
            source = offset(body, "%from", k, self.dtype)
            self._edge(body, source, target)
        return body.function(self.symbol, _PARAMETERS)

    def _edge(self, body: KernelText, source: str, target: str) -> None:
        scalar, size = scalar_name(self.dtype), self.dtype.itemsize
        with body.loop(0, "%count", 1) as row:
            read = offset(body, source, body.multiply(row, "%row"), self.dtype)
            write = offset(body, target, row, self.dtype)
            value = body.value(f"load {scalar}, ptr {read}, align {size}")
            body.line(f"store {scalar} {value}, ptr {write}, align {size}")
        with body.loop("%count", self.lanes, 1) as row:
            write = offset(body, target, row, self.dtype)
            body.line(f"store {scalar} {0.0}, ptr {write}, align {size}")

    def _rows(self, body: KernelText, k: Count) -> Iterator[str]:
        place = offset(body, "%from", k, self.dtype)
        for i in range(self.lanes):
            if i:
                place = offset(body, place, "%row", self.dtype)
            yield place

    def _square(self, body: KernelText, k: Count) -> None:
        """``lanes`` rows of ``lanes`` elements, exchanged in log2(lanes) rounds of shuffles."""
        lanes, size = self.lanes, self.dtype.itemsize
        type = f"<{lanes} x {scalar_name(self.dtype)}>"
        # Squares that are narrower would ask for each line several times.
        ahead = self.machine.ahead_bytes if lanes * size >= self.machine.line_bytes else 0
        square = loaded_square(body, self._rows(body, k), lanes, self.dtype, ahead)
        write = offset(body, "%to", body.multiply(k, "%step"), self.dtype)
        for i, value in enumerate(square_columns(body, square, self.dtype)):
            if i:
                write = offset(body, write, "%step", self.dtype)
            body.line(f"store {type} {value}, ptr {write}, align {size}")


def pack(
    body: KernelText,
    packer: PackRows | PackColumns | PackTransposed,
    source: str,
    target: str,
    sizes: tuple[Count, Count],
    distances: tuple[Count, Count],
) -> None:
    """A call of a packer: ``count`` and ``k``, and the distances ``row`` and ``step``."""
    (count, k), (row, step) = sizes, distances
    body.call(packer, f"ptr {source}, ptr {target}, i64 {count}, i64 {k}, i64 {row}, i64 {step}")
