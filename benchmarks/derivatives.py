"""Derivatives that are matrices: of single examples, dense, and sparse.

``beam`` is clnlbeam, a problem of optimal control (Maurer and Mittelmann, 1991): x, t and u at
n + 1 points. Its constraints' Jacobian and the Hessian of its Lagrangian are what a solver of
optimal control asks for at each step. JAX has them by asdex, CasADi by generated C where that
compiles within minutes, else by its own virtual machine.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gradbench.names import JaxNames, TorchNames
from benchmarks.workload import Builder, Run, Workload, normal

MOST_COMPILED = 200
"""Points up to which C compilers take CasADi's code in less than a minute."""

# ------------------------------------------------------------------------------- dense


def examples(rng: np.random.Generator):
    """A network 64-128-10, and a batch."""
    shapes = (64, 128), (128,), (128, 10), (10,)
    weights = tuple(rng.normal(size=shape).astype("float32") * 0.1 for shape in shapes)
    images, labels = rng.normal(size=(64, 64)), rng.normal(size=(64, 10))
    return weights, images.astype("float32"), labels.astype("float32")


def gradients_of_examples(np):
    def loss(weights, x, y):
        w1, b1, w2, b2 = weights
        return ((np.tanh(x @ w1 + b1) @ w2 + b2 - y) ** 2).mean()

    return np.vmap(np.grad(loss), (None, 0, 0))


def dense_jacobian(np):
    """1,000 outputs of 16 inputs."""

    def outputs(x, w, v):
        return np.sin(w @ x) * (v @ np.tanh(x))

    return np.jacfwd(outputs)


def network_hessian(np):
    """Of a network of two layers by its 8 inputs, as residuals of physics ask for it."""

    def network(x, w1, b1, w2):
        return np.tanh(w1 @ x + b1) @ w2

    return np.hessian(network)


def written(write):
    """The systems of a workload that all write alike."""
    return {
        "nets": write,
        "jax": lambda jax: write(JaxNames(jax)),
        "torch": lambda torch: write(TorchNames(torch)),
    }


# ------------------------------------------------------------------------------ sparse


def constraints(sin, join, n, z):
    x, t, u = z[: n + 1], z[n + 1 : 2 * n + 2], z[2 * n + 2 :]
    h = 1 / n
    beam = x[1:] - x[:-1] - h / 2 * (sin(t[1:]) + sin(t[:-1]))
    return join(beam, t[1:] - t[:-1] - h / 2 * (u[1:] + u[:-1]))


def objective(cos, add, n, z):
    t, u = z[n + 1 : 2 * n + 2], z[2 * n + 2 :]
    h = 1 / n
    bending = 350 * h / 2 * (cos(t[1:]) + cos(t[:-1]))
    return add(h / 2 * (u[1:] ** 2 + u[:-1] ** 2) + bending)


def beam(n):
    """Variables and multipliers."""
    return normal((3 * (n + 1),), (2 * n,), dtype="float64")


def functions(np, n):
    """The constraints, and the Lagrangian."""

    def of_constraints(z):
        return constraints(np.sin, lambda a, b: np.concatenate([a, b]), n, z)

    def lagrangian(z, multipliers):
        total = objective(np.cos, lambda x: x.sum(), n, z)
        return total + (multipliers * of_constraints(z)).sum()

    return of_constraints, lagrangian


def beam_in_nets(n):
    def write(nets):
        of_constraints, lagrangian = functions(nets, n)
        jacobian, hessian = nets.sparse_jacobian(of_constraints), nets.sparse_hessian(lagrangian)
        return lambda z, multipliers: (jacobian(z).values, hessian(z, multipliers).values)

    return write


def beam_in_jax(jax, stage, z, multipliers) -> Run:
    import asdex

    of_constraints, lagrangian = functions(jax.numpy, len(multipliers) // 2)
    jacobian = asdex.jacobian(of_constraints, z)
    hessian = asdex.hessian(lagrangian, z, multipliers)
    staged = stage(lambda z, y: (jacobian(z).data, hessian(z, y).data))
    return lambda: staged(z, multipliers)


def beam_in_casadi(casadi, stage, z, multipliers) -> Run:
    """Transposed, its columns are the rows; so its elements come by row."""
    n = len(multipliers) // 2
    x, y = casadi.SX.sym("z", len(z)), casadi.SX.sym("y", len(multipliers))
    found = constraints(casadi.sin, casadi.vertcat, n, x)
    total = objective(casadi.cos, casadi.sum1, n, x) + casadi.dot(y, found)
    results = casadi.jacobian(found, x).T, casadi.hessian(total, x)[0]
    function = casadi.Function("beam", [x, y], results)
    if n <= MOST_COMPILED:
        function = compiled(casadi, function)
    return buffered(function, [z, multipliers])


def compiled(casadi: Any, function: Any) -> Any:
    """The same function by C that CasADi writes."""
    folder = Path(tempfile.mkdtemp(prefix="nets-bench-"))
    code, library = folder / "beam.c", folder / "beam.so"
    generator = casadi.CodeGenerator(code.name)
    generator.add(function)
    generator.generate(f"{folder}/")
    command = ["cc", "-O3", "-march=native", "-shared", "-fPIC", code, "-o", library, "-lm"]
    subprocess.run(command, check=True)
    return casadi.external("beam", str(library))


def buffered(function: Any, arguments: list[np.ndarray]) -> Run:
    """Calls with memory of our own, the shortest way that CasADi has from Python."""
    results = tuple(np.zeros(function.nnz_out(i)) for i in range(function.n_out()))
    buffer, call = function.buffer()
    for i, array in enumerate(arguments):
        buffer.set_arg(i, memoryview(array))
    for i, array in enumerate(results):
        buffer.set_res(i, memoryview(array))

    def run():
        call()
        return results

    run.buffer = buffer
    return run


WORKLOADS = [
    Workload(
        name="derivatives/examples",
        what="gradients of single examples, network 64-128-10, batch of 64",
        arguments=examples,
        systems=written(gradients_of_examples),
    ),
    Workload(
        name="derivatives/jacobian",
        what="dense Jacobian of 1,000 outputs by 16 inputs, float64",
        arguments=normal((16,), (1000, 16), (1000, 16), dtype="float64"),
        systems=written(dense_jacobian),
        tolerance=1e-11,
    ),
    Workload(
        name="derivatives/hessian",
        what="Hessian of a network 8-32-1 by its inputs, float64",
        arguments=normal((8,), (32, 8), (32,), (32,), dtype="float64"),
        systems=written(network_hessian),
        tolerance=1e-11,
    ),
    *(
        Workload(
            name=f"derivatives/beam {n}",
            what=f"sparse Jacobian and Hessian of the control of a beam, {n} steps, float64",
            arguments=beam(n),
            systems={
                "nets": beam_in_nets(n),
                "jax": Builder(beam_in_jax),
                "casadi": Builder(beam_in_casadi),
            },
            tolerance=1e-12,
        )
        for n in (200, 1000)
    ),
]
