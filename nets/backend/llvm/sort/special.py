"""Zeros and NaN of a sorted row in the order they had: equal elements keep theirs."""

from __future__ import annotations

from dataclasses import dataclass

from nets.backend.llvm.sort.keys import Keys
from nets.backend.llvm.sort.text import SortText


@dataclass(frozen=True, slots=True)
class PutSpecial:
    """Writes the zeros of a row, and its NaN, to where they stand in the sorted row."""

    keys: Keys

    @property
    def symbol(self) -> str:
        return f"nets_sort_special_{self.keys.word}"

    def text(self) -> str:
        """``void (ptr row, ptr out, i64 n)``."""
        body, keys = SortText(), self.keys
        type, align = keys.type(1), keys.bits // 8
        with body.carrying(0, "%n", 1, ["i64", "i64"], ["0", "0"]) as loop:
            x = body.load(type, body.offset("%row", loop.counter, type), align)
            nan = keys.is_nan(body, x, 1)
            key = keys.equal(body, x, 1)
            zero = "0" if not keys.descending else "-1"
            first = body.value(f"icmp slt {type} {key}, {zero}")
            others = [body.value(f"zext i1 {bit} to i64") for bit in (first, nan)]
            loop.following = [
                body.value(f"add i64 {total}, {one}")
                for total, one in zip(loop.values, others, strict=True)
            ]
        smaller, nans = loop.values
        of_nan = "0" if keys.descending else body.subtract("%n", nans)
        with body.carrying(0, "%n", 1, ["i64", "i64"], [smaller, str(of_nan)]) as loop:
            x = body.load(type, body.offset("%row", loop.counter, type), align)
            at_zero, at_nan = loop.values
            nan = keys.is_nan(body, x, 1)
            size = body.value(f"and {type} {x}, {keys.most}")
            zero = body.value(f"icmp eq {type} {size}, 0")
            place = body.value(f"select i1 {nan}, i64 {at_nan}, i64 {at_zero}")
            special = body.value(f"or i1 {nan}, {zero}")
            with body.when(special):
                body.store(type, x, body.offset("%out", place, type), align)
            steps = [body.value(f"zext i1 {bit} to i64") for bit in (zero, nan)]
            loop.following = [
                body.value(f"add i64 {at}, {step}")
                for at, step in zip((at_zero, at_nan), steps, strict=True)
            ]
        return body.function(self.symbol, "ptr %row, ptr %out, i64 %n")
