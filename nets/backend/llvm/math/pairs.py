"""Pairs: sums of two numbers that hold about twice the digits of one."""

from __future__ import annotations

from nets.backend.llvm.math.body import Body, Lanes, Operand


def sum_by_size(x: Lanes, y: Operand) -> tuple[Lanes, Lanes]:
    """x + y and its rounding error, for |x| ≥ |y| (Dekker)."""
    total = x + y
    return total, y - (total - x)


def sum_of_any(x: Lanes, y: Operand) -> tuple[Lanes, Lanes]:
    """x + y and its rounding error (Knuth)."""
    total = x + y
    of_y = total - x
    return total, (x - (total - of_y)) + (y - of_y)


def product(b: Body, x: Lanes, y: Operand) -> tuple[Lanes, Lanes]:
    """x · y and its rounding error."""
    rounded = x * y
    return rounded, b.fused(x, y, -rounded)


def root(b: Body, x: Lanes, x_low: Lanes | None = None) -> tuple[Lanes, Lanes]:
    """√(x + x_low) as a pair, for x ≥ 0; of 0 it is 0."""
    rounded = b.sqrt(x)
    rest = b.fused(-rounded, rounded, x)
    rest = rest if x_low is None else rest + x_low
    half = 0.5 / b.select(rounded.equals(0.0), 1.0, rounded)
    return rounded, rest * half
