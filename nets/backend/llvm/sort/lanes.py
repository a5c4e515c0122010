"""Rows that are sorted side by side, one in each lane of a vector.

A square of as many rows as there are lanes is transposed on its way in and out, so that the vectors
of a network (``network``) hold elements of all rows at one position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.gemm.kernel_text import Count
from nets.backend.llvm.sort.keys import Keys
from nets.backend.llvm.sort.network import Network
from nets.backend.llvm.sort.special import PutSpecial
from nets.backend.llvm.sort.text import SortText, splat
from nets.machine.machine import Machine

PARAMETERS: Final = (
    "ptr %x, ptr %work, ptr %out, ptr %workspace, i64 %begin, i64 %end, i64 %rows, i64 %n"
)
_FLAG_BYTES: Final = 64
"""Of the workspace, in front of the vectors: whether an element is special."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """Sorts rows of n elements, or gives the positions that sort them."""

    keys: Keys
    n: int
    positions: bool
    machine: Machine

    @property
    def is_pair(self) -> bool:
        """Whether key and position fill a number each; else they share one."""
        return self.positions and self.keys.bits == 64

    @property
    def bits(self) -> int:
        """Of what the network sorts."""
        return 64 if self.positions or self.keys.bits == 64 else 32

    @property
    def lanes(self) -> int:
        return max(2, 8 * self.machine.vector_bytes // self.bits)

    @property
    def network(self) -> Network:
        group = 16 if self.machine.has_many_registers else 8
        parts = 2 if self.is_pair else 1
        is_wide = self.bits == 64 and self.machine.instruction_set != "avx512"
        return Network(self.bits, self.lanes, parts, group // parts, not is_wide)

    @property
    def name(self) -> str:
        what = "positions" if self.positions else "elements"
        return f"nets_sort_rows_{self.keys.word}_{what}_{self.n}x{self.lanes}"

    @property
    def type(self) -> str:
        return f"<{self.lanes} x i{self.bits}>"

    @property
    def workspace_bytes(self) -> int:
        network = self.network
        vector = self.lanes * self.bits // 8
        return _FLAG_BYTES + network.capacity(self.n) * network.parts * vector

    def write(self) -> dict[str, str]:
        """The function and all it calls, by symbol."""
        body, network = SortText(), self.network
        base = body.offset("%workspace", _FLAG_BYTES, "i8")
        most = splat(self.lanes, f"i{self.bits}", (1 << (self.bits - 1)) - 1)
        size = self.lanes * self.bits // 8
        with body.loop(self.n, network.capacity(self.n), 1) as i:
            for part in range(network.parts):
                self._store(body, most, base, i, part, size)
        with body.loop("%begin", "%end", 1) as panel:
            first = body.multiply(panel, self.lanes)
            body.store("i64", 0, "%workspace", 8)
            (self._read_squares if self.n >= self.lanes else self._read_few)(body, base, first)
            network.call(body, base, self.n)
            (self._write_squares if self.n >= self.lanes else self._write_few)(body, base, first)
            if self._has_special:
                self._put_special(body, first)
        return body.functions(self.name, PARAMETERS)

    # ------------------------------------------------------------------ squares of elements

    @property
    def _has_special(self) -> bool:
        return self.keys.dtype.is_float and not self.positions

    def _starts(self, body: SortText, first: Count, pointer: str, bits: int) -> list[str]:
        """Where the rows of a panel begin; behind the last row, it again."""
        last = body.subtract("%rows", 1)
        found = []
        for lane in range(self.lanes):
            row = body.least(body.add(first, lane), last)
            found.append(body.offset(pointer, body.multiply(row, "%n"), f"i{bits}"))
        return found

    def _squares(self) -> list[tuple[int, int]]:
        """Ranges of the columns where squares begin: the last one ends with the rows."""
        whole = self.n - self.n % self.lanes
        rest = [(self.n - self.lanes, self.n)] if self.n % self.lanes else []
        return [(0, whole), *rest]

    def _read_squares(self, body: SortText, base: str, first: Count) -> None:
        keys, lanes = self.keys, self.lanes
        starts = self._starts(body, first, "%x", keys.bits)
        for low, high in self._squares():
            with body.loop(low, high, lanes) as column:
                places = [body.offset(start, column, f"i{keys.bits}") for start in starts]
                narrow = keys.type(lanes)
                rows = [body.load(narrow, at, keys.bits // 8) for at in places]
                self._note_special(body, rows)
                rows = [self._widened(body, self._key(body, row)) for row in rows]
                for i, vector in enumerate(body.transposed(self.type, rows)):
                    self._store_key(body, vector, base, body.add(column, i))

    def _write_squares(self, body: SortText, base: str, first: Count) -> None:
        bits = 64 if self.positions else self.keys.bits
        starts = self._starts(body, first, "%out", bits)
        for low, high in self._squares():
            with body.loop(low, high, self.lanes) as column:
                vectors = [self._load_result(body, base, column, i) for i in range(self.lanes)]
                rows = body.transposed(self.type, vectors)
                for start, row in zip(starts, rows, strict=True):
                    place = body.offset(start, column, f"i{bits}")
                    body.store(f"<{self.lanes} x i{bits}>", self._made(body, row), place, bits // 8)

    def _key(self, body: SortText, x: str) -> str:
        return (self.keys.equal if self.positions else self.keys.unequal)(body, x, self.lanes)

    def _widened(self, body: SortText, key: str) -> str:
        narrow = self.keys.type(self.lanes)
        wide = key
        if self.keys.bits < self.bits:
            wide = body.value(f"sext {narrow} {key} to {self.type}")
        if self.positions and not self.is_pair:
            wide = body.value(f"shl {self.type} {wide}, {splat(self.lanes, 'i64', 32)}")
        return wide

    def _store_key(self, body: SortText, key: str, base: str, index: Count) -> None:
        """The key of an element, with its position beside it or in its low half."""
        align = self.lanes * self.bits // 8
        if not self.positions:
            self._store(body, key, base, index, 0, align)
            return
        position = body.splat(str(index), "i64", self.lanes)
        if self.is_pair:
            self._store(body, key, base, index, 0, align)
            self._store(body, position, base, index, 1, align)
            return
        both = body.value(f"or {self.type} {key}, {position}")
        self._store(body, both, base, index, 0, align)

    def _store(
        self, body: SortText, vector: str, base: str, index: Count, part: int, align: int
    ) -> None:
        at = body.add(body.multiply(index, self.network.parts), part)
        body.store(self.type, vector, body.offset(base, at, self.type), align)

    def _load_result(self, body: SortText, base: str, column: Count, i: int) -> str:
        """What belongs into a column: keys, or positions."""
        parts, align = self.network.parts, self.lanes * self.bits // 8
        at = body.add(body.multiply(body.add(column, i), parts), parts - 1)
        vector = body.load(self.type, body.offset(base, at, self.type), align)
        if self.positions and not self.is_pair:
            low = splat(self.lanes, "i64", 0xFFFFFFFF)
            return body.value(f"and {self.type} {vector}, {low}")
        return vector

    def _made(self, body: SortText, row: str) -> str:
        """The elements, or positions, of what the network gave."""
        if self.positions:
            return row
        if self.keys.bits < self.bits:
            row = body.value(f"trunc {self.type} {row} to {self.keys.type(self.lanes)}")
        return self.keys.element(body, row, self.lanes)

    # ------------------------------------------------------- rows shorter than a square

    def _read_few(self, body: SortText, base: str, first: Count) -> None:
        """Element by element into the place of the keys, then vector by vector."""
        bits, lanes = self.keys.bits, self.lanes
        last = body.subtract("%rows", 1)
        wide = self.lanes * self.bits // 8 * self.network.parts
        with body.loop(0, lanes, 1) as lane:
            row = body.least(body.add(first, lane), last)
            start = body.offset("%x", body.multiply(row, "%n"), f"i{bits}")
            to = body.offset(base, lane, f"i{bits}")
            for column in range(self.n):
                element = body.load(f"i{bits}", body.offset(start, column, f"i{bits}"), bits // 8)
                place = body.offset(to, column * wide, "i8")
                body.store(f"i{bits}", element, place, bits // 8)
        for column in range(self.n):
            place = body.offset(base, column * wide, "i8")
            row_ = body.load(self.keys.type(lanes), place, bits // 8)
            self._note_special(body, [row_])
            self._store_key(body, self._widened(body, self._key(body, row_)), base, column)

    def _write_few(self, body: SortText, base: str, first: Count) -> None:
        bits, lanes = 64 if self.positions else self.keys.bits, self.lanes
        wide = self.lanes * self.bits // 8
        for column in range(self.n):
            made = self._made(body, self._load_result(body, base, column, 0))
            place = body.offset(base, column * wide, "i8")
            body.store(f"<{lanes} x i{bits}>", made, place, bits // 8)
        count = body.least(body.subtract("%rows", first), lanes)
        with body.loop(0, count, 1) as lane:
            row = body.multiply(body.add(first, lane), "%n")
            start = body.offset("%out", row, f"i{bits}")
            source = body.offset(base, lane, f"i{bits}")
            for column in range(self.n):
                at = body.offset(source, column * wide, "i8")
                element = body.load(f"i{bits}", at, bits // 8)
                body.store(f"i{bits}", element, body.offset(start, column, f"i{bits}"), bits // 8)

    # ------------------------------------------------------------------------- −0 and NaN

    def _note_special(self, body: SortText, rows: list[str]) -> None:
        if not self._has_special:
            return
        bits = f"<{self.lanes} x i1>"
        found = [self.keys.is_special(body, row, self.lanes) for row in rows]
        while len(found) > 1:
            pairs = zip(found[::2], found[1::2], strict=True)
            found = [body.value(f"or {bits} {x}, {y}") for x, y in pairs]
        mask = body.value(f"bitcast {bits} {found[0]} to i{self.lanes}")
        some = body.value(f"icmp ne i{self.lanes} {mask}, 0")
        number = body.value(f"zext i1 {some} to i64")
        before = body.load("i64", "%workspace", 8)
        body.store("i64", body.value(f"or i64 {before}, {number}"), "%workspace", 8)

    def _put_special(self, body: SortText, first: Count) -> None:
        flag = body.load("i64", "%workspace", 8)
        some = body.value(f"icmp ne i64 {flag}, 0")
        part, type = PutSpecial(self.keys), f"i{self.keys.bits}"
        with body.when(some):
            count = body.least(body.subtract("%rows", first), self.lanes)
            with body.loop(0, count, 1) as lane:
                start = body.multiply(body.add(first, lane), "%n")
                row, out = (body.offset(pointer, start, type) for pointer in ("%x", "%out"))
                body.call(part, f"ptr {row}, ptr {out}, i64 %n")
