"""The heat equation on a 256×256 grid, 50 explicit steps: a value of the end, and its gradient."""

from __future__ import annotations

import numpy as np

from benchmarks.workload import Bound, Builder, Run, Workload, normal

SIZE, STEPS, FLOW = 256, 50, 0.2


def in_nets(nets):
    def step(u):
        around = nets.pad(u, 1)
        near = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]
        return u + FLOW * (near - 4 * u)

    def energy(u):
        for _ in range(STEPS):
            u = step(u)
        return (u * u).sum()

    return nets.value_and_grad(energy)


def in_numpy(np):
    """The adjoint by hand: a step is symmetric, so its transpose is the step itself."""

    def step(u):
        around = np.pad(u, 1)
        near = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]
        return u + np.float32(FLOW) * (near - 4 * u)

    def value_and_grad(u):
        for _ in range(STEPS):
            u = step(u)
        value, ct = (u * u).sum(), 2 * u
        for _ in range(STEPS):
            ct = step(ct)
        return value, ct

    return value_and_grad


def in_jax(jax):
    jnp = jax.numpy

    def step(u, _):
        around = jnp.pad(u, 1)
        near = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]
        return u + FLOW * (near - 4 * u), None

    def energy(u):
        u, _ = jax.lax.scan(step, u, length=STEPS)
        return (u * u).sum()

    return jax.value_and_grad(energy)


def in_torch(torch, stage, u) -> Run:
    def step(u):
        around = torch.nn.functional.pad(u, (1, 1, 1, 1))
        near = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]
        return u + FLOW * (near - 4 * u)

    def energy(u):
        for _ in range(STEPS):
            u = step(u)
        return (u * u).sum()

    staged = stage(energy)
    u.requires_grad_()

    def run():
        value = staged(u)
        return value, torch.autograd.grad(value, u)

    return run


def in_numba(numba):
    """The adjoint by hand, as in NumPy; between two grids that have a margin of zeros."""

    def value_and_grad(start):
        here = np.zeros((SIZE + 2, SIZE + 2), np.float32)
        there = np.zeros((SIZE + 2, SIZE + 2), np.float32)
        here[1:-1, 1:-1] = start
        value = 0.0
        for round in range(2 * STEPS):
            if round == STEPS:
                for i in range(1, SIZE + 1):
                    for j in range(1, SIZE + 1):
                        value += here[i, j] * here[i, j]
                        here[i, j] *= 2
            for i in numba.prange(1, SIZE + 1):
                for j in range(1, SIZE + 1):
                    near = here[i - 1, j] + here[i + 1, j] + here[i, j - 1] + here[i, j + 1]
                    there[i, j] = here[i, j] + np.float32(FLOW) * (
                        near - np.float32(4) * here[i, j]
                    )
            here, there = there, here
        return value, here[1:-1, 1:-1].copy()

    return value_and_grad


WORKLOADS = [
    Workload(
        name="heat/256x256",
        what="50 steps of the heat equation on 256×256 float32: value and gradient",
        arguments=normal((SIZE, SIZE)),
        systems={
            "nets": in_nets,
            "numpy": in_numpy,
            "jax": in_jax,
            "torch": Builder(in_torch),
            "numba": in_numba,
        },
        bound=Bound(flops=2.0 * STEPS * 7 * SIZE * SIZE, reads=4.0 * SIZE**2, writes=4.0 * SIZE**2),
        tolerance=1e-4,
    )
]
