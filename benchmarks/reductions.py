"""Sums, means, variances and maxima of 16 M float32, over all, over rows and over columns."""

from __future__ import annotations

import numpy as np

from benchmarks.workload import Bound, Workload

SIZE = 4096
AXES = {"all": None, "rows": 1, "columns": 0}


def in_nets(name, axis):
    return lambda nets: lambda x: getattr(nets, name)(x, axis=axis)


def in_numpy(name, axis):
    return lambda np: lambda x: getattr(np, name)(x, axis=axis)


def in_jax(name, axis):
    return lambda jax: lambda x: getattr(jax.numpy, name)(x, axis=axis)


def in_torch(name, axis):
    axes = (0, 1) if axis is None else (axis,)
    if name == "var":
        return lambda torch: lambda x: torch.var(x, dim=axes, correction=0)
    if name == "max":
        return lambda torch: lambda x: torch.amax(x, dim=axes)
    return lambda torch: lambda x: getattr(torch, name)(x, dim=axes)


def matrix(rng: np.random.Generator):
    return (rng.uniform(0, 1, (SIZE, SIZE)).astype("float32"),)


def reduction(name: str, over: str) -> Workload:
    """One reduction of a 4096×4096 matrix."""
    written = {"nets": in_nets, "numpy": in_numpy, "jax": in_jax, "torch": in_torch}
    return Workload(
        name=f"{name}/{over}",
        what=f"{name} over {over} of 4096×4096 float32",
        arguments=matrix,
        systems={system: write(name, AXES[over]) for system, write in written.items()},
        bound=Bound(
            flops=(3.0 if name == "var" else 1.0) * SIZE * SIZE,
            reads=4.0 * SIZE * SIZE,
            writes=0.0 if over == "all" else 4.0 * SIZE,
        ),
        tolerance=1e-4,
    )


WORKLOADS = [reduction(name, over) for name in ("sum", "mean", "var", "max") for over in AXES]
