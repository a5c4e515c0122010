"""Functions of sizes that a call tells, compared with the same functions of known sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import nets
from nets.frontend.calls.lowered import Lowered
from nets.frontend.pytree import flatten
from nets.ir.printer import print_module
from tests.property.results import assert_same

SIZES = (0, 1, 2, 3, 31, 33, 64, 257)

_KINDS = {"f": "f32", "d": "f64", "p": "f32", "i": "i64", "b": "bool"}


def drawn(form: str, n: int, m: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """An array for a form such as ``"f: n, 3"``: f32, f64, positive f32, classes below 3, bool."""
    kind, shape = form.split(":")
    sizes = [eval(word, {"n": n, "m": m}) for word in shape.split(",") if word.strip()]
    match kind:
        case "i":
            return rng.integers(0, 3, sizes)
        case "b":
            return rng.integers(0, 2, sizes).astype(bool)
    array = rng.standard_normal(sizes)
    array = abs(array) + 0.5 if kind == "p" else array
    return array.astype("f8" if kind == "d" else "f4")


def specs(forms: Sequence[str], lowest: int = 0, multiple_of: int = 1) -> list[Any]:
    """The specs of these forms; n starts at ``lowest``, m is any size."""
    ranges = {"n": nets.dim(lowest, 4096, multiple_of=multiple_of), "m": nets.dim()}
    found = []
    for form in forms:
        kind, shape = form.split(":")
        used = {name: range for name, range in ranges.items() if name in shape}
        found.append(nets.spec(f"{_KINDS[kind]}[{shape}]", **used))
    return found


def outcome(lowered: Lowered, arrays: Sequence[Any]) -> list[Any] | type[Exception]:
    """The leaves of the reference's results, or the kind of its refusal."""
    try:
        leaves, _ = flatten(nets.evaluate(lowered, *arrays))
    except nets.errors.NetsError as error:
        return type(error)
    return [leaf.numpy() for leaf in leaves]


def assert_as_fixed(
    function: Callable[..., Any],
    forms: Sequence[str],
    sizes: Sequence[int] = SIZES,
    *,
    lowest: int = 0,
    multiple_of: int = 1,
    m: int = 4,
) -> None:
    """One program for all sizes has, at each, the bits of the program that is traced for it; and is
    refused where that one is. Its text reads back."""
    lowered = nets.trace(function).lower(*specs(forms, lowest, multiple_of))
    text = str(lowered)
    assert print_module(nets.parse_ir(text)) == text
    for n in sizes:
        if n < lowest or n % multiple_of:
            continue
        rng = np.random.default_rng(n)
        arrays = [drawn(form, n, m, rng) for form in forms]
        try:
            expected = outcome(nets.trace(function).lower(*arrays), arrays)
        except nets.errors.NetsError:
            assert isinstance(outcome(lowered, arrays), type), n
            continue
        found = outcome(lowered, arrays)
        assert not isinstance(expected, type)
        assert not isinstance(found, type), (n, found)
        assert_same(expected, found, f"n = {n}")


def energy(function: Callable[..., Any]) -> Callable[..., Any]:
    """Half the sum of squares of the floats that a function gives: a scalar to differentiate."""

    def total(*arguments: Any) -> Any:
        leaves = [nets.as_tensor(leaf) for leaf in flatten(function(*arguments))[0]]
        return sum(((x * x).sum() * 0.5 for x in leaves if x.dtype.kind == "f"), nets.zeros(()))

    return total


def gradient(function: Callable[..., Any], forms: Sequence[str]) -> Callable[..., Any]:
    """The value and the gradients by all float arguments of ``energy(function)``."""
    numbers = tuple(i for i, form in enumerate(forms) if form[0] in "fdp")
    return nets.value_and_grad(energy(function), argnums=numbers)
