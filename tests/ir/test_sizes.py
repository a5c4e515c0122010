"""Sizes of a call: one form for equal sizes, arithmetic as that of integers, what ranges decide."""

import itertools
import random
from collections.abc import Callable

import pytest

from nets.ir.estimates import room_for_either
from nets.ir.size_parser import parse
from nets.ir.sizes import (
    Dim,
    Range,
    at_most,
    bounds,
    divided,
    equal,
    evaluate,
    expression,
    greatest,
    is_multiple,
    least,
    substitute,
    symbol,
)

N, M = symbol("n"), symbol("m")

RANGES = {"n": Range(0, 7), "m": Range(2, 9, 3)}
VALUES = [{"n": n, "m": m} for n in range(8) for m in (3, 6, 9)]


def drawn(rng: random.Random, depth: int) -> tuple[Dim, Callable[[dict[str, int]], int]]:
    """A size, and the same as a function of numbers."""
    if depth == 0 or rng.random() < 0.25:
        number = rng.randint(-5, 5)
        return rng.choice(
            [(N, lambda v: v["n"]), (M, lambda v: v["m"]), (number, lambda v: number)]
        )
    (x, f), (y, g) = drawn(rng, depth - 1), drawn(rng, depth - 1)
    k = rng.choice([1, 2, 3, 4, 6])
    return rng.choice(
        [
            (x + y, lambda v: f(v) + g(v)),
            (x - y, lambda v: f(v) - g(v)),
            (x * y, lambda v: f(v) * g(v)),
            (x // k, lambda v: f(v) // k),
            (x % k, lambda v: f(v) % k),
            (least(x, y), lambda v: min(f(v), g(v))),
            (greatest(x, y), lambda v: max(f(v), g(v))),
        ]
    )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.sampled(4)
def test_arithmetic_text_and_proofs_are_those_of_integers(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        (x, f), (y, g) = drawn(rng, 4), drawn(rng, 3)
        xs, ys = [f(v) for v in VALUES], [g(v) for v in VALUES]
        assert [evaluate(x, v) for v in VALUES] == xs
        assert parse(expression(x)) == x
        low, high = bounds(x, RANGES)
        assert low <= min(xs)
        assert max(xs) <= high
        pairs = list(zip(xs, ys, strict=True))
        assert equal(x, y, RANGES) in (None, truth([a == b for a, b in pairs]))
        assert at_most(x, y, RANGES) in (None, truth([a <= b for a, b in pairs]))
        if y != 0:
            assert divided(x * y, y) == x


def truth(held: list[bool]) -> bool | None:
    return held[0] if len(set(held)) == 1 else None


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (2 * N + 1, "2*n + 1"),
        (1 - N, "-n + 1"),
        (M * N * 2 - N + 3, "2*m*n - n + 3"),
        ((N - 1) // 2 + 1, "((n + 1)//2)"),
        (N // 2 // 3, "(n//6)"),
        ((4 * N + 6) // 8, "((n + 1)//2)"),
        (least(N, 5), "min(n, 5)"),
        (N % 4, "n - 4*(n//4)"),
        ((4 * N + 3) // 4, "n"),
        (least(N + M, N + 3), "min(m, 3) + n"),
    ],
)
def test_one_form(size: Dim, text: str) -> None:
    assert expression(size) == text
    assert parse(text) == size
    assert hash(parse(text)) == hash(size)


@pytest.mark.parametrize(
    ("size", "number"),
    [(N - N, 0), (N * 0 + 3, 3), (least(N, N + 1) - N, 0), ((2 * N + 1) % 2, 1)],
)
def test_what_has_no_atoms_left_is_a_number(size: Dim, number: int) -> None:
    assert type(size) is int
    assert size == number


def test_ranges_decide_where_they_can() -> None:
    batch = {"n": Range(1, 4096, 8)}
    assert [is_multiple(N, k, batch) for k in (4, 16)] == [True, None]
    assert is_multiple(N + 1, 4, batch) is False
    assert [equal(N // 4 * 4, N, ranges) for ranges in (batch, {})] == [True, None]
    assert [equal(N, k, batch) for k in (7, 8)] == [False, None]
    assert [at_most(k, N, batch) for k in (8, 9, 5000)] == [True, None, False]
    assert [equal(2 * N, other, {}) for other in (5, M)] == [False, None]


def test_a_polynomial_is_divided_by_another() -> None:
    assert divided(N * N + 2 * N * M + M * M, N + M) == N + M
    assert [divided(N * N, N + 1), divided(3 * N, 2), divided(N, 0)] == [None] * 3
    assert substitute(N * M + N // 2, {"n": 4, "m": N}) == 4 * N + 2


@pytest.mark.parametrize(
    "text",
    [
        *("", "n +", "n n", "(n", "n/2", "n//m", "n//0", "min(n)", "2**n", "n + $", "1e3", "-" * 9),
        "(" * 99 + "n" + ")" * 99,
        "*".join(["n"] * 99),
        "*".join(["(a + b + c + d)"] * 10),
    ],
)
def test_text_that_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|missing"):
        parse(text)


def test_room_for_either_of_two_sizes_holds_both() -> None:
    """Also of a minimum and what it is of: their difference is an atom that is never positive."""
    sizes = [N, M, least(N, M), N + 3, 2 * N, (N + 1) // 2, least(N, 4), N * M, 64]
    for one, other in itertools.product(sizes, repeat=2):
        room = room_for_either(one, other)
        for numbers in itertools.product((0, 1, 2, 7, 100), repeat=2):
            values = dict(zip("nm", numbers, strict=True))
            assert evaluate(room, values) >= max(evaluate(x, values) for x in (one, other))
