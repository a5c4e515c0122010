"""Sizes that a call tells, in the public functions: checked before anything is touched, and counted
for the workspace and for buffers that may be without elements."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from nets.backend.library.manifest import LibraryFunction
from nets.backend.llvm.code import Code, Sink
from nets.backend.llvm.module import ModuleText
from nets.ir.sizes import Atom, Dim, Quotient, Size, symbol
from nets.ir.types import DTYPES
from nets.machine.machine import Machine

_MOST_COUNTED: Final = 2.0**63
"""A size of so much is no number of 64 bits."""

_MOST_BYTES: Final = 2.0**62
"""So many bytes could not be counted with a sign bit."""

_MOST_OF_WORD: Final = {"i64": 2**63 - 1, "i32": 2**31 - 1}
"""The most bytes that a word of the target counts so."""

NOTHING: Final = "@nothing"
"""The address that stands for that of an array without elements, which may be null."""

NOTHING_TEXT: Final = f"{NOTHING} = internal constant [64 x i8] zeroinitializer, align 64"


class _Code(Code):
    """Code whose names stand beside those of a public function."""

    def value(self, text: str, sink: Sink | None = None) -> str:
        name = f"%size{self.fresh()}"
        (self.sink if sink is None else sink).append(f"{name} = {text}")
        return name


class SizesOfCall:
    """The sizes of a call of a public function, as the parameters of an LLVM function; ``lines``
    collects what computes with them."""

    def __init__(self, function: LibraryFunction, machine: Machine) -> None:
        self._function = function
        self._most_of_word = _MOST_OF_WORD[machine.target.word]
        self._code = _Code(ModuleText(function.name, machine))
        names = [name for name, *_ in function.dims]
        self.registers = [f"%dim.{name}" for name in names]
        self.parameters = [f"i64 {register}" for register in self.registers]
        self._code.sizes.update(zip(map(symbol, names), self.registers, strict=True))

    @property
    def lines(self) -> str:
        return self._code.text()

    def number(self, size: Dim) -> str:
        """The register or constant of a size."""
        return self._code.size(size)

    def where_some(self, size: Dim, pointer: str) -> str:
        """The pointer, if the size is not 0."""
        is_empty = self._code.value(f"icmp eq i64 {self.number(size)}, 0")
        return self._code.value(f"select i1 {is_empty}, ptr {NOTHING}, ptr {pointer}")

    def status(self) -> str:
        """0, or the code of the first check of sizes that they fail."""
        found = "0"
        tests = list(zip(self._function.size_checks, self._failures(), strict=True))
        for (code, _, _), fails in reversed(tests):
            found = self._code.value(f"select i1 {fails}, i32 {code}, i32 {found}")
        return found

    def _failures(self) -> Iterator[str]:
        value = self._code.value
        for register, (_, low, high, multiple) in zip(
            self.registers, self._function.dims, strict=True
        ):
            is_below = value(f"icmp slt i64 {register}, {low}")
            is_above = value(f"icmp sgt i64 {register}, {high}")
            rest = value(f"urem i64 {register}, {multiple}")
            is_between = value(f"icmp ne i64 {rest}, 0")
            yield value(f"or i1 {value(f'or i1 {is_below}, {is_above}')}, {is_between}")
        wraps = "false"
        for kind, size, _ in self._function.requirements:
            predicate = "ne" if kind == "zero" else "slt"
            is_other = value(f"icmp {predicate} i64 {self.number(size)}, 0")
            may_wrap = self._is_above(_MOST_COUNTED, size)
            # What has wrapped around tells nothing; the last check refuses it.
            yield value(f"select i1 {may_wrap}, i1 false, i1 {is_other}")
            wraps = value(f"or i1 {wraps}, {may_wrap}")
        yield value(f"or i1 {wraps}, {self._is_too_much()}")

    def _is_too_much(self) -> str:
        """Whether a buffer, the workspace or anything counted on the way has too many bytes."""
        function, found = self._function, "false"
        counted: list[Dim] = [
            DTYPES[buffer.dtype].itemsize * math.prod(buffer.shape)
            for buffer in (*function.arguments, *function.results)
        ]
        counted += [function.workspace_bytes, function.parallel_workspace_bytes]
        for size in dict.fromkeys(size for size in counted if isinstance(size, Size)):
            may_wrap = self._is_above(_MOST_BYTES, size)
            is_more = self._code.value(f"icmp sgt i64 {self.number(size)}, {self._most_of_word}")
            for fails in (may_wrap, is_more):
                found = self._code.value(f"or i1 {found}, {fails}")
        return found

    def _is_above(self, limit: float, size: Dim) -> str:
        """Whether anything counted for a size may reach the limit."""
        return self._code.value(f"fcmp oge double {self._bound(size)}, {_literal(limit)}")

    # Bounds are of all that is computed for a size, and as floats they do not wrap around.
    def _bound(self, size: Dim) -> str:
        if isinstance(size, int):
            return _literal(abs(size))
        total = _literal(0)
        for monomial, coefficient in size.terms:
            part = self._product(monomial, coefficient)
            total = self._code.value(f"fadd double {total}, {part}")
        return total

    def _product(self, monomial: Sequence[Atom], coefficient: int) -> str:
        product = _literal(abs(coefficient))
        for atom in monomial:
            product = self._code.value(f"fmul double {product}, {self._bound_of(atom)}")
        return product

    def _bound_of(self, atom: Atom) -> str:
        value = self._code.value
        if isinstance(atom, str):
            return value(f"sitofp i64 {self.number(symbol(atom))} to double")
        if isinstance(atom, Quotient):
            return self._bound(atom.numerator)
        first, second = self._bound(atom.first), self._bound(atom.second)
        return value(f"fadd double {first}, {second}")


def _literal(number: float) -> str:
    return f"{float(number):.1f}"
