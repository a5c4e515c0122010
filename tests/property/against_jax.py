"""Random compositions of transforms over random functions, in nets and in JAX.

``python -m tests.property.against_jax FIRST COUNT`` runs a campaign, where JAX is installed. For
each seed there is a function of a vector, of arithmetic, slices, products, loops and branches, and
up to three transforms of it, each of which makes another such function. Both libraries run the same
Python on float64, so the numbers are to agree as far as rounding goes; nets has them traced or not.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Final

import numpy as np

import nets

SIZE: Final = 4
DEEPEST: Final = 3
LARGEST: Final = 1e6
"""Of values behind which rounding has grown beyond what is compared."""

Vector = Any
Function = Callable[[Vector], Vector]


def of_nets() -> SimpleNamespace:
    """What programs here are written with."""
    names = "sin cos tanh exp sqrt log1p where maximum concatenate stack arange flip"
    names += " vmap grad jvp vjp jacfwd jacrev hessian hvp linearize checkpoint"
    names += " scan fori_loop cond asarray"
    return SimpleNamespace(**{name: getattr(nets, name) for name in names.split()})


def of_jax() -> SimpleNamespace:
    """The same of JAX; ImportError where there is none."""
    import jax

    jax.config.update("jax_enable_x64", True)
    # Operation by operation, each compiled once; whole loops would be compiled for every program.
    jax.config.update("jax_disable_jit", True)
    names = "sin cos tanh exp sqrt log1p where maximum concatenate stack arange flip asarray"
    found = {name: getattr(jax.numpy, name) for name in names.split()}
    names = "vmap grad jvp vjp jacfwd jacrev hessian linearize checkpoint"
    found |= {name: getattr(jax, name) for name in names.split()}
    found |= {name: getattr(jax.lax, name) for name in ("scan", "fori_loop", "cond")}

    def hvp(f: Any, primals: Any, tangents: Any) -> Any:
        return jax.jvp(jax.grad(f), primals, tangents)[1]

    return SimpleNamespace(**found, hvp=hvp)


# ----------------------------------------------------------------------------- functions


def random_function(choose: random.Random, lib: Any) -> Function:
    """A smooth function of a vector that gives another one of its size."""
    steps = [choose.choice(STEPS)(choose) for _ in range(choose.randint(1, 4))]

    def function(x: Vector) -> Vector:
        for step in steps:
            x = step(lib, x)
        return x

    return function


Step = Callable[[Any, Vector], Vector]


def numbers(choose: random.Random, *shape: int) -> np.ndarray:
    count = int(np.prod(shape))
    return np.array([choose.uniform(-1, 1) for _ in range(count)]).reshape(shape)


def unary(choose: random.Random) -> Step:
    return choose.choice(
        [
            lambda lib, x: lib.sin(x * 1.5),
            lambda lib, x: lib.tanh(x) + 0.1 * x,
            lambda lib, x: lib.exp(-x * x),
            lambda lib, x: lib.sqrt(1.0 + x * x),
            lambda lib, x: lib.log1p(x * x) - x,
            lambda lib, x: x**3 / 3 - x,
        ]
    )


def product(choose: random.Random) -> Step:
    matrix = numbers(choose, SIZE, SIZE)
    if choose.randrange(2):
        return lambda lib, x: lib.asarray(matrix) @ x
    return lambda lib, x: x @ lib.asarray(matrix) + x[0] * x


def neighbours(choose: random.Random) -> Step:
    first = choose.randrange(1, SIZE)
    return choose.choice(
        [
            lambda lib, x: lib.concatenate([x[first:], x[:first]]) * x,
            lambda lib, x: lib.flip(x, 0) / (1.0 + x * x),
            lambda lib, x: x - x.mean() + lib.stack([x[first], *[x[0]] * (SIZE - 1)]),
            lambda lib, x: x * (x * x).sum() * 0.3,
            lambda lib, x: lib.where(x > lib.flip(x, 0), x, lib.sin(x)),
            lambda lib, x: lib.maximum(x, lib.flip(x, 0) * 0.7) * x[first],
            lambda lib, x: x[np.array([1, 0, 3, 1])] * 0.5 + x,
        ]
    )


def loop(choose: random.Random) -> Step:
    inner, length = choose.choice((unary, product, neighbours))(choose), choose.randint(1, 4)
    rows = numbers(choose, length, SIZE)

    def scanned(lib: Any, x: Vector) -> Vector:
        def body(carry: Any, row: Any) -> Any:
            carry = 0.5 * inner(lib, carry) + 0.3 * row
            return carry, carry[0] * row

        carry, outs = lib.scan(body, x, lib.asarray(rows))
        return carry + outs.sum(axis=0)

    def counted(lib: Any, x: Vector) -> Vector:
        return lib.fori_loop(0, length, lambda i, c: 0.6 * inner(lib, c) + 0.1 * i, x)

    return choose.choice((scanned, counted))


def branch(choose: random.Random) -> Step:
    one, other = unary(choose), neighbours(choose)
    return lambda lib, x: lib.cond(
        x.sum() > 0.1, lambda x: one(lib, x), lambda x: other(lib, x) * 2.0, x
    )


STEPS: Final = (unary, unary, product, neighbours, neighbours, loop, branch)


# ---------------------------------------------------------------------------- transforms


def transformed(choose: random.Random, lib: Any, f: Function) -> tuple[str, Function]:
    """A transform of a function, as another function of a vector; and its name."""
    v, rows = numbers(choose, SIZE), numbers(choose, 3, SIZE)

    def asked(x: Vector) -> Vector:
        return lib.asarray(v) + lib.cos(x)

    def vmapped(x: Vector) -> Vector:
        return lib.vmap(f)(x * lib.asarray(rows)).mean(axis=0)

    def vmapped_out(x: Vector) -> Vector:
        many = lib.vmap(lambda x, a: f(x * a), in_axes=(None, 1), out_axes=1)
        return many(x, lib.asarray(rows.T)).sum(axis=1)

    def repeated(x: Vector) -> Vector:
        return lib.scan(lambda c, _: (0.5 * f(c) + 0.2 * c, None), x, None, length=2)[0]

    def either(x: Vector) -> Vector:
        return lib.cond(x.sum() > 0, f, lambda x: f(-0.5 * x), x)

    transforms: dict[str, Function] = {
        "grad": lambda x: lib.grad(lambda x: (f(x) * lib.asarray(v)).sum())(x),
        "jvp": lambda x: lib.jvp(f, (x,), (asked(x),))[1],
        "vjp": lambda x: lib.vjp(f, x)[1](asked(x))[0],
        "linearize": lambda x: lib.linearize(f, x)[1](asked(x)),
        "vmap": vmapped,
        "vmap with axes": vmapped_out,
        "jacfwd": lambda x: lib.jacfwd(f)(x) @ asked(x),
        "jacrev": lambda x: asked(x) @ lib.jacrev(f)(x),
        "hessian": lambda x: lib.hessian(lambda x: f(x).sum())(x) @ asked(x),
        "hvp": lambda x: lib.hvp(lambda x: f(x).sum(), (x,), (asked(x),)),
        "checkpoint": lambda x: lib.checkpoint(f)(x),
        "scan": repeated,
        "cond": either,
    }
    name = choose.choice(list(transforms))
    return name, transforms[name]


def composed(seed: int, lib: Any) -> tuple[list[str], Function]:
    """The function of a seed, and the names of its transforms, the inner one first."""
    choose = random.Random(seed)
    f, names = random_function(choose, lib), []
    for _ in range(choose.randint(1, DEEPEST)):
        name, f = transformed(choose, lib, f)
        names.append(name)
    return names, f


def point(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, SIZE)


# ------------------------------------------------------------------------------ campaign


def differences(seed: int, jax: Any) -> list[str]:
    """What nets gives otherwise than JAX for a seed, traced and not."""
    x = point(seed)
    names, theirs = composed(seed, jax)
    expected = np.asarray(theirs(jax.asarray(x)))
    if not np.all(np.abs(expected) < LARGEST):
        return []
    _, ours = composed(seed, of_nets())
    wrong = []
    for word, found in (("eager", ours(nets.Tensor(x))), ("traced", nets.trace(ours)(x))):
        scale = 1 + np.abs(expected).max()
        if not np.allclose(np.asarray(found), expected, rtol=1e-7, atol=1e-9 * scale):
            wrong.append(f"{seed} {word} {names}: {np.asarray(found)}, not {expected}")
    return wrong


def main(arguments: Sequence[str]) -> None:
    first, count = map(int, arguments)
    jax, wrong = of_jax(), 0
    for seed in range(first, first + count):
        try:
            found = differences(seed, jax)
        except Exception as error:  # a campaign goes on
            found = [f"{seed} {composed(seed, of_nets())[0]}: {type(error).__name__}: {error}"]
        for line in found:
            print(line, flush=True)
        wrong += bool(found)
    print(f"{count} compositions from {first} on: {wrong} differ")


if __name__ == "__main__":
    main(sys.argv[1:])
