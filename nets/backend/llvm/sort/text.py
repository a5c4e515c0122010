"""What the kernels that sort are written with: loops that carry values, and vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from nets.backend.llvm.gemm.kernel_text import Count, KernelText


@dataclass(slots=True)
class Carried:
    """A counter and the values that a loop carries; ``following`` is for the body to set."""

    counter: str
    values: list[str]
    following: list[str] = field(default_factory=list)


class SortText(KernelText):
    """The body of a function of a kernel that sorts."""

    @contextmanager
    def carrying(
        self, low: Count, high: Count, step: int, types: Sequence[str], initial: Sequence[str]
    ) -> Iterator[Carried]:
        """A loop that hands values on; behind it ``values`` are the last ones."""
        head, body, end = (self.new_label(word) for word in ("head", "body", "end"))
        before = self._block
        carried = Carried(f"%{head}.i", [f"%{head}.v{i}" for i in range(len(types))])
        self.line(f"br label %{head}")
        self.label(head)
        position = len(self.lines)
        inside = self.value(f"icmp slt i64 {carried.counter}, {high}")
        self.line(f"br i1 {inside}, label %{body}, label %{end}")
        self.label(body)
        yield carried
        self.line(f"%{head}.next = add i64 {carried.counter}, {step}")
        self.line(f"br label %{head}")
        names = [carried.counter, *carried.values]
        sources = zip(
            names,
            ("i64", *types),
            (low, *initial),
            (f"%{head}.next", *carried.following),
            strict=True,
        )
        self.lines[position:position] = [
            f"  {name} = phi {type} [ {first}, %{before} ], [ {later}, %{self._block} ]"
            for name, type, first, later in sources
        ]
        self.label(end)

    def load(self, type: str, pointer: str, align: int) -> str:
        return self.value(f"load {type}, ptr {pointer}, align {align}")

    def store(self, type: str, value: str | int, pointer: str, align: int) -> None:
        self.line(f"store {type} {value}, ptr {pointer}, align {align}")

    def zipped(self, type: str, x: str, y: str, order: Sequence[int]) -> str:
        """Elements of two vectors, by their numbers."""
        lanes = ", ".join(f"i32 {lane}" for lane in order)
        return self.value(f"shufflevector {type} {x}, {type} {y}, <{len(order)} x i32> <{lanes}>")

    def transposed(self, type: str, rows: list[str]) -> list[str]:
        """The columns of a square of vectors.

        Each round zips vectors that are half the square apart; log2(lanes) rounds turn it.
        """
        lanes = len(rows)
        half = lanes // 2
        low = [i // 2 + lanes * (i % 2) for i in range(lanes)]
        high = [i + half for i in low]
        for _ in range(lanes.bit_length() - 1):
            pairs = list(zip(rows[:half], rows[half:], strict=True))
            rows = [self.zipped(type, x, y, order) for x, y in pairs for order in (low, high)]
        return rows


def splat(lanes: int, scalar: str, value: int | str) -> str:
    """A constant vector."""
    return "<" + ", ".join([f"{scalar} {value}"] * lanes) + ">"
