"""All workloads by name, in the order of the table."""

from __future__ import annotations

from benchmarks import chains, matmul, rows
from benchmarks.workload import Workload

_FAMILIES = (chains, matmul, rows)

WORKLOADS: dict[str, Workload] = {
    workload.name: workload for family in _FAMILIES for workload in family.WORKLOADS
}
