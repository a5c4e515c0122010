"""Launch: how many ranks a launcher has started, by what it leaves in the environment.

mpi4py is imported where there are several; a program that is started by itself needs no MPI, and
does not wait for one to find out that it is alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from nets.errors import MissingMPIError

_SIZES: Final = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
"""The number of ranks: by Open MPI; by Hydra, which MPICH and Intel MPI have, and by Slurm with
PMI 2; by MVAPICH."""

_SLURM_SIZES: Final = ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")
"""The same by Slurm, which counts only where srun also has the ranks find each other."""


def started(environment: Mapping[str, str] = os.environ) -> int:
    """How many ranks were started together with this one; 1 where nobody said so."""
    is_found_by_pmix = "PMIX_RANK" in environment or "PMI_RANK" in environment
    for name in (*_SIZES, *(_SLURM_SIZES if is_found_by_pmix else ())):
        if environment.get(name, "").isdigit():
            return max(1, int(environment[name]))
    return 1


def world() -> Any:
    """The module ``mpi4py.MPI`` where this process is one of several ranks, else None.

    MissingMPIError where a launcher says so, and mpi4py is not there or sees no other rank.
    """
    ranks = started()
    if ranks == 1 and "mpi4py.MPI" not in sys.modules:
        return None
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # mpi4py, or the MPI library it looks for
        raise MissingMPIError(
            f"{ranks} ranks were started, but mpi4py cannot be used ({error}): "
            "pip install nets-compiler[mpi]"
        ) from error
    found = MPI.COMM_WORLD.Get_size()
    if found == 1 and ranks > 1:
        library = MPI.Get_library_version().split("\n")[0].strip("\0 ,")
        raise MissingMPIError(
            f"{ranks} ranks were started by a launcher that is not of the MPI library which mpi4py "
            f"has loaded ({library}), so that each believes to be alone: use its own mpiexec"
        )
    return MPI if found > 1 else None
