"""Comparing results: bit for bit, or within what the rounding of inexact ops can explain.

``assert_same`` is for runs that must agree in every bit. ``assert_matches`` holds found results to
the reference: results that only exact ops lead to bit for bit; for the others it evaluates the
program again a few times, each time moving the results of inexact ops by a few ulps, and takes
how far the outputs move as the measure. So a well-conditioned program is held to a few ulps, and
a result that no bits of the input determine (1 / (x − x')) to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nets.backend.numpy.interpreter import evaluate, evaluate_op
from nets.ir.core import Function, Operation, Trait, Value
from nets.ops.definition.registry import Array
from tests.property.native_order import evaluate_in_order
from tests.property.programs import is_exact

Rule = Callable[[Operation, Sequence[Array]], Sequence[Array]]
"""Gives the results of an operation for these operands."""

_RUNS = 4
_MORE_RUNS = 40
"""Where a few do not tell: of a thousand elements next to a jump, one may stay in all of them."""
_MOVED_ULPS = 4.0
_SLACK = 16.0

_PICKING = ("reduce_max", "reduce_min")
"""What gives one of its operand's elements, and only of zeros leaves open which."""


def same_bits(x: Array, y: Array) -> bool:
    """Equal dtype, shape and bits; any NaN equals any NaN."""
    if x.dtype != y.dtype or x.shape != y.shape:
        return False
    if x.dtype.kind != "f":
        return bool(np.array_equal(x, y))
    equal = (x == y) & (np.signbit(x) == np.signbit(y))
    return bool(np.all(equal | (np.isnan(x) & np.isnan(y))))


def assert_same(expected: Sequence[Array], found: Sequence[Array], context: object = "") -> None:
    """Both lists hold the same arrays, bit for bit (NaN payloads aside)."""
    assert len(expected) == len(found), context
    for i, (x, y) in enumerate(zip(expected, found, strict=True)):
        assert same_bits(x, y), f"result {i}: expected\n{x!r}\nfound\n{y!r}\n{context}"


def assert_matches(function: Function, arrays: Sequence[Array], found: Sequence[Array]) -> None:
    """``found`` is what ``function`` means for ``arrays``, within the numerics contract."""
    Reference(function, arrays).assert_matches(found)


class Reference:
    """What a function means for some arrays, to hold several results to it.

    A sum or a product may overflow in one order and not in another; so each element may agree with
    NumPy's order or with the native one.
    """

    def __init__(self, function: Function, arrays: Sequence[Array]) -> None:
        self.function = function
        self.arrays = arrays
        self.expected = evaluate(function, arrays)
        self._inexact = inexact_results(function)
        self._measures: dict[tuple[Rule, int], _Measure] = {}

    def assert_matches(self, found: Sequence[Array]) -> None:
        assert len(self.expected) == len(found), self.function
        if not any(self._inexact):
            assert_same(self.expected, found, self.function)
            return
        close = self._close(found, evaluate_op, _RUNS)
        for rule, runs in ((evaluate_in_order, _RUNS), (evaluate_op, _MORE_RUNS)):
            if not all(map(np.all, close)):
                other = self._close(found, rule, runs)
                close = [x | y for x, y in zip(close, other, strict=True)]
        for i, (reference, result) in enumerate(zip(self.expected, found, strict=True)):
            ok = np.all(close[i]) if self._inexact[i] else same_bits(reference, result)
            assert ok, f"result {i}: expected\n{reference!r}\nfound\n{result!r}\n{self.function}"

    def _close(self, found: Sequence[Array], rule: Rule, runs: int) -> list[Array]:
        """For each element of each result: is it what ``rule`` gives, rounding aside?"""
        if (rule, runs) not in self._measures:
            self._measures[rule, runs] = _Measure.of(self.function, self.arrays, rule, runs)
        measure = self._measures[rule, runs]
        return [
            _within(reference, result, [run[i] for run in measure.runs], measure.ops)
            for i, (reference, result) in enumerate(zip(measure.expected, found, strict=True))
        ]


@dataclass(frozen=True)
class _Measure:
    """What evaluating by a rule gives, and how far rounding moves it."""

    expected: list[Array]
    runs: list[list[Array]]
    """The results with those of inexact ops moved by a few ulps."""
    ops: int
    """How many inexact ops there are."""

    @staticmethod
    def of(function: Function, arrays: Sequence[Array], rule: Rule, runs: int) -> _Measure:
        rng = np.random.default_rng(0)

        def moved(op: Operation, operands: Sequence[Array]) -> Sequence[Array]:
            return _moved_results(op, operands, rng, rule)

        expected = _evaluate_by(function, arrays, rule)
        results = [_evaluate_by(function, arrays, moved) for _ in range(runs)]
        return _Measure(expected, results, sum(not is_exact(op) for op in function.body))


_WITH_MATH = Trait.ELEMENTWISE | Trait.COSTLY
"""Elementwise ops, and kernels of math functions."""


def assert_native(function: Function, arrays: Sequence[Array], found: Sequence[Array]) -> None:
    """As ``assert_matches``; and results that no math function leads to have the bits that the
    native order of sums and products gives."""
    assert_matches(function, arrays, found)
    expected = _evaluate_by(function, arrays, evaluate_in_order)
    free = _reached(function, lambda op: not is_exact(op) and op.has(_WITH_MATH))
    for i, (reference, result) in enumerate(zip(expected, found, strict=True)):
        ok = free[i] or same_bits(reference, result)
        assert ok, f"result {i}: in the native order\n{reference!r}\nfound\n{result!r}\n{function}"


def inexact_results(function: Function) -> list[bool]:
    """For each result, whether an inexact op leads to it."""
    return _reached(function, lambda op: not is_exact(op))


def _reached(function: Function, starts: Callable[[Operation], bool]) -> list[bool]:
    """For each result, whether an operation of that kind leads to it."""
    reached: set[Value] = set()
    for op in function.body:
        if starts(op) or not reached.isdisjoint(op.operands):
            reached.update(op.results)
    return [value in reached for value in function.returned]


def _within(reference: Array, result: Array, moved: Sequence[Array], ops: int) -> Array:
    if reference.dtype != result.dtype or reference.shape != result.shape:
        return np.False_
    if reference.dtype.kind != "f":
        steady = np.all([reference == run for run in moved], axis=0)
        return (reference == result) | ~steady
    limits = np.finfo(reference.dtype)
    with np.errstate(all="ignore"):
        wide = reference.astype(np.float64)
        distance = np.abs(result.astype(np.float64) - wide)
        spread = np.max([np.abs(run.astype(np.float64) - wide) for run in moved], axis=0)
        steady = np.all([np.isfinite(run) == np.isfinite(reference) for run in moved], axis=0)
        steady &= np.all([np.isnan(run) == np.isnan(reference) for run in moved], axis=0)
        ulps = (8 + 4 * ops) * float(limits.eps)
        bound = _SLACK * spread + ulps * np.abs(wide) + 8 * ops * float(limits.smallest_subnormal)
        near_overflow = np.abs(wide) + bound >= float(limits.max)
        equal = (reference == result) | (np.isnan(reference) & np.isnan(result))
        return equal | (distance <= bound) | ~steady | (near_overflow & np.isfinite(wide))


def _evaluate_by(function: Function, arrays: Sequence[Array], rule: Rule) -> list[Array]:
    """The results where ``rule`` gives those of each operation."""
    values = dict(zip(function.arguments, arrays, strict=True))
    for op in function.body:
        operands = [values[value] for value in op.operands]
        if op.has(Trait.TERMINATOR):
            return operands
        values.update(zip(op.results, rule(op, operands), strict=True))
    raise AssertionError("the function has no return")


def _moved_results(
    op: Operation, operands: Sequence[Array], rng: np.random.Generator, rule: Rule
) -> Sequence[Array]:
    """The results of ``op``, a few ulps off where it is inexact."""
    if is_exact(op):
        return rule(op, operands)
    if op.name in _PICKING:
        return [_zeros_of_either_sign(x, rng) for x in rule(op, operands)]
    if op.has(Trait.REDUCTION | Trait.KERNEL):
        # Their error grows with the terms, not with the result, which may have cancelled.
        results = rule(op, [_moved(x, rng) for x in operands])
        return [_zeros_of_either_sign(x, rng) for x in results]
    return [_moved(x, rng) for x in rule(op, operands)]


def _moved(x: Array, rng: np.random.Generator) -> Array:
    if x.dtype.kind != "f":
        return x
    by = rng.uniform(0.5, 1.0, x.shape) * rng.choice([-1.0, 1.0], x.shape)
    scale = 1.0 + by * _MOVED_ULPS * float(np.finfo(x.dtype).eps)
    with np.errstate(all="ignore"):
        return np.asarray(x * scale).astype(x.dtype)


def _zeros_of_either_sign(x: Array, rng: np.random.Generator) -> Array:
    if x.dtype.kind != "f":
        return x
    return np.where(x == 0, np.copysign(x, rng.choice([-1.0, 1.0], x.shape)).astype(x.dtype), x)
