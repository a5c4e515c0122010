"""Sorting, the largest elements, and sums by index."""

from __future__ import annotations

import numpy as np

from benchmarks.workload import Bound, Workload, normal

ELEMENTS = 1 << 20
SEGMENTS = 1 << 12


def sort_along(shape):
    """The systems' sorts along the last axis."""
    return Workload(
        name=f"order/sort {'x'.join(map(str, shape))}",
        what=f"sort along the last axis of {'×'.join(map(str, shape))} float32",
        arguments=normal(shape),
        systems={
            "nets": lambda nets: nets.sort,
            "numpy": lambda np: np.sort,
            "jax": lambda jax: jax.numpy.sort,
            "torch": lambda torch: lambda x: torch.sort(x)[0],
        },
        bound=Bound(reads=4.0 * np.prod(shape), writes=4.0 * np.prod(shape)),
        tolerance=0.0,
    )


def argsort_along(shape):
    return Workload(
        name=f"order/argsort {'x'.join(map(str, shape))}",
        what=f"stable argsort along the last axis of {'×'.join(map(str, shape))} float32",
        arguments=normal(shape),
        systems={
            "nets": lambda nets: nets.argsort,
            "numpy": lambda np: lambda x: np.argsort(x, kind="stable"),
            "jax": lambda jax: jax.numpy.argsort,
            "torch": lambda torch: lambda x: torch.argsort(x, stable=True),
        },
        bound=Bound(reads=4.0 * np.prod(shape), writes=8.0 * np.prod(shape)),
        tolerance=0.0,
    )


def along(name, shape, axis, dtype):
    """The systems' ``cumsum`` or ``cumprod``."""
    size = np.dtype(dtype).itemsize
    words = "×".join(map(str, shape))
    return Workload(
        name=f"order/{name} {'x'.join(map(str, shape))} {axis} {dtype}",
        what=f"{name} along axis {axis} of {words} {dtype}",
        arguments=lambda rng: (1 + 1e-6 * rng.normal(size=shape).astype(dtype),),
        systems={
            "nets": lambda nets: lambda x: getattr(nets, name)(x, axis),
            "numpy": lambda np: lambda x: getattr(np, name)(x, axis),
            "jax": lambda jax: lambda x: getattr(jax.numpy, name)(x, axis),
            "torch": lambda torch: lambda x: getattr(torch, name)(x, axis),
        },
        bound=Bound(reads=float(size * np.prod(shape)), writes=float(size * np.prod(shape))),
        tolerance=1e-4,
    )


def scattered(rng: np.random.Generator):
    """Rows, and where each is added."""
    rows = rng.normal(size=(ELEMENTS // 16, 16)).astype("float32")
    return rows, rng.integers(0, SEGMENTS, ELEMENTS // 16)


WORKLOADS = [
    *(sort_along(shape) for shape in ((ELEMENTS,), (32768, 32), (8192, 128), (1024, 1024))),
    *(argsort_along(shape) for shape in ((ELEMENTS,), (1024, 1024))),
    along("cumsum", (ELEMENTS,), 0, "float32"),
    *(along("cumsum", (1024, 1000), axis, "float32") for axis in (0, 1)),
    *(along("cumprod", (1024, 1000), axis, "float64") for axis in (0, 1)),
    Workload(
        name="order/bincount",
        what=f"how often each of {SEGMENTS // 4} numbers is there among {ELEMENTS}",
        arguments=lambda rng: (rng.integers(0, SEGMENTS // 4, ELEMENTS),),
        systems={
            "nets": lambda nets: lambda x: nets.bincount(x, length=SEGMENTS // 4),
            "numpy": lambda np: lambda x: np.bincount(x, minlength=SEGMENTS // 4),
            "jax": lambda jax: lambda x: jax.numpy.bincount(x, length=SEGMENTS // 4),
            "torch": lambda torch: lambda x: torch.bincount(x, minlength=SEGMENTS // 4),
        },
        bound=Bound(reads=8.0 * ELEMENTS, writes=8.0 * SEGMENTS / 4),
        tolerance=0.0,
    ),
    Workload(
        name="order/topk 1024x1024",
        what="the 16 largest of each of 1024 rows of 1024 float32",
        arguments=normal((1024, 1024)),
        systems={
            "nets": lambda nets: lambda x: nets.topk(x, 16)[0],
            "jax": lambda jax: lambda x: jax.lax.top_k(x, 16)[0],
            "torch": lambda torch: lambda x: torch.topk(x, 16)[0],
        },
        bound=Bound(reads=4.0 * ELEMENTS, writes=4.0 * 16 * 1024),
        tolerance=0.0,
    ),
    Workload(
        name="order/segment_sum 65536x16",
        what=f"65,536 rows of 16 float32 added up in {SEGMENTS} segments",
        arguments=scattered,
        systems={
            "nets": lambda nets: lambda x, i: nets.segment_sum(x, i, SEGMENTS),
            "jax": lambda jax: lambda x, i: jax.ops.segment_sum(x, i, SEGMENTS),
            "torch": lambda torch: lambda x, i: torch.zeros(SEGMENTS, 16).index_add(0, i, x),
        },
        bound=Bound(reads=4.0 * ELEMENTS + 8.0 * ELEMENTS / 16, writes=4.0 * 16 * SEGMENTS),
        tolerance=1e-4,
    ),
]
