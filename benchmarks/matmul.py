"""Matrix products: square ones from 32 to 2048, skinny and odd ones, and a batch of small ones."""

from __future__ import annotations

from benchmarks.workload import Bound, Workload, normal


def in_nets(nets):
    return lambda x, y: x @ y


def in_numpy(np):
    return lambda x, y: x @ y


def in_jax(jax):
    return lambda x, y: x @ y


def in_torch(torch):
    return lambda x, y: x @ y


SYSTEMS = {"nets": in_nets, "numpy": in_numpy, "jax": in_jax, "torch": in_torch}


def product(m: int, k: int, n: int, dtype: str = "float32", batch: int = 0) -> Workload:
    """The product of an m×k matrix and a k×n matrix, or of a batch of them."""
    prefix = (batch,) if batch else ()
    size = (batch or 1) * (8 if dtype == "float64" else 4)
    kind = "d" if dtype == "float64" else "s"
    shape = str(m) if m == k == n else f"{m}x{k}x{n}"
    what = f"{m}×{k} times {k}×{n}, {dtype}" + (f", a batch of {batch}" if batch else "")
    return Workload(
        name=f"{kind}gemm/{shape}" + (f" x{batch}" if batch else ""),
        what=what,
        arguments=normal((*prefix, m, k), (*prefix, k, n), dtype=dtype),
        systems=SYSTEMS,
        bound=Bound(
            flops=2.0 * (batch or 1) * m * k * n,
            reads=size * (m * k + k * n),
            writes=size * m * n,
            dtype=dtype,
        ),
        tolerance=1e-5 if dtype == "float32" else 1e-13,
    )


WORKLOADS = [
    *(product(n, n, n) for n in (32, 64, 128, 256, 512, 1024, 2048)),
    *(product(n, n, n, "float64") for n in (512, 1024)),
    product(1, 1024, 1024),
    product(8, 1024, 1024),
    product(128, 784, 512),
    product(1000, 784, 10),
    product(37, 53, 91),
    product(16, 16, 16, batch=1024),
]
