"""Lane vectors: registers of several elements that a lowering writes itself, and their shuffles."""

from __future__ import annotations

from collections.abc import Iterable

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.sizes import Dim
from nets.ir.types import DType
from nets.ops.loop.lowering import Lowering


class LaneVectors:
    """Vectors of one dtype with ``width`` lanes; scalars where that is 1."""

    def __init__(self, s: Lowering, dtype: DType, width: int) -> None:
        self.s, self.dtype, self.width = s, dtype, width

    def const(self, value: float) -> Value:
        return self.splat(self.s.const(value, self.dtype))

    def splat(self, scalar: Value) -> Value:
        """The scalar in each lane."""
        return scalar if self.width == 1 else self.s.emit("splat", scalar, lanes=self.width).result

    def load(self, buffer: Value, place: Affine, lanes: int = 0) -> Value:
        """A vector of consecutive elements: as many as it has lanes, unless told."""
        indices, strides = _terms(place)
        found = self.s.emit(
            "load",
            *(buffer, *indices),
            lanes=lanes or self.width,
            offset=place.constant,
            strides=strides,
        )
        return found.result

    def store(self, vector: Value, buffer: Value, place: Affine) -> None:
        indices, strides = _terms(place)
        self.s.emit("store", vector, buffer, *indices, offset=place.constant, strides=strides)

    def turned(self, rows: list[Value]) -> list[Value]:
        """The transpose of a square of vectors, by halves: in each round the rows that are a
        distance apart exchange the lanes that are as far from where they belong."""
        found, width = list(rows), len(rows)
        distance = 1
        while distance < width:
            stays = [not lane & distance for lane in range(width)]
            low = [i if stay else width + i - distance for i, stay in enumerate(stays)]
            high = [i + distance if stay else width + i for i, stay in enumerate(stays)]
            for i in (i for i, stay in enumerate(stays) if stay):
                pair = found[i], found[i + distance]
                found[i] = self.shuffled(*pair, low)
                found[i + distance] = self.shuffled(*pair, high)
            distance *= 2
        return found

    def shuffled(self, x: Value, y: Value, order: Iterable[int]) -> Value:
        return self.s.emit("shuffle", x, y, order=tuple(order)).result


def _terms(place: Affine) -> tuple[list[Value], tuple[Dim, ...]]:
    return [value for value, _ in place.terms], tuple(stride for _, stride in place.terms)
