"""Mathematical functions on arrays in the cache (64 K) and beyond (1 M), and gelu with gradient."""

from __future__ import annotations

import numpy as np

from benchmarks.workload import Arguments, Bound, Builder, Run, Workload

COST = {"exp": 20, "log": 24, "tanh": 26, "sin": 24, "erf": 36, "sigmoid": 24, "gelu": 40}
"""Arithmetic of a good vector version, per element (an FMA counts two); more for float64."""

RANGES = {"log": (0.01, 100.0), "sin": (-10.0, 10.0)}
"""Where the arguments lie, when not from -4 to 4."""


def in_nets(name):
    return lambda nets: getattr(nets, name)


def in_numpy(name):
    """NumPy has neither erf nor gelu."""
    if name == "sigmoid":
        return lambda np: lambda x: 1 / (1 + np.exp(-x))
    return lambda np: getattr(np, name)


def in_jax(name):
    if name == "erf":
        return lambda jax: jax.scipy.special.erf
    if name == "sigmoid":
        return lambda jax: jax.nn.sigmoid
    if name == "gelu":
        return lambda jax: lambda x: jax.nn.gelu(x, approximate=False)
    return lambda jax: getattr(jax.numpy, name)


def in_torch(name):
    if name == "gelu":
        return lambda torch: torch.nn.functional.gelu
    return lambda torch: getattr(torch, name)


def function(name: str, size: int, dtype: str) -> Workload:
    """One function on ``size`` elements."""
    wide = dtype == "float64"
    systems = {"nets": in_nets(name), "jax": in_jax(name), "torch": in_torch(name)}
    if name not in ("erf", "gelu"):
        systems["numpy"] = in_numpy(name)
    item = 8 if wide else 4
    return Workload(
        name=f"{name}/{'64K' if size == 1 << 16 else '1M'} {'f64' if wide else 'f32'}",
        what=f"{name} of {size} {dtype}",
        arguments=uniform(*RANGES.get(name, (-4.0, 4.0)), size, dtype),
        systems=systems,
        bound=Bound(
            flops=float(COST[name] * (2 if wide else 1) * size),
            reads=float(item * size),
            writes=float(item * size),
            dtype=dtype,
        ),
        tolerance=1e-12 if wide else 2e-6,
    )


def uniform(low: float, high: float, size: int, dtype: str) -> Arguments:
    """One array of numbers in a range."""

    def make(rng: np.random.Generator):
        return (rng.uniform(low, high, size).astype(dtype),)

    return make


def gelu_gradient_in_nets(nets):
    return nets.value_and_grad(lambda x: nets.gelu(x).sum())


def gelu_gradient_in_jax(jax):
    return jax.value_and_grad(lambda x: jax.nn.gelu(x, approximate=False).sum())


def gelu_gradient_in_torch(torch, stage, x) -> Run:
    total = stage(lambda x: torch.nn.functional.gelu(x).sum())
    x.requires_grad_()

    def run():
        value = total(x)
        return value, torch.autograd.grad(value, x)

    return run


GELU_GRADIENT = Workload(
    name="gelu_grad/1M",
    what="the sum of gelu of 1 M float32, and its gradient",
    arguments=uniform(-4.0, 4.0, 1 << 20, "float32"),
    systems={
        "nets": gelu_gradient_in_nets,
        "jax": gelu_gradient_in_jax,
        "torch": Builder(gelu_gradient_in_torch),
    },
    bound=Bound(flops=70.0 * (1 << 20), reads=4.0 * (1 << 20), writes=4.0 * (1 << 20)),
    tolerance=1e-4,
)

WORKLOADS = [
    *(
        function(name, size, dtype)
        for name in COST
        for dtype in ("float32", "float64")
        for size in (1 << 16, 1 << 20)
    ),
    GELU_GRADIENT,
]
