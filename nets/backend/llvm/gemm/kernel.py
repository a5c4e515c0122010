"""The microkernel: a tile of C in registers, one rank-1 update per step of k.

Each step loads ``vectors`` vectors of a row of B, broadcasts one element of A per row, and makes
``rows · vectors`` fused multiply-additions. The strides are constants of the kernel, so that every
address is a pointer that moves by a constant plus an immediate. Each element of C is one chain of
``llvm.fma`` in k order, which is all that its bits depend on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nets.ir.types import DType

UNROLL: Final = 2
"""Steps of k per round of the main loop."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One microkernel: C[rows, columns] (+)= Σ_k A[r, k] · B[k, c].

    ``a_row`` and ``a_step`` are the distances (in elements) of rows and of k in A, ``b_step`` that
    of k in B. ``columns`` may end inside the last vector; then C is masked there, and B too unless
    it is ``packed`` (aligned to whole vectors and padded). ``adds`` says that the kernel can also
    add to C, as a later k-block does. With ``even``, k is a multiple of `UNROLL` in every call.
    """

    dtype: DType
    lanes: int
    rows: int
    columns: int
    a_row: int
    a_step: int
    b_step: int
    packed: bool
    adds: bool
    even: bool

    @property
    def vectors(self) -> int:
        return -(-self.columns // self.lanes)

    @property
    def symbol(self) -> str:
        strides = f"{self.a_row}_{self.a_step}_{self.b_step}"
        flags = "p" * self.packed + "a" * self.adds + "e" * self.even
        return f"nets_gemm_{self.dtype}x{self.lanes}_{self.rows}x{self.columns}_{strides}{flags}"

    def text(self) -> str:
        """``void (ptr a, ptr b, ptr c, i64 c_row, i64 k, i1 add)``; c_row in bytes."""
        return _Writer(self).write()


class _Writer:
    def __init__(self, kernel: Kernel) -> None:
        self.k = kernel
        self.scalar = "float" if kernel.dtype.itemsize == 4 else "double"
        self.suffix = f"v{kernel.lanes}{kernel.dtype}"
        self.type = f"<{kernel.lanes} x {self.scalar}>"
        self.tail = kernel.columns % kernel.lanes
        bits = ", ".join(f"i1 {int(lane < self.tail)}" for lane in range(kernel.lanes))
        self.mask = f"<{kernel.lanes} x i1> <{bits}>"
        self.tile = [(r, v) for r in range(kernel.rows) for v in range(kernel.vectors)]
        self.lines: list[str] = []

    def write(self) -> str:
        self.lines = [
            f"define internal void @{self.k.symbol}(ptr %a, ptr %b, ptr %c, i64 %c_row, i64 %k, "
            "i1 %add) noinline nounwind {",
            "entry:",
        ]
        self._c_rows()
        zero = {f"{r}_{v}": "zeroinitializer" for r, v in self.tile}
        self.lines += [
            f"  %rounds = lshr i64 %k, {UNROLL.bit_length() - 1}",
            "  %any = icmp ne i64 %rounds, 0",
            "  br i1 %any, label %main, label %joined",
        ]
        self._loop("main", "joined", "entry", UNROLL, "%rounds", ("%a", "%b"), zero)
        tile = self._join("joined", "j", "entry", "main", zero)
        if not self.k.even:
            for name in ("a", "b"):
                self.lines.append(
                    f"  %{name}j = phi ptr [ %{name}, %entry ], [ %main_{name}n, %main ]"
                )
            self.lines += [
                f"  %single = and i64 %k, {UNROLL - 1}",
                "  %some = icmp ne i64 %single, 0",
                "  br i1 %some, label %rest, label %end",
            ]
            self._loop("rest", "end", "joined", 1, "%single", ("%aj", "%bj"), tile)
            tile = self._join("end", "e", "joined", "rest", tile)
        self._store(tile)
        return "\n".join([*self.lines, "}", ""])

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

    def _c_rows(self) -> None:
        """The addresses of the rows of C, asked for early."""
        self.lines.append("  %c0 = getelementptr i8, ptr %c, i64 0")
        for r in range(1, self.k.rows):
            self.lines.append(f"  %c{r} = getelementptr i8, ptr %c{r - 1}, i64 %c_row")
        for r in range(self.k.rows):
            self.lines.append(f"  call void @llvm.prefetch.p0(ptr %c{r}, i32 1, i32 3, i32 1)")

    def _loop(
        self,
        name: str,
        after: str,
        before: str,
        unroll: int,
        rounds: str,
        pointers: tuple[str, str],
        start: dict[str, str],
    ) -> None:
        """One loop over k; it leaves ``%name_n<r>_<v>``, ``%name_an`` and ``%name_bn``."""
        k, size = self.k, self.k.dtype.itemsize
        out = self.lines
        out.append(f"{name}:")
        out.append(f"  %{name}_i = phi i64 [ {rounds}, %{before} ], [ %{name}_in, %{name} ]")
        for letter, first in zip("ab", pointers, strict=True):
            out.append(
                f"  %{name}_{letter} = phi ptr [ {first}, %{before} ], "
                f"[ %{name}_{letter}n, %{name} ]"
            )
        current = {}
        for at, value in start.items():
            current[at] = f"%{name}_c{at}"
            out.append(
                f"  %{name}_c{at} = phi {self.type} [ {value}, %{before} ], "
                f"[ %{name}_n{at}, %{name} ]"
            )
        for step in range(unroll):
            last = step == unroll - 1
            for v in range(k.vectors):
                self._load_b(f"%{name}_b{step}_{v}", f"%{name}_b", step, v)
            for r in range(k.rows):
                splat = self._splat_a(f"%{name}_a{step}_{r}", f"%{name}_a", step, r)
                for v in range(k.vectors):
                    at = f"{r}_{v}"
                    new = f"%{name}_n{at}" if last else f"%{name}_s{step}_{at}"
                    out.append(
                        f"  {new} = call {self.type} @llvm.fma.{self.suffix}({self.type} {splat}, "
                        f"{self.type} %{name}_b{step}_{v}, {self.type} {current[at]})"
                    )
                    current[at] = new
        out += [
            f"  %{name}_an = getelementptr i8, ptr %{name}_a, i64 {unroll * k.a_step * size}",
            f"  %{name}_bn = getelementptr i8, ptr %{name}_b, i64 {unroll * k.b_step * size}",
            f"  %{name}_in = sub i64 %{name}_i, 1",
            f"  %{name}_more = icmp ne i64 %{name}_in, 0",
            f"  br i1 %{name}_more, label %{name}, label %{after}",
        ]

    def _load_b(self, name: str, pointer: str, step: int, v: int) -> None:
        k, size = self.k, self.k.dtype.itemsize
        offset = (step * k.b_step + v * k.lanes) * size
        self.lines.append(f"  {name}p = getelementptr i8, ptr {pointer}, i64 {offset}")
        if k.packed:
            align = k.lanes * size
            self.lines.append(f"  {name} = load {self.type}, ptr {name}p, align {align}")
        else:
            self._load(name, f"{name}p", v)

    def _load(self, name: str, pointer: str, v: int) -> None:
        """A vector of the user's memory, masked where it is the last and not whole."""
        size = self.k.dtype.itemsize
        if self.tail and v == self.k.vectors - 1:
            self.lines.append(
                f"  {name} = call {self.type} @llvm.masked.load.{self.suffix}.p0(ptr {pointer}, "
                f"i32 {size}, {self.mask}, {self.type} zeroinitializer)"
            )
        else:
            self.lines.append(f"  {name} = load {self.type}, ptr {pointer}, align {size}")

    def _splat_a(self, name: str, pointer: str, step: int, r: int) -> str:
        k, size = self.k, self.k.dtype.itemsize
        offset = (step * k.a_step + r * k.a_row) * size
        self.lines += [
            f"  {name}p = getelementptr i8, ptr {pointer}, i64 {offset}",
            f"  {name}s = load {self.scalar}, ptr {name}p, align {size}",
            f"  {name}i = insertelement {self.type} poison, {self.scalar} {name}s, i64 0",
            f"  {name} = shufflevector {self.type} {name}i, {self.type} poison, "
            f"<{k.lanes} x i32> zeroinitializer",
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
        offset = v * self.k.lanes * self.k.dtype.itemsize
        self.lines.append(f"  %{word}{r}_{v}p = getelementptr i8, ptr %c{r}, i64 {offset}")

    def _store_rows(self, word: str, tile: dict[str, str]) -> None:
        size = self.k.dtype.itemsize
        for r, v in self.tile:
            self._c_address(word, r, v)
            value, pointer = f"{self.type} {tile[f'{r}_{v}']}", f"%{word}{r}_{v}p"
            if self.tail and v == self.k.vectors - 1:
                self.lines.append(
                    f"  call void @llvm.masked.store.{self.suffix}.p0({value}, ptr {pointer}, "
                    f"i32 {size}, {self.mask})"
                )
            else:
                self.lines.append(f"  store {value}, ptr {pointer}, align {size}")
        self.lines.append("  ret void")
