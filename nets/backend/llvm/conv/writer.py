"""The text of a microkernel of convolution: a tile of sums in registers, and loops around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from nets.backend.llvm.gemm.pack import scalar_name
from nets.ir.types import DType


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of an image: of each ``pitch`` places the first ``width`` are kept, side by side."""

    pitch: int
    width: int


@dataclass(frozen=True, slots=True)
class Walk:
    """A loop over taps, and how far each tap is from the one before it.

    ``a`` and ``b`` are the distances in A and in B, in bytes; ``offset`` is the distance along a
    line, in elements. The loop meets ``count`` taps; where that is None, the call says how many.

    B has ``planes`` planes, which the taps meet in turn, as if they stood in a ring: the first tap
    meets plane ``start``, and each one the plane ``turn`` further. Where a step goes around the
    ring, ``around`` bytes are added to the distance in B.
    """

    a: int
    b: int
    offset: int
    count: int | None
    planes: int = 1
    start: int = 0
    turn: int = 0
    around: int = 0


class Writer:
    """A function being written: a tile of sums, and loops that carry it and some cursors along.

    ``now`` holds the current value of each carried word.
    """

    def __init__(self, dtype: DType, lanes: int, rows: int, vectors: int) -> None:
        self.size, self.lanes = dtype.itemsize, lanes
        self.scalar = scalar_name(dtype)
        self.type = f"<{lanes} x {self.scalar}>"
        self.suffix = f"v{lanes}{dtype}"
        self.rows, self.vectors = rows, vectors
        self.tile = [f"s{r}_{v}" for r in range(rows) for v in range(vectors)]
        self.types = dict.fromkeys(self.tile, self.type)
        self.now = dict.fromkeys(self.tile, "zeroinitializer")
        self.lines = ["entry:"]
        self.block = "entry"
        self.names = 0
        self.starts: list[str] = []

    def value(self, instruction: str) -> str:
        self.names += 1
        self.lines.append(f"  %t{self.names} = {instruction}")
        return f"%t{self.names}"

    def rows_of(self, base: str, distances: Sequence[int | str]) -> None:
        """The starts of the rows whose elements are broadcast."""
        for distance in distances:
            row = self.value(f"getelementptr i8, ptr {base}, i64 {distance}")
            # Frozen, for LLVM would else find the rows related, and compute one from the other.
            self.starts.append(self.value(f"freeze ptr {row}"))

    def rows_at(self, base: str, table: str, count: int) -> None:
        """As ``rows_of``, with the distances that stand in a table."""
        distances = []
        for r in range(count):
            at = self.value(f"getelementptr i64, ptr {table}, i64 {r}")
            distances.append(self.value(f"load i64, ptr {at}, align 8"))
        self.rows_of(base, distances)

    def advance(self, word: str, distance: int) -> None:
        """Move a cursor (an offset or a pointer) by so many bytes."""
        now = self.now[word]
        verb = "add i64" if self.types[word] == "i64" else "getelementptr i8, ptr"
        by = str(distance) if self.types[word] == "i64" else f"i64 {distance}"
        self.now[word] = self.value(f"{verb} {now}, {by}")

    @contextmanager
    def loop(
        self, count: str, cursors: dict[str, tuple[str, str]], *, least: int = 1
    ) -> Iterator[None]:
        """Runs the body ``count`` times, which is 1 or, with ``least`` of 0, 0 at least; cursors
        start at the given values and end with it."""
        for word, (type, start) in cursors.items():
            self.types[word], self.now[word] = type, start
        self.names += 1
        label, before = f"loop{self.names}", self.block
        first = dict(self.now)
        self.lines += [f"  br label %{label}", f"{label}:"]
        self.block, position = label, len(self.lines)
        self.now = {word: f"%{label}.{word}" for word in first}
        at_head = dict(self.now)
        if not least:
            self.lines += [
                f"  %{label}.some = icmp ne i64 %{label}.i, {count}",
                f"  br i1 %{label}.some, label %{label}.body, label %{label}.end",
                f"{label}.body:",
            ]
            self.block = f"{label}.body"
        yield
        self.lines.append(f"  %{label}.next = add i64 %{label}.i, 1")
        if least:
            self.lines.append(f"  %{label}.more = icmp ne i64 %{label}.next, {count}")
            self.lines.append(f"  br i1 %{label}.more, label %{label}, label %{label}.end")
        else:
            self.lines.append(f"  br label %{label}")
        self.lines.append(f"{label}.end:")
        phis = [f"  %{label}.i = phi i64 [ 0, %{before} ], [ %{label}.next, %{self.block} ]"]
        for word, start in first.items():
            edges = f"[ {start}, %{before} ], [ {self.now[word]}, %{self.block} ]"
            phis.append(f"  %{label}.{word} = phi {self.types[word]} {edges}")
        self.lines[position:position] = phis
        self.block = f"{label}.end"
        if not least:
            self.now = at_head
        for word in cursors:
            del self.now[word], self.types[word]

    @contextmanager
    def walk(self, walk: Walk, count: str, at: str, b: str) -> Iterator[tuple[str, str]]:
        """A loop over the taps of a walk from the given cursors on; its own cursors. ``offset`` is
        one of them where the walk goes along a line."""
        self.names += 1
        inner, met, plane = (f"{word}_{self.names}" for word in ("at", "b", "plane"))
        cursors = {inner: ("i64", self.now[at]), met: ("ptr", self.now[b])}
        if walk.offset:
            cursors["offset"] = ("i64", "%offset")
        if walk.planes > 1:
            cursors[plane] = ("i64", str(walk.start))
        is_known = walk.count is not None
        times = str(walk.count) if is_known else count
        with self.loop(times, cursors, least=int(is_known)):
            yield inner, met
            self.advance(inner, walk.a)
            self.advance(met, walk.b)
            if walk.offset:
                self.advance("offset", walk.offset)
            if walk.planes > 1:
                self._turn(walk, plane, met)

    def _turn(self, walk: Walk, plane: str, met: str) -> None:
        """The number of the plane that the next tap meets, and what leads around the ring."""
        turned = self.value(f"add i64 {self.now[plane]}, {walk.turn}")
        is_around = self.value(f"icmp uge i64 {turned}, {walk.planes}")
        back = self.value(f"sub i64 {turned}, {walk.planes}")
        self.now[plane] = self.value(f"select i1 {is_around}, i64 {back}, i64 {turned}")
        further = self.value(f"select i1 {is_around}, i64 {walk.around}, i64 0")
        self.now[met] = self.value(f"getelementptr i8, ptr {self.now[met]}, i64 {further}")

    def columns(self, place: str, pitch: int) -> str:
        """The columns of the lanes of a vector that begins at a place."""
        type = f"<{self.lanes} x i32>"
        column = self.value(f"urem i64 {place}, {pitch}")
        first = self.value(f"trunc i64 {column} to i32")
        lanes = ", ".join(f"i32 {lane}" for lane in range(self.lanes))
        places = self.value(f"add {type} {self._spread(first, 'i32')}, <{lanes}>")
        limits = ", ".join([f"i32 {pitch}"] * self.lanes)
        return self.value(f"urem {type} {places}, <{limits}>")

    def inside(self, columns: str, offset: str, pitch: int) -> str:
        """The mask of the lanes that a tap so many elements further leads to the same line."""
        type = f"<{self.lanes} x i32>"
        by = self._spread(self.value(f"trunc i64 {offset} to i32"), "i32")
        met = self.value(f"add {type} {columns}, {by}")
        limits = ", ".join([f"i32 {pitch}"] * self.lanes)
        return self.value(f"icmp ult {type} {met}, <{limits}>")

    def _spread(self, x: str, scalar: str) -> str:
        """A vector with x in every lane."""
        type = f"<{self.lanes} x {scalar}>"
        one = self.value(f"insertelement {type} poison, {scalar} {x}, i64 0")
        return self.value(
            f"shufflevector {type} {one}, {type} poison, <{self.lanes} x i32> zeroinitializer"
        )

    def mask(self, column: str, distance: str) -> str:
        """A mask from a table."""
        place = self.value(f"getelementptr i8, ptr {column}, i64 {distance}")
        bits = self.value(f"load i16, ptr {place}, align 2")
        if self.lanes < 16:
            bits = self.value(f"trunc i16 {bits} to i{self.lanes}")
        return self.value(f"bitcast i{self.lanes} {bits} to <{self.lanes} x i1>")

    def step(self, at: str, a: int, b: str, b_at: int, masks: Sequence[str] | None = None) -> None:
        """One term for each element of the tile: rows at ``at + a``, vectors at ``b + b_at``, with
        zeros where their masks are not set."""
        vectors = []
        for v in range(self.vectors):
            place = b_at + v * self.lanes * self.size
            pointer = self.value(f"getelementptr i8, ptr {b}, i64 {place}")
            text = f"load {self.type}, ptr {pointer}, align {self.size}"
            if masks is not None:
                text = (
                    f"call {self.type} @llvm.masked.load.{self.suffix}.p0(ptr {pointer}, "
                    f"i32 {self.size}, <{self.lanes} x i1> {masks[v]}, "
                    f"{self.type} zeroinitializer)"
                )
            vectors.append(self.value(text))
        for r, start in enumerate(self.starts):
            row = self.value(f"getelementptr i8, ptr {start}, i64 {at}")
            factor = self._splat(self.value(f"getelementptr i8, ptr {row}, i64 {a}"))
            for v, vector in enumerate(vectors):
                self._add_product(f"s{r}_{v}", factor, vector)

    def step_lanes(self, x: str, at: str, distances: Sequence[int], y: str) -> None:
        """One term for each element of the tile: rows at ``x``, ``at`` bytes beyond their distances
        or their starts; vectors at ``y``."""
        vectors = [self._vector(y, v * self.lanes * self.size) for v in range(self.vectors)]
        place = self.value(f"getelementptr i8, ptr {x}, i64 {at}") if distances else ""
        for r in range(self.rows):
            start = place or self.value(f"getelementptr i8, ptr {self.starts[r]}, i64 {at}")
            factor = self._vector(start, distances[r] if distances else 0)
            for v, vector in enumerate(vectors):
                self._add_product(f"s{r}_{v}", factor, vector)

    def _vector(self, pointer: str, distance: int) -> str:
        place = self.value(f"getelementptr i8, ptr {pointer}, i64 {distance}")
        return self.value(f"load {self.type}, ptr {place}, align {self.size}")

    def _add_product(self, word: str, x: str, y: str) -> None:
        self.now[word] = self.value(
            f"call {self.type} @llvm.fma.{self.suffix}({self.type} {x}, {self.type} {y}, "
            f"{self.type} {self.now[word]})"
        )

    def _splat(self, pointer: str) -> str:
        scalar = self.value(f"load {self.scalar}, ptr {pointer}, align {self.size}")
        return self._spread(scalar, self.scalar)

    def store(self, c: str, row: int, adds: bool) -> None:
        """The tile to C; on ``%add``, C's old value plus the tile."""
        if adds:
            self.lines += ["  br i1 %add, label %adding, label %storing", "adding:"]
            self._each(c, row, lambda old, sum: f"fadd {self.type} {old}, {sum}")
            self.lines += ["  ret void", "storing:"]
        self._each(c, row, None)
        self.lines.append("  ret void")

    def _each(self, c: str, row: int, combine: Callable[[str, str], str] | None) -> None:
        """Store every vector of the tile, combined with what was there."""
        for r in range(self.rows):
            for v in range(self.vectors):
                distance = r * row + v * self.lanes * self.size
                pointer = self.value(f"getelementptr i8, ptr {c}, i64 {distance}")
                value = self.now[f"s{r}_{v}"]
                if combine is not None:
                    old = self.value(f"load {self.type}, ptr {pointer}, align {self.size}")
                    value = self.value(combine(old, value))
                self.lines.append(f"  store {self.type} {value}, ptr {pointer}, align {self.size}")

    def store_lines(self, c: str, row: int, lines: Lines) -> None:
        """What of the tile lies in the lines of C, from ``%place`` on; there are ``%lines``."""
        gap = lines.pitch - lines.width
        for v in range(self.vectors):
            at = self.value(f"add i64 %place, {v * self.lanes}")
            if gap:
                line = self.value(f"udiv i64 {at}, {lines.pitch}")
                column = self.value(f"urem i64 {at}, {lines.pitch}")
                left = self.value(f"sub i64 {lines.width}, {column}")
                dropped = self.value(f"mul i64 {line}, {gap}")
                at = self.value(f"sub i64 {at}, {dropped}")
            else:
                end = self.value(f"mul i64 %lines, {lines.width}")
                left = self.value(f"sub i64 {end}, {at}")
            target = self._element(c, at)
            whole = self.value(f"icmp sge i64 {left}, {self.lanes}")
            self.lines += [f"  br i1 {whole}, label %whole{v}, label %part{v}", f"whole{v}:"]
            self._store_vector(v, target, row)
            self.lines += [f"  br label %stored{v}", f"part{v}:"]
            self._store_vector(v, target, row, self._lanes("slt", left))
            if gap:  # The rest of the vector begins the next line, if there is one.
                following = self.value(f"add i64 {line}, 1")
                there = self.value(f"icmp slt i64 {following}, %lines")
                start = self.value(f"add i64 {left}, {gap}")
                start = self.value(f"select i1 {there}, i64 {start}, i64 {self.lanes}")
                behind = self._element(target, str(-gap))
                self._store_vector(v, behind, row, self._lanes("sge", start))
            self.lines += [f"  br label %stored{v}", f"stored{v}:"]
        self.lines.append("  ret void")

    def _element(self, pointer: str, number: str) -> str:
        return self.value(f"getelementptr {self.scalar}, ptr {pointer}, i64 {number}")

    def _lanes(self, predicate: str, count: str) -> str:
        """The mask of lanes whose number compares so with a count."""
        below = self.value(f"call i64 @llvm.smin.i64(i64 {count}, i64 {self.lanes})")
        limit = self.value(f"call i64 @llvm.smax.i64(i64 {below}, i64 0)")
        type, bits = f"<{self.lanes} x i{8 * self.size}>", f"i{8 * self.size}"
        if self.size < 8:
            limit = self.value(f"trunc i64 {limit} to {bits}")
        limits = self._spread(limit, bits)
        numbers = ", ".join(f"{bits} {lane}" for lane in range(self.lanes))
        return self.value(f"icmp {predicate} {type} <{numbers}>, {limits}")

    def _store_vector(self, v: int, target: str, row: int, mask: str | None = None) -> None:
        """The vectors ``v`` of all rows, or their lanes under a mask."""
        for r in range(self.rows):
            pointer = self.value(f"getelementptr i8, ptr {target}, i64 {r * row}")
            value = f"{self.type} {self.now[f's{r}_{v}']}"
            if mask is None:
                self.lines.append(f"  store {value}, ptr {pointer}, align {self.size}")
            else:
                self.lines.append(
                    f"  call void @llvm.masked.store.{self.suffix}.p0({value}, ptr {pointer}, "
                    f"i32 {self.size}, <{self.lanes} x i1> {mask})"
                )

    def function(self, symbol: str, parameters: str) -> str:
        head = f"define internal void @{symbol}({parameters}) noinline nounwind {{"
        return "\n".join([head, *self.lines, "}", ""])
