"""The microkernel: a tile of C in registers, one rank-1 update per step of k.

Each step loads ``vectors`` vectors of a row of B, broadcasts one element of A per row, and makes
``rows · vectors`` fused multiply-additions. Each element of C is one chain of ``llvm.fma`` in k
order, which is all that its bits depend on. The strides come with the call, so that products of
many shapes share one kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nets.ir.types import DType
from nets.machine.machine import Machine

UNROLL: Final = 2
"""Steps of k per round of the main loop."""

_PARAMETERS: Final = (
    "ptr %a, i64 %a_stride, ptr %b, i64 %b_stride, ptr %c, i64 %c_stride, i64 %k, i1 %add"
)


@dataclass(frozen=True, slots=True)
class Microkernel:
    """One microkernel: C[rows, columns] (+)= Σ_k A[r, k] · B[k, c].

    A lies ``a_by_rows`` (its rows contiguous, ``a_stride`` bytes apart) or by columns (its steps
    contiguous, ``a_stride`` bytes apart). B's steps are ``b_stride`` bytes apart, or ``packed``:
    one after the other, aligned, padded to whole vectors. ``columns`` may end inside the last
    vector; then C is masked there, and B too unless it is packed. ``adds`` says that the kernel
    can also add to C, as a later k-block does. With ``even``, k is a multiple of `UNROLL` in every
    call. With ``ahead``, the kernel asks early for what it will need from beyond the L2 cache: its
    tile of C, or the rows of B where they are not packed. With ``near``, all is in the L1 cache and
    it asks for nothing. A kernel that ``packs`` reads B where it lies, and leaves it packed at
    ``to`` for the tiles below: stores have turns to spare beside the arithmetic.

    A kernel with ``open_rows`` is told how many of its rows there are: the others are the last one
    again, with the same elements. One with ``open_columns`` is told how many of its columns there
    are, and touches no others.
    """

    dtype: DType
    machine: Machine
    lanes: int
    rows: int
    columns: int
    a_by_rows: bool
    packed: bool
    adds: bool
    even: bool
    ahead: bool = False
    near: bool = False
    packs: bool = False
    open_rows: bool = False
    open_columns: bool = False

    @property
    def vectors(self) -> int:
        return -(-self.columns // self.lanes)

    @property
    def symbol(self) -> str:
        flags = "nt"[not self.a_by_rows] + "p" * self.packed + "a" * self.adds + "e" * self.even
        flags += "q" * self.ahead + "l" * self.near + "w" * self.packs
        flags += "r" * self.open_rows + "c" * self.open_columns
        return f"nets_gemm_{self.dtype}x{self.lanes}_{self.rows}x{self.columns}_{flags}"

    def text(self) -> str:
        """``void (ptr a, i64 a_stride, ptr b, i64 b_stride, ptr c, i64 c_stride, i64 k, i1 add)``.

        Strides are in bytes; c_stride is that of the rows of C. Behind these come ``ptr to`` where
        it packs, ``i64 height`` where rows are open, ``i64 width`` where columns are.
        """
        return _Writer(self).write()


@dataclass(frozen=True, slots=True)
class _Cursor:
    """A pointer that each step of k moves by ``distance`` bytes, and what makes its start."""

    word: str
    start: str
    distance: str
    setup: tuple[str, ...] = ()


class _Writer:
    def __init__(self, kernel: Microkernel) -> None:
        self.k = kernel
        self.size = kernel.dtype.itemsize
        self.scalar = "float" if kernel.dtype.itemsize == 4 else "double"
        self.suffix = f"v{kernel.lanes}{kernel.dtype}"
        self.type = f"<{kernel.lanes} x {self.scalar}>"
        self.tail = kernel.columns % kernel.lanes
        bits = ", ".join(f"i1 {int(lane < self.tail)}" for lane in range(kernel.lanes))
        self.mask = f"<{kernel.lanes} x i1> <{bits}>"
        self.tile = [(r, v) for r in range(kernel.rows) for v in range(kernel.vectors)]
        self.lines: list[str] = []

    def write(self) -> str:
        parameters = _PARAMETERS + ", ptr %to" * self.k.packs
        parameters += ", i64 %height" * self.k.open_rows + ", i64 %width" * self.k.open_columns
        self.lines = [
            f"define internal void @{self.k.symbol}({parameters}) noinline nounwind {{",
            "entry:",
        ]
        self._count_rows_and_columns()
        self._c_rows()
        for cursor in self._cursors():
            self.lines += cursor.setup
        if self.k.a_by_rows and not self.k.near:
            self._ask_for_next_a()
        zero = {f"{r}_{v}": "zeroinitializer" for r, v in self.tile}
        self.lines += [
            f"  %rounds = lshr i64 %k, {UNROLL.bit_length() - 1}",
            "  %any = icmp ne i64 %rounds, 0",
            "  br i1 %any, label %main, label %joined",
        ]
        starts = {cursor.word: cursor.start for cursor in self._cursors()}
        self._loop("main", "joined", "entry", UNROLL, "%rounds", starts, zero)
        tile = self._join("joined", "j", "entry", "main", zero)
        if not self.k.even:
            for word, start in starts.items():
                edges = f"[ {start}, %entry ], [ %main_{word}_{UNROLL}, %main ]"
                self.lines.append(f"  %{word}_j = phi ptr {edges}")
            self.lines += [
                f"  %single = and i64 %k, {UNROLL - 1}",
                "  %some = icmp ne i64 %single, 0",
                "  br i1 %some, label %rest, label %end",
            ]
            starts = {word: f"%{word}_j" for word in starts}
            self._loop("rest", "end", "joined", 1, "%single", starts, tile)
            tile = self._join("end", "e", "joined", "rest", tile)
        self._store(tile)
        return "\n".join([*self.lines, "}", ""])

    def _count_rows_and_columns(self) -> None:
        """How far it is from row to row, which is nowhere behind the last, and which lanes have a
        column."""
        if self.k.open_rows:
            for r in range(1, self.k.rows):
                self.lines.append(f"  %is{r} = icmp ult i64 {r}, %height")
                for word in ("a", "c"):
                    self.lines.append(
                        f"  %{word}_stride{r} = select i1 %is{r}, i64 %{word}_stride, i64 0"
                    )
            if not self.k.a_by_rows:
                self._place_rows_in_steps()
        if self.k.open_columns:
            for v in range(self.k.vectors):
                self._mask_columns(v)

    def _place_rows_in_steps(self) -> None:
        """Where in a step of A each row is."""
        self.lines.append("  %last = sub i64 %height, 1")
        for r in range(self.k.rows):
            self.lines += [
                f"  %at{r} = call i64 @llvm.umin.i64(i64 {r}, i64 %last)",
                f"  %in_step{r} = mul i64 %at{r}, {self.size}",
            ]

    def _mask_columns(self, v: int) -> None:
        lanes, numbers = self.k.lanes, range(v * self.k.lanes, (v + 1) * self.k.lanes)
        counted = ", ".join(f"i64 {number}" for number in numbers)
        self.lines += [
            f"  %some{v} = insertelement <{lanes} x i64> poison, i64 %width, i64 0",
            f"  %widths{v} = shufflevector <{lanes} x i64> %some{v}, <{lanes} x i64> poison, "
            f"<{lanes} x i32> zeroinitializer",
            f"  %mask{v} = icmp ult <{lanes} x i64> <{counted}>, %widths{v}",
        ]

    def _stride(self, word: str, r: int) -> str:
        """The bytes from row r - 1 to row r."""
        return f"%{word}_stride{r}" if self.k.open_rows else f"%{word}_stride"

    def _mask_of(self, v: int) -> str | None:
        """The lanes of a vector that have a column; None where all do."""
        if self.k.open_columns:
            return f"<{self.k.lanes} x i1> %mask{v}"
        return self.mask if self.tail and v == self.k.vectors - 1 else None

    def _c_rows(self) -> None:
        """The addresses of the rows of C."""
        self.lines.append("  %c0 = getelementptr i8, ptr %c, i64 0")
        for r in range(1, self.k.rows):
            self.lines.append(
                f"  %c{r} = getelementptr i8, ptr %c{r - 1}, i64 {self._stride('c', r)}"
            )
        if self.k.near or (self.k.ahead and self.k.packed):
            return
        for r in range(self.k.rows):
            self.lines.append(f"  call void @llvm.prefetch.p0(ptr %c{r}, i32 1, i32 3, i32 1)")

    def _ask_for_next_a(self) -> None:
        """The starts of the rows that the tile below will read; the hardware finds the rest."""
        before = f"%a{self.k.rows - 1}" if self.k.rows > 1 else "%a"
        for r in range(self.k.rows):
            self.lines += [
                f"  %below{r} = getelementptr i8, ptr {before}, i64 %a_stride",
                f"  call void @llvm.prefetch.p0(ptr %below{r}, i32 0, i32 3, i32 1)",
            ]
            before = f"%below{r}"

    def _ask_for_c(self) -> None:
        """One line of the tile of C in each of the last rounds, so that all are there at the end.

        Products with packed operands are those whose C is far away.
        """
        lines = -(-self.k.columns * self.size // self.k.machine.line_bytes)
        shift = (lines - 1).bit_length()
        self.lines += [
            f"  %line = call i64 @llvm.umin.i64(i64 %main_i, i64 {(self.k.rows << shift) - 1})",
            f"  %line_row = lshr i64 %line, {shift}",
            f"  %line_column = and i64 %line, {(1 << shift) - 1}",
            "  %line_down = mul i64 %line_row, %c_stride",
            f"  %line_right = mul i64 %line_column, {self.k.machine.line_bytes}",
            "  %line_start = getelementptr i8, ptr %c, i64 %line_down",
            "  %line_at = getelementptr i8, ptr %line_start, i64 %line_right",
            "  call void @llvm.prefetch.p0(ptr %line_at, i32 1, i32 3, i32 1)",
        ]

    def _ask_for_b(self) -> None:
        """The rows of B that come later, into the L2 cache.

        They lie too far apart for the hardware to guess, and often too regularly for L1.
        """
        for step in range(UNROLL):
            self.lines.append(f"  %later{step} = getelementptr i8, ptr %main_b_{step}, i64 %reach")
            for column in range(0, self.k.columns * self.size, self.k.machine.line_bytes):
                at = f"%later{step}_{column}"
                self.lines += [
                    f"  {at} = getelementptr i8, ptr %later{step}, i64 {column}",
                    f"  call void @llvm.prefetch.p0(ptr {at}, i32 0, i32 2, i32 1)",
                ]

    def _cursors(self) -> list[_Cursor]:
        """The pointers that walk along k."""
        packed = self.k.vectors * self.k.lanes * self.size
        reach = [f"  %reach = mul i64 %b_stride, {self.k.machine.reach_steps}"]
        asks = self.k.ahead and not self.k.packed
        b = [_Cursor("b", "%b", str(packed) if self.k.packed else "%b_stride", tuple(reach * asks))]
        if self.k.packs:
            b.append(_Cursor("to", "%to", str(packed)))
        if not self.k.a_by_rows:
            return [_Cursor("a0", "%a", "%a_stride"), *b]
        walkers = [_Cursor("a0", "%a", str(self.size))]
        for r in range(1, self.k.rows):
            # Frozen, for LLVM would else find the rows related, and compute one from the other.
            above, stride = walkers[-1].start, self._stride("a", r)
            setup = (
                f"  %row{r} = getelementptr i8, ptr {above}, i64 {stride}",
                f"  %a{r} = freeze ptr %row{r}",
            )
            walkers.append(_Cursor(f"a{r}", f"%a{r}", str(self.size), setup))
        return [*walkers, *b]

    def _join(
        self, label: str, letter: str, skipped: str, loop: str, start: dict[str, str]
    ) -> dict[str, str]:
        """The tile after a loop that may have been skipped."""
        self.lines.append(f"{label}:")
        joined = {}
        for at, value in start.items():
            joined[at] = f"%{letter}{at}"
            edges = f"[ {value}, %{skipped} ], [ %{loop}_n{at}, %{loop} ]"
            self.lines.append(f"  {joined[at]} = phi {self.type} {edges}")
        return joined

    def _loop(
        self,
        name: str,
        after: str,
        before: str,
        unroll: int,
        rounds: str,
        cursors: dict[str, str],
        start: dict[str, str],
    ) -> None:
        """One loop over k; it leaves ``%name_n<r>_<v>`` and cursors ``%name_<word>_<unroll>``."""
        out = self.lines
        out.append(f"{name}:")
        out.append(f"  %{name}_i = phi i64 [ {rounds}, %{before} ], [ %{name}_in, %{name} ]")
        for word, first in cursors.items():
            edges = f"[ {first}, %{before} ], [ %{name}_{word}_{unroll}, %{name} ]"
            out.append(f"  %{name}_{word}_0 = phi ptr {edges}")
        current = {}
        for at, value in start.items():
            current[at] = f"%{name}_c{at}"
            edges = f"[ {value}, %{before} ], [ %{name}_n{at}, %{name} ]"
            out.append(f"  %{name}_c{at} = phi {self.type} {edges}")
        for step in range(unroll):
            word = f"{name}_n" if step == unroll - 1 else f"{name}_s{step}_"
            current = self._step(name, step, word, current)
        # At the end of a round, for requests before its loads confuse LLVM's scheduler.
        if name == "main" and self.k.ahead:
            (self._ask_for_c if self.k.packed else self._ask_for_b)()
        out += [
            f"  %{name}_in = sub i64 %{name}_i, 1",
            f"  %{name}_more = icmp ne i64 %{name}_in, 0",
            f"  br i1 %{name}_more, label %{name}, label %{after}",
        ]

    def _step(self, name: str, step: int, word: str, tile: dict[str, str]) -> dict[str, str]:
        """One step of k: the tile after it, and the cursors of the next."""
        vectors = [f"%{name}_y{step}_{v}" for v in range(self.k.vectors)]
        for v, vector in enumerate(vectors):
            self._load_b(vector, f"%{name}_b_{step}", v)
            if self.k.packs:
                self._pack_b(vector, f"%{name}_to_{step}", v)
        after = {}
        for r in range(self.k.rows):
            splat = self._splat_a(f"%{name}_x{step}_{r}", name, step, r)
            for v, vector in enumerate(vectors):
                at = f"{r}_{v}"
                after[at] = f"%{word}{at}"
                self.lines.append(
                    f"  {after[at]} = call {self.type} @llvm.fma.{self.suffix}({self.type} "
                    f"{splat}, {self.type} {vector}, {self.type} {tile[at]})"
                )
        for cursor in self._cursors():
            now, following = (f"%{name}_{cursor.word}_{i}" for i in (step, step + 1))
            self.lines.append(f"  {following} = getelementptr i8, ptr {now}, i64 {cursor.distance}")
        return after

    def _load_b(self, name: str, cursor: str, v: int) -> None:
        bytes_ = self.k.lanes * self.size
        self.lines.append(f"  {name}p = getelementptr i8, ptr {cursor}, i64 {v * bytes_}")
        if self.k.packed:
            self.lines.append(f"  {name} = load {self.type}, ptr {name}p, align {bytes_}")
        else:
            self._load(name, f"{name}p", v)

    def _pack_b(self, vector: str, cursor: str, v: int) -> None:
        bytes_ = self.k.lanes * self.size
        self.lines += [
            f"  {vector}t = getelementptr i8, ptr {cursor}, i64 {v * bytes_}",
            f"  store {self.type} {vector}, ptr {vector}t, align {bytes_}",
        ]

    def _load(self, name: str, pointer: str, v: int) -> None:
        """A vector of the user's memory, masked where it is the last and not whole."""
        size = self.size
        if (mask := self._mask_of(v)) is not None:
            self.lines.append(
                f"  {name} = call {self.type} @llvm.masked.load.{self.suffix}.p0(ptr {pointer}, "
                f"i32 {size}, {mask}, {self.type} zeroinitializer)"
            )
        else:
            self.lines.append(f"  {name} = load {self.type}, ptr {pointer}, align {size}")

    def _splat_a(self, name: str, loop: str, step: int, r: int) -> str:
        """Element r of the step in every lane."""
        walker, offset = (r, "0") if self.k.a_by_rows else (0, str(r * self.size))
        if self.k.open_rows and not self.k.a_by_rows:
            offset = f"%in_step{r}"
        base = f"%{loop}_a{walker}_{step}"
        self.lines += [
            f"  {name}p = getelementptr i8, ptr {base}, i64 {offset}",
            f"  {name}s = load {self.scalar}, ptr {name}p, align {self.size}",
            f"  {name}i = insertelement {self.type} poison, {self.scalar} {name}s, i64 0",
            f"  {name} = shufflevector {self.type} {name}i, {self.type} poison, "
            f"<{self.k.lanes} x i32> zeroinitializer",
        ]
        return name

    def _store(self, tile: dict[str, str]) -> None:
        """The tile to C; on ``add``, C's old value plus the tile."""
        if not self.k.adds:
            self._store_rows("o", tile)
            return
        self.lines += ["  br i1 %add, label %adding, label %storing", "adding:"]
        sums = {}
        for r, v in self.tile:
            at = f"{r}_{v}"
            self._c_address("old", r, v)
            self._load(f"%old{at}", f"%old{at}p", v)
            sums[at] = f"%sum{at}"
            self.lines.append(f"  %sum{at} = fadd {self.type} %old{at}, {tile[at]}")
        self._store_rows("new", sums)
        self.lines.append("storing:")
        self._store_rows("o", tile)

    def _c_address(self, word: str, r: int, v: int) -> None:
        offset = v * self.k.lanes * self.size
        self.lines.append(f"  %{word}{r}_{v}p = getelementptr i8, ptr %c{r}, i64 {offset}")

    def _store_rows(self, word: str, tile: dict[str, str]) -> None:
        size = self.size
        for r, v in self.tile:
            self._c_address(word, r, v)
            value, pointer = f"{self.type} {tile[f'{r}_{v}']}", f"%{word}{r}_{v}p"
            if (mask := self._mask_of(v)) is not None:
                self.lines.append(
                    f"  call void @llvm.masked.store.{self.suffix}.p0({value}, ptr {pointer}, "
                    f"i32 {size}, {mask})"
                )
            else:
                self.lines.append(f"  store {value}, ptr {pointer}, align {size}")
        self.lines.append("  ret void")
