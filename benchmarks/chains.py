"""Chains of elementwise operations: what fusion saves is the trips to memory between them."""

from __future__ import annotations

import numpy as np

from benchmarks.workload import Array, Bound, Builder, Run, Workload


def chain_in_nets(nets):
    def chain(x, y):
        a = x * y + 0.5
        b = nets.maximum(a, -a) - x
        c = nets.minimum(b * b, 1.0)
        return c * y

    return chain


def chain_in_numpy(np):
    def chain(x, y):
        a = x * y + np.float32(0.5)
        b = np.maximum(a, -a) - x
        c = np.minimum(b * b, np.float32(1.0))
        return c * y

    return chain


def chain_in_jax(jax):
    def chain(x, y):
        a = x * y + 0.5
        b = jax.numpy.maximum(a, -a) - x
        c = jax.numpy.minimum(b * b, 1.0)
        return c * y

    return chain


def chain_in_torch(torch):
    def chain(x, y):
        a = x * y + 0.5
        b = torch.maximum(a, -a) - x
        c = torch.clamp(b * b, max=1.0)
        return c * y

    return chain


def chain_in_numba(numba):
    def chain(x, y):
        out = np.empty_like(x)
        for i in numba.prange(x.size):
            a = x[i] * y[i] + np.float32(0.5)
            b = max(a, -a) - x[i]
            c = min(b * b, np.float32(1.0))
            out[i] = c * y[i]
        return out

    return chain


def gradient_in_nets(nets):
    chain = chain_in_nets(nets)
    return nets.grad(lambda x, y: chain(x, y).sum(), argnums=(0, 1))


def gradient_in_jax(jax):
    chain = chain_in_jax(jax)
    return jax.grad(lambda x, y: chain(x, y).sum(), argnums=(0, 1))


def gradient_in_torch(torch, stage, x, y) -> Run:
    total = stage(lambda x, y: chain_in_torch(torch)(x, y).sum())
    inputs = (x.requires_grad_(), y.requires_grad_())
    return lambda: torch.autograd.grad(total(*inputs), inputs)


def numbers(size: int):
    """Two arrays of numbers from -1 to 1."""

    def make(rng: np.random.Generator) -> tuple[Array, ...]:
        return tuple(rng.uniform(-1, 1, size).astype("float32") for _ in range(2))

    return make


def chain(name: str, size: int) -> Workload:
    """The chain on so many elements."""
    return Workload(
        name=f"chain/{name}",
        what=f"8 elementwise operations on {size} float32 and their constants",
        arguments=numbers(size),
        systems={
            "nets": chain_in_nets,
            "numpy": chain_in_numpy,
            "jax": chain_in_jax,
            "torch": chain_in_torch,
            "numba": chain_in_numba,
        },
        bound=Bound(flops=8.0 * size, reads=8.0 * size, writes=4.0 * size),
    )


def gradient(name: str, size: int) -> Workload:
    """Its gradient."""
    return Workload(
        name=f"chain_grad/{name}",
        what=f"the gradient of the sum of the chain on {size} float32",
        arguments=numbers(size),
        systems={
            "nets": gradient_in_nets,
            "jax": gradient_in_jax,
            "torch": Builder(gradient_in_torch),
        },
        bound=Bound(flops=20.0 * size, reads=8.0 * size, writes=8.0 * size),
    )


WORKLOADS = [chain("1M", 1 << 20), chain("16M", 1 << 24), gradient("16M", 1 << 24)]
