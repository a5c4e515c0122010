"""Random programs of reductions, products and broadcasts over tensors with one or two sizes that a
call tells, and whether native code of them has the bits of code for known sizes.

``python -m tests.property.open_reductions FIRST COUNT`` holds so many programs to it, and says
which differ.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

import nets
from nets.errors import NetsError
from nets.frontend.pytree import flatten
from tests.property.open_sizes import drawn, gradient, specs
from tests.property.results import same_bits

SIZES = (0, 1, 2, 3, 7, 16, 31, 33, 64, 257)
"""Around the rows, lanes and blocks of the trees of sums."""

SMALL = (0, 1, 2, 33)
"""Of both sizes of a program with two."""

Tensor = Any
Program = Callable[..., Any]
Array = np.ndarray[Any, Any]


def forms_of(rng: random.Random) -> list[str]:
    """What a program takes: one tensor of rank 2 to 4, of which an axis or two are open."""
    rank = rng.choice([2, 3, 3, 4])
    sizes: list[str] = [str(rng.choice([1, 2, 3, 5, 17])) for _ in range(rank)]
    sizes[rng.randrange(rank)] = "n"
    if rng.random() < 0.4:
        sizes[rng.randrange(rank)] = rng.choice(["n", "m", "m", "2*n", "n + 1"])
    if not any(size == "n" for size in sizes):
        sizes[rng.randrange(rank)] = "n"
    return [f"{rng.choice('ffd')}: {', '.join(sizes)}"]


def axes_of(x: Tensor, rng: random.Random) -> tuple[int, ...]:
    """Some axes, one at least."""
    return tuple(sorted(rng.sample(range(x.ndim), rng.randint(1, x.ndim))))


def _reduced(x: Tensor, rng: random.Random) -> Tensor:
    function = rng.choice([nets.sum, nets.sum, nets.mean, nets.var, nets.any, _extreme])
    axes, keeps = axes_of(x, rng), rng.random() < 0.6
    found = nets.astype(function(x, axes, keepdims=keeps), x.dtype)
    return x + found if keeps and rng.random() < 0.7 else found


def _extreme(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    return nets.max(x, axes, keepdims, initial=-4.0)


def _normed(x: Tensor, rng: random.Random) -> Tensor:
    axes = axes_of(x, rng)
    return (x - x.mean(axes, keepdims=True)) / (x.var(axes, keepdims=True) + 1)


def _softmax(x: Tensor, rng: random.Random) -> Tensor:
    return nets.softmax(x, rng.randrange(x.ndim))


def _turned(x: Tensor, rng: random.Random) -> Tensor:
    return nets.transpose(x, rng.sample(range(x.ndim), x.ndim))


def _spread(x: Tensor, rng: random.Random) -> Tensor:
    return nets.broadcast_to(nets.expand_dims(x, 1), (x.shape[0], rng.choice([1, 3]), *x.shape[1:]))


def _gram(x: Tensor, rng: random.Random) -> Tensor:
    if x.ndim < 2:
        return x * 2
    other = nets.swapaxes(x, -1, -2)
    return (x @ other if rng.random() < 0.5 else other @ x) * 0.1


def _against(x: Tensor, rng: random.Random) -> Tensor:
    """A product with weights, or with a vector of ones."""
    last = x.shape[-1]
    ones = nets.ones((last,) if rng.random() < 0.5 else (last, rng.choice([1, 2])), x.dtype)
    return x @ (ones * 0.3)


STEPS: Sequence[Callable[[Tensor, random.Random], Tensor]] = [
    _reduced,
    _reduced,
    _reduced,
    _normed,
    _softmax,
    _turned,
    _spread,
    _gram,
    _against,
    lambda x, r: nets.tanh(x) * r.choice([0.5, -2.0]),
    lambda x, r: x * x.shape[0] / (x.size + r.choice([0.0, 1.0])),
    lambda x, r: x / x.shape[r.randrange(x.ndim)],
    lambda x, r: nets.cumsum(x, r.randrange(x.ndim)) * 0.5,
    lambda x, r: nets.flip(x, r.randrange(x.ndim)) + x,
    lambda x, r: x - nets.norm(x, axis=r.randrange(x.ndim), keepdims=True),
    lambda x, r: x[1:] if r.random() < 0.5 else nets.where(x > 0, x, -x),
    lambda x, r: nets.logsumexp(x, r.randrange(x.ndim), keepdims=True) + x,
    lambda x, r: x.reshape(-1) if r.random() < 0.3 else x - x.sum(),
]


def program(seed: int) -> tuple[Program, list[str]]:
    """The program of that number, and the forms of what it takes."""
    rng = random.Random(seed)
    forms, steps = forms_of(rng), rng.randint(1, 4)

    def function(x: Tensor) -> Any:
        rng = random.Random(seed + 1)
        found = []
        for _ in range(steps):
            if x.ndim == 0:
                break
            x = rng.choice(STEPS)(x, rng)
            found.append(x)
        return x, found[0].sum(axes_of(found[0], rng)) if found[0].ndim else found[0]

    if seed % 3 == 0:
        return gradient(function, forms), forms
    return function, forms


def found_by(run: Callable[..., Any], arrays: Sequence[Array]) -> list[Array] | str:
    """The leaves of the results, or the kind of the refusal."""
    try:
        return [np.asarray(leaf) for leaf in flatten(run(*arrays))[0]]
    except NetsError as error:
        return type(error).__name__


def fixed(function: Program) -> Callable[..., Any]:
    """The function compiled for the sizes of each call."""
    return lambda *arrays: nets.trace(function).lower(*arrays).compile()(*arrays)


def differs(expected: list[Array] | str, found: list[Array] | str) -> str:
    """In what two outcomes differ; a NaN has a sign, too."""
    if isinstance(expected, str) or isinstance(found, str):
        # Which of the sizes is refused is told by other errors for known sizes.
        return "" if isinstance(expected, str) and isinstance(found, str) else "refused by one"
    for x, y in zip(expected, found, strict=True):
        if (x.shape, x.dtype) != (y.shape, y.dtype):
            return f"{x.dtype}{x.shape} and {y.dtype}{y.shape}"
        if x.tobytes() != y.tobytes():
            return "the sign of NaN" if same_bits(x, y) else "bits"
    return ""


def differences(
    function: Program, forms: Sequence[str], sizes: Sequence[int] = SIZES
) -> dict[tuple[int, int], str]:
    """Where native code for all sizes gives something else than code for one, by n and m."""
    run = nets.trace(function).lower(*specs(forms)).compile()
    has_two = any("m" in form.split(":")[1] for form in forms)
    few = [n for n in sizes if n in SMALL]
    found = {}
    for n, m in product(few, few) if has_two else [(n, 0) for n in sizes]:
        arrays = [drawn(form, n, m, np.random.default_rng(n)) for form in forms]
        what = differs(found_by(fixed(function), arrays), found_by(run, arrays))
        if what:
            found[n, m] = what
    return found


def campaign(first: int, count: int) -> None:
    """Hold programs to it, and say which differ."""
    wrong = 0
    for seed in range(first, first + count):
        function, forms = program(seed)
        found = differences(function, forms)
        if found:
            wrong += 1
            print(seed, *forms, found, flush=True)
    print(f"{count} programs, {wrong} of which differ")


if __name__ == "__main__":
    campaign(int(sys.argv[1]), int(sys.argv[2]))
