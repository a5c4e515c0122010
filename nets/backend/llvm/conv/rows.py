"""Rows of an image, copied between user memory and the workspace: zeros around, strides undone.

Rows of the workspace are written in ascending order and may be written over to a whole vector
behind their end; user memory is never read or written outside the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.gemm.kernel_text import Count, KernelText
from nets.backend.llvm.gemm.pack import offset, scalar_name
from nets.ir.types import DType

_MOST_STEP: Final = 4
"""Elements that are further apart are copied one by one: whole vectors would hold few of them."""


@dataclass(frozen=True, slots=True)
class RowCopier:
    """Copies with vectors of ``lanes`` elements."""

    dtype: DType
    lanes: int

    @property
    def type(self) -> str:
        return f"<{self.lanes} x {scalar_name(self.dtype)}>"

    def zeros(self, body: KernelText, target: str, low: Count, high: Count) -> None:
        """Zeros from element ``low`` on, up to ``high`` or a vector beyond."""
        if isinstance(low, int) and isinstance(high, int) and low >= high:
            return
        with body.loop(low, high, self.lanes) as i:
            at = offset(body, target, i, self.dtype)
            body.line(f"store {self.type} zeroinitializer, ptr {at}, align {self.dtype.itemsize}")

    def padded(
        self,
        body: KernelText,
        source: str,
        target: str,
        size: int,
        first: Count,
        step: int,
        width: int,
    ) -> None:
        """Element i of the target, below ``width``, is ``source[first + i · step]`` where that
        lies below ``size``, else 0."""
        if isinstance(first, str):
            self._padded_from(body, source, target, size, first, step, width)
            return
        low = min(max(0, -(first // step)), width)
        high = max(low, min(width, -((first - size) // step)))
        self.zeros(body, target, 0, low)
        start = first + low * step
        if high > low:
            begin = offset(body, source, start, self.dtype)
            place = offset(body, target, low, self.dtype)
            self._gathered(body, begin, place, high - low, step, size - start)
        self.zeros(body, target, high, width)

    def _padded_from(
        self,
        body: KernelText,
        source: str,
        target: str,
        size: int,
        first: str,
        step: int,
        width: int,
    ) -> None:
        """As ``padded``, where only the code knows the first element."""
        before = body.subtract(0, body.floor(first, step))
        low = body.least(body.most(before, 0), width)
        beyond = body.subtract(0, body.floor(body.subtract(first, size), step))
        high = body.most(body.least(beyond, width), low)
        self.zeros(body, target, 0, low)
        start = body.add(first, body.multiply(low, step))
        read, write = offset(body, source, start, self.dtype), offset(body, target, low, self.dtype)
        self._gathered_from(body, read, write, body.subtract(high, low), step, size, start)
        self.zeros(body, target, high, width)

    def _gathered_from(
        self,
        body: KernelText,
        source: str,
        target: str,
        count: Count,
        step: int,
        size: int,
        start: Count,
    ) -> None:
        """``count`` elements that are ``step`` apart, side by side; the source ends ``size −
        start`` elements further."""
        lanes = self.lanes
        whole: Count = 0
        if step <= _MOST_STEP:
            left = body.most(body.subtract(size, start), 0)
            whole = body.divide(body.least(count, body.divide(left, step)), lanes)
            whole = body.multiply(whole, lanes)
            with body.loop(0, whole, lanes) as i:
                read = offset(body, source, body.multiply(i, step), self.dtype)
                value = self._every(body, read, step)
                write = offset(body, target, i, self.dtype)
                body.line(f"store {self.type} {value}, ptr {write}, align {self.dtype.itemsize}")
        with body.loop(whole, count, 1) as i:
            self._move(body, source, body.multiply(i, step), target, i)

    def _gathered(
        self, body: KernelText, source: str, target: str, count: int, step: int, left: int
    ) -> None:
        """``count`` elements, ``step`` apart in a source that has ``left``, side by side."""
        size, lanes = self.dtype.itemsize, self.lanes
        whole = min(count, left // step) // lanes * lanes if step <= _MOST_STEP else 0
        if whole:
            with body.loop(0, whole, lanes) as i:
                read = offset(body, source, body.multiply(i, step), self.dtype)
                value = self._every(body, read, step)
                write = offset(body, target, i, self.dtype)
                body.line(f"store {self.type} {value}, ptr {write}, align {size}")
        if step == 1 and whole < count:
            read, write = (offset(body, pointer, whole, self.dtype) for pointer in (source, target))
            value = body.value(
                f"call {self.type} @llvm.masked.load.v{lanes}{self.dtype}.p0(ptr {read}, "
                f"i32 {size}, {self._mask(count - whole)}, {self.type} zeroinitializer)"
            )
            body.line(f"store {self.type} {value}, ptr {write}, align {size}")
        elif whole < count:
            with body.loop(whole, count, 1) as i:
                self._move(body, source, body.multiply(i, step), target, i)

    def _every(self, body: KernelText, source: str, step: int) -> str:
        """Elements 0, step, 2 · step, … of a source that has ``lanes · step``."""
        size, lanes = self.dtype.itemsize, self.lanes
        vectors = []
        for part in range(step):
            at = offset(body, source, part * lanes, self.dtype)
            vectors.append(body.value(f"load {self.type}, ptr {at}, align {size}"))
        result = vectors[0]
        for part in range(1, step):
            order = []
            for lane in range(lanes):
                vector, place = divmod(lane * step, lanes)
                kept = place if part == 1 else lane
                order.append(lanes + place if vector == part else kept if vector < part else lane)
            result = self._shuffled(body, result, vectors[part], order)
        return result

    def _shuffled(self, body: KernelText, x: str, y: str, order: list[int]) -> str:
        mask = ", ".join(f"i32 {lane}" for lane in order)
        return body.value(
            f"shufflevector {self.type} {x}, {self.type} {y}, <{len(order)} x i32> <{mask}>"
        )

    def spread(self, body: KernelText, source: str, target: str, count: Count, step: int) -> None:
        """``count`` elements to places of the target that are ``step`` apart."""
        size, lanes = self.dtype.itemsize, self.lanes
        if step > 1 or isinstance(count, str):
            with body.loop(0, count, 1) as i:
                self._move(body, source, i, target, body.multiply(i, step))
            return
        whole = count - count % lanes
        if whole:
            with body.loop(0, whole, lanes) as i:
                read, write = (offset(body, pointer, i, self.dtype) for pointer in (source, target))
                value = body.value(f"load {self.type}, ptr {read}, align {size}")
                body.line(f"store {self.type} {value}, ptr {write}, align {size}")
        if whole < count:
            read, write = (offset(body, pointer, whole, self.dtype) for pointer in (source, target))
            value = body.value(f"load {self.type}, ptr {read}, align {size}")
            body.line(
                f"call void @llvm.masked.store.v{lanes}{self.dtype}.p0({self.type} {value}, "
                f"ptr {write}, i32 {size}, {self._mask(count - whole)})"
            )

    def _move(self, body: KernelText, source: str, i: int | str, target: str, j: int | str) -> None:
        scalar, size = scalar_name(self.dtype), self.dtype.itemsize
        read, write = offset(body, source, i, self.dtype), offset(body, target, j, self.dtype)
        value = body.value(f"load {scalar}, ptr {read}, align {size}")
        body.line(f"store {scalar} {value}, ptr {write}, align {size}")

    def _mask(self, count: int) -> str:
        bits = ", ".join(f"i1 {int(lane < count)}" for lane in range(self.lanes))
        return f"<{self.lanes} x i1> <{bits}>"
