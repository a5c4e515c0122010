"""Radix sort: long rows, digit by digit of their keys, from the last digit on.

One pass counts the digits of all places; a pass for each place moves the elements, in order, to
behind those of smaller digits (H. H. Seward's, in D. E. Knuth, "The Art of Computer Programming",
vol. 3, 5.2.5). A place where all digits are one is passed over. Elements move as they are and
their keys are made anew, so equal ones keep their order to the bit. Positions move with the keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.gemm.kernel_text import Count
from nets.backend.llvm.sort.keys import Keys
from nets.backend.llvm.sort.lanes import PARAMETERS
from nets.backend.llvm.sort.text import SortText

_DIGITS: Final = 256
_BITS: Final = 8
_UNROLLED: Final = 4
_PAIR: Final = "<2 x i64>"


@dataclass(frozen=True, slots=True)
class Radix:
    """Sorts rows of any number of elements, or gives the positions that sort them.

    A position shares a number with its key where both fit, with ``is_pair`` it stands behind it.
    """

    keys: Keys
    positions: bool
    is_pair: bool

    @property
    def places(self) -> int:
        """Digits of a key."""
        return self.keys.bits // _BITS

    @property
    def name(self) -> str:
        what = ("positions", "pairs")[self.is_pair] if self.positions else "elements"
        return f"nets_sort_radix_{self.keys.word}_{what}"

    @property
    def workspace_bytes(self) -> int:
        return self.places * _DIGITS * 8

    @property
    def moved(self) -> str:
        """The type of what is moved."""
        if not self.positions:
            return f"i{self.keys.bits}"
        return _PAIR if self.is_pair else "i64"

    @property
    def moved_bytes(self) -> int:
        return (16 if self.is_pair else 8) if self.positions else self.keys.dtype.itemsize

    def write(self) -> dict[str, str]:
        """The function and all it calls, by symbol."""
        body = SortText()
        bits = self.keys.bits
        of_work = self.moved_bytes * (2 if self.positions else 1)
        with body.loop("%begin", "%end", 1) as row:
            start = body.multiply(row, "%n")
            x = body.offset("%x", start, f"i{bits}")
            out = body.offset("%out", start, "i64" if self.positions else f"i{bits}")
            work = body.offset("%work", body.multiply(start, of_work), "i8")
            place = body.value("icmp sgt i64 %n, 0")
            with body.when(place):
                body.line(
                    f"call void @llvm.memset.p0.i64(ptr %workspace, i8 0, "
                    f"i64 {self.workspace_bytes}, i1 false)"
                )
                body.call(_Count(self), f"ptr {x}, ptr {work}, ptr %workspace, i64 %n")
                (self._positions if self.positions else self._elements)(body, x, work, out)
        return body.functions(self.name, PARAMETERS)

    def _needed(self, body: SortText, x: str) -> list[str]:
        """For each place, whether its digits differ: whether the first one has not all elements."""
        keys = self.keys
        key = keys.digits(body, body.load(f"i{keys.bits}", x, keys.dtype.itemsize))
        found = []
        for place in range(self.places):
            digit = _digit(body, key, keys.bits, place * _BITS)
            count = body.load("i64", _counter(body, "%workspace", digit, place), 8)
            found.append(body.value(f"icmp ne i64 {count}, %n"))
        return found

    def _elements(self, body: SortText, x: str, work: str, out: str) -> None:
        """There and back between ``work`` and ``out``, so that the last pass ends in ``out``."""
        needed = self._needed(body, x)
        odd = needed[0]
        for bit in needed[1:]:
            odd = body.value(f"xor i1 {odd}, {bit}")
        source = x
        target = body.value(f"select i1 {odd}, ptr {out}, ptr {work}")
        for place, bit in enumerate(needed):
            self._move(body, bit, source, target, place)
            source = body.value(f"select i1 {bit}, ptr {target}, ptr {source}")
            at_out = body.value(f"icmp eq ptr {source}, {out}")
            other = body.value(f"select i1 {at_out}, ptr {work}, ptr {out}")
            target = body.value(f"select i1 {bit}, ptr {other}, ptr {target}")
        same = body.value(f"icmp eq ptr {source}, {x}")
        with body.when(same):
            size = body.multiply("%n", self.keys.dtype.itemsize)
            body.line(f"call void @llvm.memcpy.p0.p0.i64(ptr {out}, ptr {x}, i64 {size}, i1 false)")

    def _positions(self, body: SortText, x: str, work: str, out: str) -> None:
        """There and back between the halves of ``work``; then the positions alone."""
        source = work
        target = body.offset(work, body.multiply("%n", self.moved_bytes), "i8")
        for place, bit in enumerate(self._needed(body, x)):
            self._move(body, bit, source, target, place)
            before = f"ptr {source}", f"ptr {target}"
            source = body.value(f"select i1 {bit}, {before[1]}, {before[0]}")
            target = body.value(f"select i1 {bit}, {before[0]}, {before[1]}")
        with body.loop(0, "%n", 1) as i:
            entry = body.load(self.moved, body.offset(source, i, self.moved), 8)
            if self.is_pair:
                position = body.value(f"extractelement {_PAIR} {entry}, i64 1")
            else:
                position = body.value(f"and i64 {entry}, {0xFFFFFFFF}")
            body.store("i64", position, body.offset(out, i, "i64"), 8)

    def _move(self, body: SortText, needed: str, source: str, target: str, place: int) -> None:
        with body.when(needed):
            counters = body.offset("%workspace", place * _DIGITS, "i64")
            body.call(
                _Move(self),
                f"ptr {source}, ptr {target}, ptr {counters}, i64 {place * _BITS}, i64 %n",
            )

    def key_of(self, body: SortText, entry: str) -> str:
        """The key of what is moved, as an unsigned number."""
        if not self.positions:
            return self.keys.digits(body, entry)
        if self.is_pair:
            return body.value(f"extractelement {_PAIR} {entry}, i64 0")
        return body.value(f"lshr i64 {entry}, 32")

    def entry_of(self, body: SortText, key: str, position: Count) -> str:
        """What is moved of an element: its key and its position."""
        bits = self.keys.bits
        wide = body.value(f"zext i{bits} {key} to i64") if bits < 64 else key
        if not self.is_pair:
            high = body.value(f"shl i64 {wide}, 32")
            return body.value(f"or i64 {high}, {position}")
        first = body.value(f"insertelement {_PAIR} poison, i64 {wide}, i64 0")
        return body.value(f"insertelement {_PAIR} {first}, i64 {position}, i64 1")

    @property
    def key_bits(self) -> int:
        """Of the keys that ``key_of`` gives."""
        return 64 if self.positions else self.keys.bits


def _digit(body: SortText, key: str, bits: int, shift: int | str) -> str:
    """A digit of a key, as an i64."""
    wide = key if bits == 64 else body.value(f"zext i{bits} {key} to i64")
    shifted = body.value(f"lshr i64 {wide}, {shift}") if shift != 0 else wide
    return body.value(f"and i64 {shifted}, {_DIGITS - 1}")


def _counter(body: SortText, counters: str, digit: str, place: int) -> str:
    return body.offset(counters, body.add(digit, place * _DIGITS), "i64")


@dataclass(frozen=True, slots=True)
class _Count:
    """Counts the digits of all places; of positions, also puts the keys beside them."""

    radix: Radix

    @property
    def symbol(self) -> str:
        return f"{self.radix.name}_count"

    def text(self) -> str:
        """``void (ptr x, ptr work, ptr counters, i64 n)``."""
        body, keys = SortText(), self.radix.keys
        type = f"i{keys.bits}"
        with body.loop(0, "%n", 1) as i:
            x = body.load(type, body.offset("%x", i, type), keys.dtype.itemsize)
            key = keys.digits(body, x)
            for place in range(self.radix.places):
                digit = _digit(body, key, keys.bits, place * _BITS)
                counter = _counter(body, "%counters", digit, place)
                count = body.load("i64", counter, 8)
                body.store("i64", body.value(f"add i64 {count}, 1"), counter, 8)
            if self.radix.positions:
                entry, moved = self.radix.entry_of(body, key, i), self.radix.moved
                body.store(moved, entry, body.offset("%work", i, moved), 8)
        return body.function(self.symbol, "ptr %x, ptr %work, ptr %counters, i64 %n")


@dataclass(frozen=True, slots=True)
class _Move:
    """Moves all elements to behind those of smaller digits at a place, in order."""

    radix: Radix

    @property
    def symbol(self) -> str:
        return f"{self.radix.name}_move"

    def text(self) -> str:
        """``void (ptr from, ptr to, ptr counters, i64 shift, i64 n)``."""
        body = SortText()
        with body.carrying(0, _DIGITS, 1, ["i64"], ["0"]) as loop:
            counter = body.offset("%counters", loop.counter, "i64")
            count = body.load("i64", counter, 8)
            body.store("i64", loop.values[0], counter, 8)
            loop.following = [body.value(f"add i64 {loop.values[0]}, {count}")]
        whole = body.value(f"and i64 %n, {-_UNROLLED}")
        with body.loop(0, whole, _UNROLLED) as i:
            for j in range(_UNROLLED):
                self._move(body, body.add(i, j))
        with body.loop(whole, "%n", 1) as i:
            self._move(body, i)
        return body.function(self.symbol, "ptr %from, ptr %to, ptr %counters, i64 %shift, i64 %n")

    def _move(self, body: SortText, i: Count) -> None:
        radix, moved = self.radix, self.radix.moved
        align = min(radix.moved_bytes, 8)
        entry = body.load(moved, body.offset("%from", i, moved), align)
        digit = _digit(body, radix.key_of(body, entry), radix.key_bits, "%shift")
        counter = body.offset("%counters", digit, "i64")
        place = body.load("i64", counter, 8)
        body.store(moved, entry, body.offset("%to", place, moved), align)
        body.store("i64", body.value(f"add i64 {place}, 1"), counter, 8)
