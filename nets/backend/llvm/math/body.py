"""How the math library is written down: lanes with operators, and the function text they leave.

A `Body` holds the LLVM IR of one function on ``lanes`` lanes of f32 or f64. Its values are
`Lanes`: Python arithmetic on them appends instructions, so that a formula reads like a formula::

    y = body.fma(x, 2.0, 1.0) / x        # %v1 = call … @llvm.fma(…)   %v2 = fdiv …

Python numbers become constants of the other operand's type. The same formula gives the scalar
and every vector form, with the same operations in the same order, so all of them round alike.
Nothing here is fused, reassociated or approximated beyond what the formula says.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from nets.backend.llvm.isa import REGISTER_BITS, x86
from nets.backend.llvm.math.formats import F64, Format
from nets.ir.types import DType
from nets.machine.machine import InstructionSet


class Definition(NamedTuple):
    """The text of one LLVM function, and which other functions of the library it calls.

    ``requires`` holds arguments of `nets.backend.llvm.math.definition`.
    """

    symbol: str
    text: str
    requires: tuple[tuple[str, DType, int], ...] = ()


_LONGEST_CHAIN: Final = 8

SELF: Final = "{symbol}"
"""Stands for the symbol of the function while it is not known."""

Kind = Literal["float", "integer", "bool"]


@dataclass(frozen=True, slots=True, eq=False)
class Lanes:
    """A value of the function being written: lanes of floats, integers of that width, or i1."""

    body: Body
    kind: Kind
    text: str

    def _operate(self, instruction: str, x: Operand, y: Operand) -> Lanes:
        body = self.body
        left, right = body.operand(x, self.kind), body.operand(y, self.kind)
        return body.emit(self.kind, f"{instruction} {body.type(self.kind)} {left}, {right}")

    def _arithmetic(self, name: str, x: Operand, y: Operand) -> Lanes:
        return self._operate(f"f{name}" if self.kind == "float" else name, x, y)

    def __add__(self, y: Operand) -> Lanes:
        return self._arithmetic("add", self, y)

    def __radd__(self, x: Operand) -> Lanes:
        return self._arithmetic("add", x, self)

    def __sub__(self, y: Operand) -> Lanes:
        return self._arithmetic("sub", self, y)

    def __rsub__(self, x: Operand) -> Lanes:
        return self._arithmetic("sub", x, self)

    def __mul__(self, y: Operand) -> Lanes:
        return self._arithmetic("mul", self, y)

    def __rmul__(self, x: Operand) -> Lanes:
        return self._arithmetic("mul", x, self)

    def __truediv__(self, y: Operand) -> Lanes:
        return self._operate("fdiv", self, y)

    def __rtruediv__(self, x: Operand) -> Lanes:
        return self._operate("fdiv", x, self)

    def __neg__(self) -> Lanes:
        return self.body.emit("float", f"fneg {self.body.type('float')} {self.text}")

    def __and__(self, y: Operand) -> Lanes:
        return self._operate("and", self, y)

    def __or__(self, y: Operand) -> Lanes:
        return self._operate("or", self, y)

    def __xor__(self, y: Operand) -> Lanes:
        return self._operate("xor", self, y)

    def __lshift__(self, y: int) -> Lanes:
        return self._operate("shl", self, y)

    def __rshift__(self, y: int) -> Lanes:
        """The logical shift: AVX2 has no arithmetic one for 64 bits."""
        return self._operate("lshr", self, y)

    def _compare(self, predicate: str, y: Operand) -> Lanes:
        body = self.body
        right = body.operand(y, self.kind)
        instruction = f"fcmp o{predicate}" if self.kind == "float" else f"icmp {predicate}"
        return body.emit("bool", f"{instruction} {body.type(self.kind)} {self.text}, {right}")

    def __lt__(self, y: Operand) -> Lanes:
        return self._compare("lt" if self.kind == "float" else "slt", y)

    def __le__(self, y: Operand) -> Lanes:
        return self._compare("le" if self.kind == "float" else "sle", y)

    def __gt__(self, y: Operand) -> Lanes:
        return self._compare("gt" if self.kind == "float" else "sgt", y)

    def __ge__(self, y: Operand) -> Lanes:
        return self._compare("ge" if self.kind == "float" else "sge", y)

    def equals(self, y: Operand) -> Lanes:
        """Lanes where both are equal; never for NaN."""
        return self._compare("eq", y)

    def differs(self, y: Operand) -> Lanes:
        """Lanes where both are ordered and differ (floats), or just differ (integers)."""
        return self._compare("ne", y)

    def __invert__(self) -> Lanes:
        """Not, for bools."""
        return self._operate("xor", self, True)

    def is_nan(self) -> Lanes:
        type = self.body.type("float")
        return self.body.emit("bool", f"fcmp uno {type} {self.text}, {self.text}")


Operand = Lanes | float


class Body:
    """The function being written: its format, its lanes, and the lines so far.

    An instruction set of ``isa`` does some steps in one instruction that take several elsewhere,
    with the same results.
    """

    def __init__(self, form: Format, lanes: int, isa: InstructionSet = "generic") -> None:
        self.form = form
        self.lanes = lanes
        self.isa = isa
        self.lines: list[str] = []
        self.globals: list[str] = []
        self.requires: list[tuple[str, DType, int]] = []

    # Types, operands and single instructions.
    def type(self, kind: Kind) -> str:
        """The LLVM type of lanes of that kind."""
        return self.spread(self.scalar(kind))

    def scalar(self, kind: Kind) -> str:
        return {"float": self.form.name, "integer": self.form.integer, "bool": "i1"}[kind]

    def spread(self, scalar: str) -> str:
        """The LLVM type of as many lanes of a scalar type."""
        return scalar if self.lanes == 1 else f"<{self.lanes} x {scalar}>"

    def suffix(self, scalar: str) -> str:
        """How an intrinsic's name spells lanes of ``f32``, ``i1``, …."""
        return scalar if self.lanes == 1 else f"v{self.lanes}{scalar}"

    def operand(self, value: Operand, kind: Kind) -> str:
        """The text of a value or, for a Python number, of a constant of that kind."""
        if isinstance(value, Lanes):
            return value.text
        scalar = self.scalar(kind)
        text = self.form.constant(value) if kind == "float" else str(int(value))
        return text if self.lanes == 1 else f"splat ({scalar} {text})"

    def emit(self, kind: Kind, instruction: str) -> Lanes:
        """Appends an instruction and gives its result."""
        name = f"%v{len(self.lines)}"
        self.lines.append(f"  {name} = {instruction}")
        return Lanes(self, kind, name)

    def argument(self, name: str) -> Lanes:
        return Lanes(self, "float", f"%{name}")

    def number(self, value: float) -> Lanes:
        """A float constant as a value."""
        return Lanes(self, "float", self.operand(value, "float"))

    def _intrinsic(self, name: str, *operands: Operand) -> Lanes:
        type = self.type("float")
        arguments = ", ".join(f"{type} {self.operand(x, 'float')}" for x in operands)
        suffix = self.suffix(self.form.dtype.name)
        return self.emit("float", f"call {type} @{name}.{suffix}({arguments})")

    def fma(self, x: Operand, y: Operand, z: Operand) -> Lanes:
        """x · y + z, rounded once; in the profile strict-nofma, the product is rounded, too."""
        return self._intrinsic("llvm.fma", x, y, z)

    def fused(self, x: Operand, y: Operand, z: Operand) -> Lanes:
        """x · y + z, rounded once in every profile, as where it is what a rounding leaves out."""
        return self._intrinsic("nets.fused", x, y, z)

    def abs(self, x: Lanes) -> Lanes:
        return self._intrinsic("llvm.fabs", x)

    def copysign(self, x: Operand, y: Lanes) -> Lanes:
        """The magnitude of x with the sign of y."""
        return self._intrinsic("llvm.copysign", x, y)

    def with_sign(self, x: Lanes, y: Lanes) -> Lanes:
        """x, which is not negative, or has the sign of y already, with the sign of y."""
        return self.from_bits(self.bits(x) | (self.bits(y) & self.form.sign_bit))

    def sqrt(self, x: Lanes) -> Lanes:
        return self._intrinsic("llvm.sqrt", x)

    def trunc(self, x: Lanes) -> Lanes:
        return self._intrinsic("llvm.trunc", x)

    def select(self, condition: Lanes, x: Operand, y: Operand) -> Lanes:
        """x in the lanes where the condition holds, else y (x or y is a value)."""
        kind: Kind = next((v.kind for v in (x, y) if isinstance(v, Lanes)), "float")
        type = self.type(kind)
        return self.emit(
            kind,
            f"select {self.type('bool')} {condition.text}, {type} {self.operand(x, kind)}, "
            f"{type} {self.operand(y, kind)}",
        )

    def bits(self, x: Lanes) -> Lanes:
        """The bit patterns of floats, as integers."""
        source, target = self.type("float"), self.type("integer")
        return self.emit("integer", f"bitcast {source} {x.text} to {target}")

    def from_bits(self, x: Lanes) -> Lanes:
        """The floats that have these bit patterns."""
        source, target = self.type("integer"), self.type("float")
        return self.emit("float", f"bitcast {source} {x.text} to {target}")

    # Combinations that every family uses.
    def at_most(self, x: Lanes, bound: Operand) -> Lanes:
        """min(x, bound); NaN stays NaN."""
        return self.select(x > bound, bound, x)

    def at_least(self, x: Lanes, bound: Operand) -> Lanes:
        """max(x, bound); NaN stays NaN."""
        return self.select(x < bound, bound, x)

    def polynomial(
        self, x: Lanes, coefficients: Sequence[Operand], square: Lanes | None = None
    ) -> Lanes:
        """Σ coefficients[i] · x**i: by Horner's rule, or pairwise (Estrin) where that is long.

        A chain of dependent operations is hidden behind its neighbours up to about that length,
        which is shorter where x² is there anyway.
        """
        terms: list[Operand] = list(coefficients)
        longest = _LONGEST_CHAIN if square is None else _LONGEST_CHAIN // 2
        while len(terms) > longest:
            pairs = zip(terms[0::2], terms[1::2], strict=False)
            odd = terms[-1:] if len(terms) % 2 else []
            terms = [*(self.fma(high, x, low) for low, high in pairs), *odd]
            x, longest = square or x * x, _LONGEST_CHAIN
            square = None
        total = terms.pop()
        while terms:
            total = self.fma(total, x, terms.pop())
        assert isinstance(total, Lanes)
        return total

    def series(self, r: Lanes, coefficients: Sequence[float]) -> Lanes:
        """r + r² · P(r)."""
        square = r * r
        return self.fma(square, self.polynomial(r, coefficients, square), r)

    def round(self, x: Lanes, factor: float) -> tuple[Lanes, Lanes]:
        """x · factor rounded to an integer: as a float, and as `magic`-biased bits.

        The bits minus ``form.bits(form.magic)`` are the integer. |x · factor| < 2**(mantissa-1).
        """
        biased = self.fma(x, factor, self.form.magic)
        return biased - self.form.magic, self.bits(biased)

    def power_of_two(self, biased_exponent: Lanes) -> Lanes:
        """2**(biased_exponent - bias); the exponent field must be that of a normal number."""
        return self.from_bits(biased_exponent << self.form.mantissa)

    # Parts of vectors.
    def sibling(self, form: Format, lanes: int) -> Body:
        """A body of another format or number of lanes that writes into this one."""
        other = Body(form, lanes, self.isa)
        other.lines, other.requires, other.globals = self.lines, self.requires, self.globals
        return other

    def split(self, x: Lanes, part: Body) -> list[Lanes]:
        """The lanes of x, as many together as the part has."""
        type = self.type(x.kind)
        return [
            Lanes(part, x.kind, self.shuffled(type, x.text, "poison", range(i, i + part.lanes)))
            for i in range(0, self.lanes, part.lanes)
        ]

    def joined(self, parts: Sequence[Lanes]) -> Lanes:
        """The lanes of all parts, a power of two, one after the other."""
        (first, *_), texts = parts, [part.text for part in parts]
        scalar, lanes = first.body.scalar(first.kind), first.body.lanes
        while len(texts) > 1:
            pairs = zip(texts[0::2], texts[1::2], strict=True)
            type, lanes = f"<{lanes} x {scalar}>", 2 * lanes
            texts = [self.shuffled(type, x, y, range(lanes)) for x, y in pairs]
        return Lanes(self, first.kind, texts[0])

    def shuffled(self, type: str, x: str, y: str, order: Sequence[int]) -> str:
        """Lanes of x with y behind it."""
        lanes = ", ".join(f"i32 {lane}" for lane in order)
        text = f"shufflevector {type} {x}, {type} {y}, <{len(order)} x i32> <{lanes}>"
        return self.emit("float", text).text

    @property
    def has_wide_forms(self) -> bool:
        """Whether the lanes fill a register of AVX-512, on a processor that has it."""
        return self.isa == "avx512" and self.lanes * self.form.width == x86.WIDE_BITS

    def wide_form(self, name: str, *operands: Operand | str) -> Lanes:
        """The AVX-512 instruction of that name, in all lanes and the usual rounding mode."""
        type = self.type("float")
        arguments = ", ".join(
            x if isinstance(x, str) else f"{type} {self.operand(x, 'float')}" for x in operands
        )
        return self.emit("float", x86.wide_form(name, type, self.lanes, arguments))

    # f32 computed in double.
    def widened(self) -> Body:
        """A body of f64 that writes into this one of f32."""
        return self.sibling(F64, self.lanes)

    def widen(self, x: Lanes) -> Lanes:
        """A value of the f32 body as one of this f64 body."""
        return self.emit("float", f"fpext {x.body.type('float')} {x.text} to {self.type('float')}")

    def narrow(self, x: Lanes) -> Lanes:
        """A value of the f64 body rounded to one of this f32 body."""
        source = x.body.type("float")
        return self.emit("float", f"fptrunc {source} {x.text} to {self.type('float')}")

    # Control flow: blocks that run only when some lane needs them.
    def any(self, condition: Lanes) -> str:
        """The i1 that says whether the condition holds in some lane."""
        if self.lanes == 1:
            return condition.text
        register = self.sibling(self.form, REGISTER_BITS[self.isa] // self.form.width)
        if self.lanes > register.lanes:
            type = self.type("integer")
            signs = self.emit("integer", f"sext {self.type('bool')} {condition.text} to {type}")
            condition = functools.reduce(operator.or_, self.split(signs, register)) < 0
        lanes = condition.body.lanes
        some = self.emit("integer", f"bitcast <{lanes} x i1> {condition.text} to i{lanes}").text
        return self.emit("bool", f"icmp ne i{lanes} {some}, 0").text

    def line(self, text: str) -> None:
        """Appends a line that gives no value: a label (ends with a colon) or a branch."""
        self.lines.append(text if text.endswith(":") else f"  {text}")

    def phi(self, kind: Kind, *edges: tuple[Lanes | str, str]) -> Lanes:
        """The value that comes with the edge taken: pairs of value (or its name) and label."""
        pairs = ", ".join(
            f"[ {value.text if isinstance(value, Lanes) else value}, %{label} ]"
            for value, label in edges
        )
        return self.emit(kind, f"phi {self.type(kind)} {pairs}")

    def rarely(self, some: str, make: Callable[[], Lanes], usual: Lanes) -> Lanes:
        """``usual``, but what ``make`` writes and gives where the i1 ``some`` holds.

        The instructions of ``make`` stand out of the way of the usual ones.
        """
        before, number = self._block(), len(self.lines)
        rare, after = f"rare{number}", f"after{number}"
        weights = '!prof !{!"branch_weights", i32 1, i32 2000}'
        self.line(f"br i1 {some}, label %{rare}, label %{after}, {weights}")
        self.line(f"{rare}:")
        made, made_in = make(), self._block()
        self.line(f"br label %{after}")
        self.line(f"{after}:")
        return self.phi(usual.kind, (made, made_in), (usual, before))

    def _block(self) -> str:
        """The label of the block being written."""
        return next((line[:-1] for line in reversed(self.lines) if line.endswith(":")), "entry")

    def finish(
        self,
        symbol: str,
        arguments: Sequence[str],
        result: Lanes,
        attributes: str = "alwaysinline nounwind",
    ) -> Definition:
        """The whole function."""
        type = self.type("float")
        parameters = ", ".join(f"{type} %{name}" for name in arguments)
        lines = (
            f"define internal {type} @{symbol}({parameters}) {attributes} {{",
            "entry:",
            *self.lines,
            f"  ret {type} {result.text}",
            "}",
        )
        text = "\n".join((*self.globals, *lines)) + "\n"
        return Definition(symbol, text.replace(SELF, symbol), tuple(self.requires))
