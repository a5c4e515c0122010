"""Native code of reductions for sizes that a call tells has the bits of code for known sizes, the
signs of NaN included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import nets
from tests.property.open_reductions import differences, program

FOUND: dict[int, tuple[int, ...]] = {
    9: (0,),
    65: (0,),
    68: (1,),
    74: (1, 33),
    81: (3,),
    258: (1, 33),
}
"""Programs that once had other bits for these sizes, or could not be compiled."""

ORDERS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda x: x.sum((0, 2)), "f: 17, n, 5"),
    (lambda x: (x * x).sum((0, 2)), "f: 17, n, 5, 3"),
    (lambda x: nets.prod(x * 0.1 + 1, (0, 2)), "d: 40, n, 70"),
    (lambda x: nets.max(nets.where(x > 0, 0.0, -0.0), (0, 2), initial=-1), "f: 7, n, 9"),
    (lambda x: x.sum((0, 2, 4)), "f: 7, n, 9, m, 30"),
    (lambda x: x.sum((0, 3)), "f: 7, n, m, 30"),
    (lambda x: x.sum(1), "f: n, 30, m"),
    (lambda x: (nets.softmax(x, 1), x.sum(0)), "f: n, m"),
]
"""Reductions around axes of which there may be one element, or along them."""

NOTHING: list[Callable[[Any], Any]] = [
    lambda x: (x.mean(), x.mean(0), x.var(0)),
    lambda x: (x.sum(0) + float("inf")) * 0,
    lambda x: nets.sqrt(x.sum(0) - 1),
    lambda x: nets.log(x.sum(0) - 1),
    lambda x: nets.full((3,), float("inf")) - float("inf") + x.sum(0),
]


@pytest.mark.parametrize("seed", FOUND)
def test_programs_have_the_bits_of_fixed_sizes(seed: int) -> None:
    assert differences(*program(seed), FOUND[seed]) == {}


@pytest.mark.parametrize(("function", "form"), ORDERS)
def test_sums_are_in_the_order_of_fixed_sizes(function: Callable[[Any], Any], form: str) -> None:
    assert differences(function, [form], (1, 33)) == {}


@pytest.mark.parametrize("kind", "fd")
def test_powers_of_sizes_are_those_of_numbers(kind: str) -> None:
    powers = [lambda x: x ** x.shape[0], lambda x: abs(x) ** (x.shape[0] / 2 - 1)]
    for power in powers:
        assert differences(power, [f"{kind}: n, 90"], (0, 1, 2, 3, 4, 6)) == {}


@pytest.mark.parametrize("function", NOTHING)
def test_a_nan_of_nothing_has_the_sign_of_every_other(function: Callable[[Any], Any]) -> None:
    assert differences(function, ["f: n, 3"], (0, 2)) == {}
