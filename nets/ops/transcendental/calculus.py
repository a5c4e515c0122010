"""One formula for both: the reference on arrays, and the loop dialect.

A formula is a function of a `Calculus` and of numbers in float64, of which it takes sums, products,
comparisons and selections. On arrays it is the reference; on `Register` it is the body that is
compiled. So both have the same operations in the same order, and differ by what ``exp`` and ``log``
differ. Results of float32 are those of float64, rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from nets.errors import GradientError
from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.location import user_location
from nets.ir.types import VectorType, f32, f64, index
from nets.ops.definition.registry import Array
from nets.ops.loop.loop_builder import LoopBuilder
from nets.ops.tensor.mathematics import erf_of_each

Number = Any
"""An array of float64 or of bools, a register of either, or a Python number."""

Formula = Callable[..., Number]

Step = Callable[[Number, Any], Any]
"""Of a number and of what is carried, a number or a tuple of them, makes the next."""


RowStep = Callable[[Sequence[Number], Any], Any]
"""Of numbers and of what is carried, makes the next."""


class Register:
    """A value of the loop dialect with Python's operators."""

    __slots__ = ("s", "value")

    def __init__(self, s: LoopBuilder, value: Value) -> None:
        self.s, self.value = s, value

    def operand(self, x: Number) -> Value:
        """The value of a register, or a constant of this one's dtype in as many lanes."""
        return x.value if isinstance(x, Register) else self.spread(self.s.like(self.value, x))

    def spread(self, scalar: Value) -> Value:
        """The scalar in as many lanes as this one has."""
        type = self.value.type
        if not isinstance(type, VectorType):
            return scalar
        return self.s.emit("splat", scalar, lanes=type.lanes).result

    def _binary(self, name: str, x: Number, y: Number) -> Register:
        return Register(self.s, self.s.binary(name, self.operand(x), self.operand(y)))

    def __add__(self, y: Number) -> Register:
        return self._binary("add", self, y)

    def __radd__(self, x: Number) -> Register:
        return self._binary("add", x, self)

    def __sub__(self, y: Number) -> Register:
        return self._binary("sub", self, y)

    def __rsub__(self, x: Number) -> Register:
        return self._binary("sub", x, self)

    def __mul__(self, y: Number) -> Register:
        return self._binary("mul", self, y)

    def __rmul__(self, x: Number) -> Register:
        return self._binary("mul", x, self)

    def __truediv__(self, y: Number) -> Register:
        return self._binary("div", self, y)

    def __rtruediv__(self, x: Number) -> Register:
        return self._binary("div", x, self)

    def __neg__(self) -> Register:
        return Register(self.s, self.s.unary("neg", self.value))

    def __and__(self, y: Register) -> Register:
        return self._binary("and", self, y)

    def __or__(self, y: Register) -> Register:
        return self._binary("or", self, y)

    def compare(self, predicate: str, y: Number) -> Register:
        return Register(self.s, self.s.compare(predicate, self.value, self.operand(y)))

    def __lt__(self, y: Number) -> Register:
        return self.compare("lt", y)

    def __le__(self, y: Number) -> Register:
        return self.compare("le", y)

    def __gt__(self, y: Number) -> Register:
        return self.compare("gt", y)

    def __ge__(self, y: Number) -> Register:
        return self.compare("ge", y)


class Calculus(Protocol):
    """What formulas take of numbers besides operators. ``is_short``: the result is rounded to
    float32, and 30 bits of it are enough."""

    is_short: bool

    def unary(self, name: str, x: Number) -> Number: ...

    def math(self, name: str, *arguments: Number) -> Number: ...

    def equal(self, x: Number, y: Number) -> Number: ...

    def select(self, condition: Number, x: Number, y: Number) -> Number: ...

    def count_down(self, count: Number, step: Step, start: Any) -> Any:
        """What ``step(n, x)`` makes of x from the start, for n from a count down to 1. That may be
        a number of each element: then n starts from the largest of some of them."""

    def over_rows(self, table: Array, step: RowStep, start: Any) -> Any:
        """What ``step(row, x)`` makes of x from the start, for the rows of numbers in a table."""


class Arrays:
    """The calculus of arrays."""

    def __init__(self, is_short: bool = False) -> None:
        self.is_short = is_short

    def unary(self, name: str, x: Array) -> Array:
        """abs, floor, round or sqrt."""
        found: Array = getattr(np, {"round": "rint"}.get(name, name))(x)
        return found

    def math(self, name: str, *arguments: Array) -> Array:
        """A function of the math library."""
        if name == "erf":
            return erf_of_each(np.asarray(arguments[0]))
        found: Array = getattr(np, {"pow": "power"}.get(name, name))(*arguments)
        return found

    def equal(self, x: Array, y: Number) -> Array:
        return np.equal(x, y)

    def select(self, condition: Array, x: Number, y: Number) -> Array:
        operands: tuple[Any, ...] = (condition, x, y)
        chosen: Any = np.where(*operands)
        return np.asarray(chosen)

    def count_down(self, count: Number, step: Step, start: Any) -> Any:
        for n in range(int(np.max(count, initial=0)), 0, -1):
            start = step(float(n), start)
        return start

    def over_rows(self, table: Array, step: RowStep, start: Any) -> Any:
        for row in table.tolist():
            start = step(row, start)
        return start


class Registers:
    """The calculus of the loop dialect."""

    def __init__(self, is_short: bool = False) -> None:
        self.is_short = is_short

    def unary(self, name: str, x: Register) -> Register:
        return Register(x.s, x.s.unary(name, x.value))

    def math(self, name: str, *arguments: Register) -> Register:
        (x, *_) = arguments
        return Register(x.s, x.s.math(name, *(argument.value for argument in arguments)))

    def equal(self, x: Register, y: Number) -> Register:
        return x.compare("eq", y)

    def select(self, condition: Register, x: Number, y: Number) -> Register:
        s, known = condition.s, x if isinstance(x, Register) else y
        if not isinstance(known, Register):
            known = Register(s, condition.spread(s.const(0.0, f64)))
        chosen = s.select(condition.value, known.operand(x), known.operand(y))
        return Register(s, chosen)

    def count_down(self, count: Number, step: Step, start: Any) -> Any:
        carried: tuple[Register, ...] = start if isinstance(start, tuple) else (start,)
        s = carried[0].s
        if isinstance(count, Register):
            most = count.value
            if isinstance(most.type, VectorType):
                most = s.emit("lane_reduce", most, combiner="max").result
            last = s.cast(most, index)
        else:
            last = s.const(count, index)

        def counted(passed: Value, old: Any) -> Any:
            return step(Register(s, carried[0].spread(s.cast(s.sub(last, passed), f64))), old)

        return self._loop(last, counted, start)

    def over_rows(self, table: Array, step: RowStep, start: Any) -> Any:
        first: Register = start[0] if isinstance(start, tuple) else start
        s, (count, width) = first.s, table.shape
        numbers = s.emit("global", value=table.reshape(-1)).result

        def row(passed: Value, old: Any) -> Any:
            places = [Affine.of(passed) * width + k for k in range(width)]
            loaded = [first.spread(s.load(numbers, place)) for place in places]
            return step([Register(s, x) for x in loaded], old)

        return self._loop(count, row, start)

    def _loop(self, count: Value | int, step: Step, start: Any) -> Any:
        """What ``step(n, x)`` makes of x from the start, for n from 0 on."""
        carried: tuple[Register, ...] = start if isinstance(start, tuple) else (start,)
        s = carried[0].s
        loop = s.for_(0, count, [x.value for x in carried])
        with s.inside(loop) as body:
            passed, *values = body.arguments
            old = tuple(Register(s, value) for value in values)
            new = step(passed, old if isinstance(start, tuple) else old[0])
            s.yield_(*(x.value for x in (new if isinstance(start, tuple) else (new,))))
        found = tuple(Register(s, value) for value in loop.results)
        return found if isinstance(start, tuple) else found[0]


def rules(formula: Formula) -> tuple[Callable[..., Array], Callable[..., Value]]:
    """``evaluate`` and ``lower`` of an op whose meaning is a formula."""

    def lower(s: LoopBuilder, *arguments: Value) -> Value:
        dtype = arguments[0].type.dtype
        wide = [Register(s, s.cast(x, f64)) for x in arguments]
        return s.cast(formula(Registers(dtype == f32), *wide).value, dtype)

    return reference(formula), lower


def reference(formula: Formula) -> Callable[..., Array]:
    """``evaluate`` of such an op."""

    def evaluate(*arguments: Array) -> Array:
        wide = [x.astype(np.float64, copy=False) for x in arguments]
        dtype = arguments[0].dtype
        result = np.asarray(formula(Arrays(dtype == np.float32), *wide), np.float64)
        return result.astype(dtype, copy=False)

    return evaluate


def no_second_derivative(name: str, parameter: str) -> Callable[[], Value]:
    """The partial derivative of a derivative by a parameter, by parameters: GradientError."""

    def refused() -> Value:
        raise GradientError(
            f"{name} has no second derivative by its parameters: its derivative by {parameter} can "
            "not be differentiated by them again",
            user_location(),
        )

    return refused


# ----------------------------------------------------------- what several formulas have in common


def polynomial(x: Number, coefficients: Sequence[float]) -> Number:
    """Σ coefficients[i] · xⁱ by Horner's rule."""
    total: Number = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


def at_most(m: Calculus, x: Number, bound: float) -> Number:
    """min(x, bound); NaN stays."""
    return m.select(x > bound, bound, x)


def at_least(m: Calculus, x: Number, bound: float) -> Number:
    """max(x, bound); NaN stays."""
    return m.select(x < bound, bound, x)


def halves(x: Number) -> tuple[Number, Number]:
    """x as a sum of two numbers of 26 bits each (G. W. Veltkamp, 1968)."""
    wide = x * 134217729.0
    high = wide - (wide - x)
    return high, x - high


def sine_of_turns(m: Calculus, x: Number) -> tuple[Number, Number]:
    """What rounding x to an integer leaves, and |sin πx|."""
    rest = x - m.unary("round", x)
    return rest, m.unary("abs", m.math("sin", rest * 3.141592653589793))
