"""An evaluation as a workload: one function at one size."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.gradbench import FAMILY
from benchmarks.gradbench.names import Write, everywhere
from benchmarks.workload import Arguments, Workload

TOLERANCE = 1e-8
"""Far below the 1e-4 that the suite allows: all systems compute in float64."""

SYSTEMS = ("nets", "jax", "torch")


def evaluation(
    name: str,
    function: str,
    size: str,
    arguments: Arguments,
    write: Write,
    systems: Sequence[str] = SYSTEMS,
) -> Workload:
    """``write`` takes the names of a system and gives the function of the arguments."""
    written = {system: of for system, of in everywhere(write).items() if system in systems}
    title = " ".join(filter(None, (name, size, function)))
    return Workload(
        f"{FAMILY}/{title}", f"GradBench's {title}", arguments, written, tolerance=TOLERANCE
    )
