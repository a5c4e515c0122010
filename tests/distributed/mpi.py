"""Starts programs under mpiexec, for tests: ``run("mpich", 4, script, "argument")``.

``make mpi`` installs MPICH beside Python, with mpi4py, and Open MPI in ``build/openmpi``; mpi4py is
told by MPI4PY_LIBMPI which library to load. An MPI of the system is found by its mpiexec.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import nets

ROOT = Path(nets.__file__).parents[1]
BESIDE = Path(sys.executable).parent
OPEN_MPI = ROOT / "build" / "openmpi"

NAMES = ("mpich", "openmpi")

SETTINGS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",  # before version 5
    "PYTHONPATH": str(ROOT),
    "NETS_NUM_THREADS": "1",
}
"""Containers are root, and tests have more ranks than CPUs."""


@functools.cache
def launchers() -> dict[str, tuple[str, dict[str, str]]]:
    """The mpiexec of each library that there is, and what its environment has more."""
    if find_spec("mpi4py") is None:
        return {}
    found: dict[str, tuple[str, dict[str, str]]] = {}
    first = shutil.which("mpiexec", path=str(BESIDE)) or shutil.which("mpiexec")
    if first is not None:
        version = subprocess.run([first, "--version"], capture_output=True, text=True).stdout
        name = "openmpi" if "Open MPI" in version or "prterun" in version else "mpich"
        found[name] = (first, {})
    libraries = sorted(OPEN_MPI.glob("lib/libmpi.so.*"))
    if libraries:
        library = {"MPI4PY_LIBMPI": str(libraries[0])}
        found["openmpi"] = (str(OPEN_MPI / "bin" / "mpiexec"), library)
    return found


def run(
    name: str, ranks: int, program: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the Python program, a text, in so many ranks; skips where there is no such MPI."""
    if name not in launchers():
        pytest.skip(f"mpi4py or {name} is not installed: make mpi")
    command, more = launchers()[name]
    return subprocess.run(
        [command, "-n", str(ranks), sys.executable, "-c", program, *arguments],
        env={**os.environ, **SETTINGS, **more, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
