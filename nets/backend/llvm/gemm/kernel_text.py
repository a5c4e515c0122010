"""The text of a kernel in LLVM IR: counters, loops and conditions, with constants folded away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

Count = int | str
"""An i64: a Python int where it is known, else the name of a value."""


class Part(Protocol):
    """A function that others call: a microkernel, a packer."""

    @property
    def symbol(self) -> str: ...

    def text(self) -> str: ...


def _runs_once(low: Count, high: Count, step: Count) -> bool:
    """Whether it is known that a loop with these bounds has one iteration."""
    if not (isinstance(low, int) and isinstance(high, int) and isinstance(step, int)):
        return False
    return low < high <= low + step


class KernelText:
    """The body of a void function, written from the outside in.

    Loops whose bounds are known and that run once leave no loop behind.
    """

    def __init__(self) -> None:
        self.lines: list[str] = ["entry:"]
        self._block = "entry"
        self._names = 0
        self._parts: dict[str, str] = {}

    def value(self, instruction: str) -> str:
        """The name of a new value."""
        self._names += 1
        name = f"%t{self._names}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def line(self, text: str) -> None:
        """An instruction without a value."""
        self.lines.append(f"  {text}")

    def call(self, part: Part, operands: str) -> None:
        """A call of a part, which the function then comes with."""
        if part.symbol not in self._parts:
            self._parts[part.symbol] = part.text()
        self.line(f"call void @{part.symbol}({operands})")

    def include(self, symbol: str, text: str) -> None:
        """A constant, which the function then comes with."""
        self._parts.setdefault(symbol, text)

    def add(self, x: Count, y: Count) -> Count:
        if isinstance(x, int) and isinstance(y, int):
            return x + y
        if x == 0:
            return y
        return x if y == 0 else self.value(f"add i64 {x}, {y}")

    def subtract(self, x: Count, y: Count) -> Count:
        if isinstance(x, int) and isinstance(y, int):
            return x - y
        return x if y == 0 else self.value(f"sub i64 {x}, {y}")

    def multiply(self, x: Count, y: Count) -> Count:
        if isinstance(x, int) and isinstance(y, int):
            return x * y
        if x == 0 or y == 0:
            return 0
        if x == 1:
            return y
        return x if y == 1 else self.value(f"mul i64 {x}, {y}")

    def divide(self, x: Count, y: Count) -> Count:
        """x / y rounded down, for x ≥ 0 and y > 0."""
        if isinstance(x, int) and isinstance(y, int):
            return x // y
        return x if y == 1 else self.value(f"udiv i64 {x}, {y}")

    def remainder(self, x: Count, y: int) -> Count:
        """x modulo y, for x ≥ 0."""
        if isinstance(x, int):
            return x % y
        return 0 if y == 1 else self.value(f"urem i64 {x}, {y}")

    def floor(self, x: Count, y: int) -> Count:
        """x / y rounded down, for x of either sign, above −2³² · y."""
        return self.subtract(self.divide(self.add(x, y << 32), y), 1 << 32)

    def select(self, condition: str | bool, x: Count, y: Count) -> Count:
        if isinstance(condition, bool):
            return x if condition else y
        return self.value(f"select i1 {condition}, i64 {x}, i64 {y}")

    def compare(self, predicate: str, x: Count, y: int) -> str | bool:
        """Whether x is eq, or slt, than y."""
        if isinstance(x, int):
            return x == y if predicate == "eq" else x < y
        return self.value(f"icmp {predicate} i64 {x}, {y}")

    def least(self, x: Count, y: Count) -> Count:
        if isinstance(x, int) and isinstance(y, int):
            return min(x, y)
        return x if x == y else self.value(f"call i64 @llvm.smin.i64(i64 {x}, i64 {y})")

    def most(self, x: Count, y: Count) -> Count:
        if isinstance(x, int) and isinstance(y, int):
            return max(x, y)
        return x if x == y else self.value(f"call i64 @llvm.smax.i64(i64 {x}, i64 {y})")

    def splat(self, x: str, scalar: str, lanes: int) -> str:
        """A vector with x in every lane."""
        type = f"<{lanes} x {scalar}>"
        one = self.value(f"insertelement {type} poison, {scalar} {x}, i64 0")
        return self.value(
            f"shufflevector {type} {one}, {type} poison, <{lanes} x i32> zeroinitializer"
        )

    def offset(self, pointer: str, elements: Count, type: str) -> str:
        """The address of an element."""
        if elements == 0:
            return pointer
        return self.value(f"getelementptr {type}, ptr {pointer}, i64 {elements}")

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self._block = name

    def new_label(self, word: str) -> str:
        self._names += 1
        return f"{word}{self._names}"

    @contextmanager
    def loop(self, low: Count, high: Count, step: Count) -> Iterator[Count]:
        """Runs the body for a counter from ``low`` below ``high``."""
        if _runs_once(low, high, step):
            yield low
            return
        head, body, end = (self.new_label(word) for word in ("head", "body", "end"))
        before, counter, following = self._block, f"%{head}.i", f"%{head}.next"
        self.line(f"br label %{head}")
        self.label(head)
        position = len(self.lines)
        inside = self.value(f"icmp slt i64 {counter}, {high}")
        self.line(f"br i1 {inside}, label %{body}, label %{end}")
        self.label(body)
        yield counter
        self.line(f"{following} = add i64 {counter}, {step}")
        self.line(f"br label %{head}")
        phi = f"  {counter} = phi i64 [ {low}, %{before} ], [ {following}, %{self._block} ]"
        self.lines.insert(position, phi)
        self.label(end)

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """Runs the body where the condition holds."""
        body, end = self.new_label("body"), self.new_label("end")
        self.line(f"br i1 {condition}, label %{body}, label %{end}")
        self.label(body)
        yield
        self.line(f"br label %{end}")
        self.label(end)

    @contextmanager
    def entries(self, batch: int, panels: Count) -> Iterator[tuple[Count, Count, Count]]:
        """The entries of a batch that the panels ``%begin`` to ``%end`` touch.

        Each entry has so many panels; the body gets the entry and the range of its own panels.
        """
        if batch == 1:
            yield 0, "%begin", "%end"
            return
        last = self.divide(self.add("%end", self.subtract(panels, 1)), panels)
        with self.loop(self.divide("%begin", panels), last, 1) as entry:
            first = self.multiply(entry, panels)
            low = self.most(self.subtract("%begin", first), 0)
            yield entry, low, self.least(self.subtract("%end", first), panels)

    def function(self, symbol: str, parameters: str) -> str:
        """The text of the whole function."""
        head = f"define internal void @{symbol}({parameters}) noinline nounwind {{"
        return "\n".join([head, *self.lines, "  ret void", "}", ""])

    def functions(self, symbol: str, parameters: str) -> dict[str, str]:
        """The texts of the whole function and all it calls, by symbol."""
        return {**self._parts, symbol: self.function(symbol, parameters)}
