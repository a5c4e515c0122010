"""Sorting networks: the lanes of vectors sorted side by side, each lane by itself.

Runs of a few vectors are sorted in registers, by the odd-even network; runs are merged two by two,
by the bitonic one, whose first step compares the first half with the other one backwards, so that
every comparison puts the smaller number first (K. E. Batcher, "Sorting networks and their
applications", AFIPS 1968). A pass over memory does as many steps as fit in registers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nets.backend.llvm.gemm.kernel_text import Count
from nets.backend.llvm.sort.text import SortText

Element = list[str]
"""The vectors of an element: its key, or its key and its position."""


def odd_even(n: int) -> Iterator[tuple[int, int]]:
    """The comparisons of a network that sorts n elements."""
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(min(k, n - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        yield i + j, i + j + k
            k //= 2
        p *= 2


@dataclass(frozen=True, slots=True)
class Network:
    """Sorts vectors in memory: element e has its parts at ``base + e · parts``.

    There are as many elements in memory as the next power of two, those behind ``n`` being larger
    than all others.
    """

    bits: int
    lanes: int
    parts: int
    group: int
    """Elements that a pass holds in registers, a power of two."""
    has_extremes: bool
    """Whether one instruction takes the smaller numbers of two vectors."""

    @property
    def type(self) -> str:
        return f"<{self.lanes} x i{self.bits}>"

    @property
    def prefix(self) -> str:
        return f"nets_sort_i{self.bits}x{self.lanes}_{self.parts}_{self.group}"

    def capacity(self, n: int) -> int:
        """Elements in memory."""
        return n if n <= self.group else 1 << (n - 1).bit_length()

    def call(self, body: SortText, base: str, n: int) -> None:
        """Sort n elements."""
        if n <= self.group:
            body.call(_Runs(self, n), f"ptr {base}, i64 {n}")
            return
        body.call(_Runs(self, self.group), f"ptr {base}, i64 {n}")
        size = 2 * self.group
        while size < 2 * n:
            stride = size // self.group
            body.call(_Merge(self), f"ptr {base}, i64 {n - size // 2}, i64 {size}, i64 {stride}")
            while stride > 1:
                count = min(self.group, stride)
                stride //= count
                body.call(_Clean(self, count), f"ptr {base}, i64 {n}, i64 {stride}")
            size *= 2

    def at(self, body: SortText, index: Count) -> str:
        """The address of an element."""
        return body.offset("%base", body.multiply(index, self.parts), self.type)

    def load(self, body: SortText, place: str) -> Element:
        align = self.lanes * self.bits // 8
        places = [body.offset(place, part, self.type) for part in range(self.parts)]
        return [body.load(self.type, each, align) for each in places]

    def store(self, body: SortText, element: Element, place: str) -> None:
        align = self.lanes * self.bits // 8
        for part, value in enumerate(element):
            body.store(self.type, value, body.offset(place, part, self.type), align)

    def compare(self, body: SortText, x: Element, y: Element) -> tuple[Element, Element]:
        """The smaller and the larger one, lane by lane."""
        type = self.type
        if self.parts == 1 and self.has_extremes:
            found = [
                body.value(
                    f"call {type} @llvm.{word}.v{self.lanes}i{self.bits}"
                    f"({type} {x[0]}, {type} {y[0]})"
                )
                for word in ("smin", "smax")
            ]
            return [found[0]], [found[1]]
        bits = f"<{self.lanes} x i1>"
        swapped = body.value(f"icmp sgt {type} {x[0]}, {y[0]}")
        if self.parts == 2:
            equal = body.value(f"icmp eq {type} {x[0]}, {y[0]}")
            later = body.value(f"icmp sgt {type} {x[1]}, {y[1]}")
            both = body.value(f"and {bits} {equal}, {later}")
            swapped = body.value(f"or {bits} {swapped}, {both}")
        pairs = list(zip(x, y, strict=True))
        select = f"select {bits} {swapped}, {type}"
        smaller = [body.value(f"{select} {b}, {type} {a}") for a, b in pairs]
        larger = [body.value(f"{select} {a}, {type} {b}") for a, b in pairs]
        return smaller, larger

    def halve(self, body: SortText, elements: list[Element], first: int, count: int) -> None:
        """Sort a bitonic run of so many of the elements."""
        half = count // 2
        while half:
            for i in range(first, first + count):
                if not (i - first) & half:
                    pair = self.compare(body, elements[i], elements[i + half])
                    elements[i], elements[i + half] = pair
            half //= 2


@dataclass(frozen=True, slots=True)
class _Runs:
    """Sorts each run of ``count`` elements, of n."""

    network: Network
    count: int

    @property
    def symbol(self) -> str:
        return f"{self.network.prefix}_runs_{self.count}"

    def text(self) -> str:
        """``void (ptr base, i64 n)``."""
        body, network = SortText(), self.network
        with body.loop(0, "%n", self.count) as start:
            places = [network.at(body, body.add(start, i)) for i in range(self.count)]
            elements = [network.load(body, place) for place in places]
            for i, j in odd_even(self.count):
                elements[i], elements[j] = network.compare(body, elements[i], elements[j])
            for element, place in zip(elements, places, strict=True):
                network.store(body, element, place)
        return body.function(self.symbol, "ptr %base, i64 %n")


@dataclass(frozen=True, slots=True)
class _Merge:
    """The first steps of merging the halves of runs: run starts below ``end``, ``size`` apart.

    A group is every ``stride``-th element of the first half, and what these meet of the other.
    """

    network: Network

    @property
    def symbol(self) -> str:
        return f"{self.network.prefix}_merge"

    def text(self) -> str:
        """``void (ptr base, i64 end, i64 size, i64 stride)``."""
        body, network = SortText(), self.network
        half = network.group // 2
        middle = body.value("lshr i64 %size, 1")
        with body.loop(0, "%end", "%size") as start, body.loop(0, "%stride", 1) as r:
            low = body.add(start, r)
            back = body.subtract(body.subtract("%stride", 1), r)
            high = body.add(body.add(start, middle), back)
            indices = [
                body.add(begin, body.multiply("%stride", i))
                for begin in (low, high)
                for i in range(half)
            ]
            places = [network.at(body, index) for index in indices]
            elements = [network.load(body, place) for place in places]
            for i in range(half):
                j = 2 * half - 1 - i
                elements[i], elements[j] = network.compare(body, elements[i], elements[j])
            for begin in (0, half):
                network.halve(body, elements, begin, half)
            for element, place in zip(elements, places, strict=True):
                network.store(body, element, place)
        return body.function(self.symbol, "ptr %base, i64 %end, i64 %size, i64 %stride")


@dataclass(frozen=True, slots=True)
class _Clean:
    """Further steps: of each bitonic run of ``count · stride`` elements, those that are a stride
    apart at least."""

    network: Network
    count: int

    @property
    def symbol(self) -> str:
        return f"{self.network.prefix}_clean_{self.count}"

    def text(self) -> str:
        """``void (ptr base, i64 n, i64 stride)``."""
        body, network = SortText(), self.network
        size = body.multiply("%stride", self.count)
        with body.loop(0, "%n", size) as start, body.loop(0, "%stride", 1) as r:
            begin = body.add(start, r)
            places = [
                network.at(body, body.add(begin, body.multiply("%stride", i)))
                for i in range(self.count)
            ]
            elements = [network.load(body, place) for place in places]
            network.halve(body, elements, 0, self.count)
            for element, place in zip(elements, places, strict=True):
                network.store(body, element, place)
        return body.function(self.symbol, "ptr %base, i64 %n, i64 %stride")
