"""det: the determinant of an ℓ×ℓ matrix by expansion along the rows, and its gradient.

All ordered choices of columns are expanded, none is looked up: ``e · ℓ!`` products. Those of one
row are one operation: for each choice of columns in the rows above, ``columns[row]`` has what is
left.
"""

from __future__ import annotations

import numpy as np

from benchmarks.gradbench.evaluation import evaluation


def in_system(lib):
    def determinant(matrix, columns, signs):
        minors = matrix[-1][columns[-1]].reshape(-1)
        for row in range(len(columns) - 2, -1, -1):
            terms = matrix[row][columns[row]] * minors.reshape(columns[row].shape)
            minors = (terms * signs[row]).sum(1)
        return minors.sum()

    return determinant


def remaining(size: int) -> list[np.ndarray]:
    """For each row: choices of columns in the rows above × the columns that are left."""
    tables = [np.arange(size).reshape(1, size)]
    for left in range(size, 1, -1):
        others = np.array([[j for j in range(left) if j != i] for i in range(left)])
        tables.append(tables[-1][:, others].reshape(-1, left - 1))
    return tables


def arguments(size: int):
    signs = [(-1.0) ** np.arange(size - row) for row in range(size)]
    return lambda rng: (rng.uniform(size=(size, size)), remaining(size), signs)


def workloads(size: int):
    make = arguments(size)
    yield evaluation("det", "primal", f"l={size}", make, in_system)
    yield evaluation("det", "gradient", f"l={size}", make, lambda lib: lib.grad(in_system(lib)))


WORKLOADS = [workload for size in (5, 7, 9) for workload in workloads(size)]
