"""Factorisations and solves of many small matrices, and of single larger ones, in float64.

A batch holds about as much work whatever the order of its matrices, so that a call costs little
beside it; the time of a matrix is that of the call over the number of them.
"""

from __future__ import annotations

import numpy as np

from benchmarks.workload import Bound, Workload

BATCHES = {3: 8192, 8: 2048, 16: 512, 32: 128, 100: 16, 256: 2, 512: 1}
"""How many matrices of an order stand in a batch."""

SPECTRAL = (3, 8, 16, 32, 100)
"""Orders for eigenvalues and singular values."""


def positive(order):
    """Symmetric and positive definite matrices, and right-hand sides."""

    def arguments(rng: np.random.Generator):
        factors = rng.normal(size=(BATCHES[order], order, order))
        matrices = factors @ factors.swapaxes(1, 2) / order + np.eye(order)
        return matrices, rng.normal(size=(BATCHES[order], order, 1))

    return arguments


def matrices(order):
    return lambda rng: positive(order)(rng)[:1]


def everywhere(write):
    """The systems, which all have these functions in a module ``linalg``."""
    return {
        "nets": lambda nets: write(nets.linalg),
        "numpy": lambda np: write(np.linalg),
        "jax": lambda jax: write(jax.numpy.linalg),
        "torch": lambda torch: write(torch.linalg),
    }


def gradient_of_cholesky(gradient, linalg):
    return gradient(lambda a: linalg.cholesky(a).sum())


def differentiable(write):
    return {
        "nets": lambda nets: write(nets.grad, nets.linalg),
        "jax": lambda jax: write(jax.grad, jax.numpy.linalg),
        "torch": lambda torch: write(torch.func.grad, torch.linalg),
    }


def workload(name, order, what, flops, systems, arguments):
    count = BATCHES[order]
    return Workload(
        name=f"linalg/{name} {order}",
        what=f"{what}, {count} of order {order}, float64",
        arguments=arguments,
        systems=systems,
        bound=Bound(flops=count * flops * order**3, reads=8.0 * count * order**2, dtype="float64"),
        tolerance=1e-9,
    )


WORKLOADS = [
    *(
        workload(
            *("cholesky", n, "Cholesky factors", 1 / 3),
            everywhere(lambda linalg: linalg.cholesky),
            matrices(n),
        )
        for n in BATCHES
    ),
    *(
        workload(
            *("solve", n, "solutions of linear equations", 2 / 3),
            everywhere(lambda linalg: linalg.solve),
            positive(n),
        )
        for n in BATCHES
    ),
    *(
        workload(
            *("eigenvalues", n, "eigenvalues of symmetric matrices", 4 / 3),
            everywhere(lambda linalg: lambda a: linalg.eigh(a)[0]),
            matrices(n),
        )
        for n in SPECTRAL
    ),
    *(
        workload(
            *("singular", n, "singular values, with their vectors", 8),
            everywhere(lambda linalg: lambda a: linalg.svd(a)[1]),
            matrices(n),
        )
        for n in SPECTRAL
    ),
    *(
        workload(
            *("cholesky gradient", n, "gradients of Cholesky factors", 1),
            differentiable(gradient_of_cholesky),
            matrices(n),
        )
        for n in (3, 8, 16, 32)
    ),
]
