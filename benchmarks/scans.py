"""Loops that stay loops: the gradient of 600 steps of an orbit with 60 carries, and a fixed point.

The orbit is that of ten bodies, whose positions and velocities are carried as 60 numbers; all that
a step does is some hundred operations on single numbers. (After issue 40150 of JAX.)
"""

from __future__ import annotations

import numpy as np

from benchmarks.workload import Bound, Workload

BODIES, STEPS, TIME = 10, 600, 1e-3
ROOTS = 4096


def bodies(rng: np.random.Generator):
    """Positions, velocities and masses: 10 numbers per body and axis."""
    return (
        tuple(map(np.float64, rng.normal(size=3 * BODIES) * 3)),
        tuple(map(np.float64, rng.normal(size=3 * BODIES) * 0.1)),
    )


def leap(sqrt, places, speeds):
    """A step: every body is drawn to the next three; x, y, z of body i at i, i + 10, i + 20."""
    pull = [0.0] * (3 * BODIES)
    for i in range(BODIES):
        for j in ((i + 1) % BODIES, (i + 2) % BODIES, (i + 3) % BODIES):
            apart = [places[j + BODIES * a] - places[i + BODIES * a] for a in range(3)]
            square = apart[0] * apart[0] + apart[1] * apart[1] + apart[2] * apart[2] + 0.01
            factor = 1.0 / (square * sqrt(square))
            for a in range(3):
                pull[i + BODIES * a] = pull[i + BODIES * a] + factor * apart[a]
                pull[j + BODIES * a] = pull[j + BODIES * a] - factor * apart[a]
    speeds = tuple(v + TIME * p for v, p in zip(speeds, pull, strict=True))
    return tuple(x + TIME * v for x, v in zip(places, speeds, strict=True)), speeds


def energy(places, speeds):
    total = 0.0
    for x, v in zip(places, speeds, strict=True):
        total = total + 0.5 * v * v + 0.1 * x * x
    return total


def orbit_in_nets(nets):
    def last(places, speeds):
        step = lambda carry, _: (leap(nets.sqrt, *carry), None)  # noqa: E731
        return energy(*nets.scan(step, (places, speeds), None, length=STEPS)[0])

    return nets.value_and_grad(last)


def orbit_in_jax(jax):
    def last(places, speeds):
        step = lambda carry, _: (leap(jax.numpy.sqrt, *carry), None)  # noqa: E731
        return energy(*jax.lax.scan(step, (places, speeds), None, length=STEPS)[0])

    return jax.value_and_grad(last)


def root_in_nets(nets):
    def root(x):
        def improve(state):
            guess, _ = state
            better = 0.5 * (guess + x / guess)
            return better, nets.max(nets.abs(better - guess))

        start = (nets.ones(x.shape, x.dtype), nets.asarray(1.0))
        return nets.while_loop(lambda state: state[1] > 1e-9, improve, start)[0]

    return root


def root_in_jax(jax):
    jnp = jax.numpy

    def root(x):
        def improve(state):
            guess, _ = state
            better = 0.5 * (guess + x / guess)
            return better, jnp.max(jnp.abs(better - guess))

        start = (jnp.ones(x.shape, x.dtype), jnp.asarray(1.0, x.dtype))
        return jax.lax.while_loop(lambda state: state[1] > 1e-9, improve, start)[0]

    return root


def small_in_nets(nets):
    def loss(xs, w):
        def step(carry, _):
            first, *others = carry
            moved = [x + TIME * nets.sin(w * y) for x, y in zip(others, carry, strict=False)]
            return (first + TIME * others[-1], *moved), None

        last = nets.scan(step, xs, None, length=STEPS)[0]
        total = last[0].sum()
        for x in last[1:]:
            total = total + (x * x).sum()
        return total

    return nets.value_and_grad(loss, argnums=(0, 1))


def small_in_jax(jax):
    def loss(xs, w):
        def step(carry, _):
            first, *others = carry
            moved = [x + TIME * jax.numpy.sin(w * y) for x, y in zip(others, carry, strict=False)]
            return (first + TIME * others[-1], *moved), None

        last = jax.lax.scan(step, xs, None, length=STEPS)[0]
        total = last[0].sum()
        for x in last[1:]:
            total = total + (x * x).sum()
        return total

    return jax.value_and_grad(loss, argnums=(0, 1))


def small(rng: np.random.Generator):
    return tuple(rng.normal(size=8).astype("f4") for _ in range(60)), np.float32(0.5)


WORKLOADS = [
    Workload(
        name="scan/600x60",
        what="600 steps of an orbit with 60 numbers carried, float64: value and gradient",
        arguments=bodies,
        systems={"nets": orbit_in_nets, "jax": orbit_in_jax},
        bound=Bound(flops=600 * 30 * 60.0, dtype="float64"),
        tolerance=1e-8,
    ),
    Workload(
        name="scan/600x60x8",
        what="600 steps with 60 carries of 8 float32: value and gradient",
        arguments=small,
        systems={"nets": small_in_nets, "jax": small_in_jax},
        bound=Bound(flops=600 * 60 * 8 * 40.0),
        tolerance=1e-4,
    ),
    Workload(
        name="while/root",
        what="Newton's steps for 4096 square roots until they stand still, float64",
        arguments=lambda rng: (rng.uniform(1, 100, ROOTS),),
        systems={"nets": root_in_nets, "jax": root_in_jax},
        bound=Bound(flops=10 * 6.0 * ROOTS, reads=8.0 * ROOTS, writes=8.0 * ROOTS, dtype="float64"),
        tolerance=1e-9,
    ),
]
