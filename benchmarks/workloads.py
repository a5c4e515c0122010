"""All workloads by name, in the order of the table."""

from __future__ import annotations

from benchmarks import (
    calls,
    chains,
    convolutions,
    derivatives,
    elementwise,
    finance,
    heat,
    linalg,
    matmul,
    mlp,
    ordering,
    recurrent,
    reductions,
    rows,
    scans,
    transformer,
)
from benchmarks.gradbench import evaluations
from benchmarks.workload import Workload

_FAMILIES = (
    *(calls, matmul, elementwise, reductions, chains, rows),
    *(finance, mlp, transformer, convolutions, heat, scans, recurrent),
    *(derivatives, evaluations, linalg, ordering),
)

WORKLOADS: dict[str, Workload] = {
    workload.name: workload for family in _FAMILIES for workload in family.WORKLOADS
}
