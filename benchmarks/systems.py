"""The systems: how each takes arrays, stages a function, and is set to a number of threads."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workload import Builder, Run, Workload


class System:
    """One system in the process of a worker. This one is NumPy: nothing to stage or wait for."""

    module = "numpy"
    package = "numpy"
    """The name to import, and the name that is installed and has a version."""

    written_for: tuple[str, ...] = ("numpy",)
    """Whose versions of a workload it can run, the best first."""

    @staticmethod
    def environment(threads: int, caches: Path) -> dict[str, str]:
        """Variables to set before anything is imported."""
        return {}

    def __init__(self, threads: int) -> None:
        self.lib: Any = import_module(self.module)

    def array(self, data: Any) -> Any:
        """A NumPy array or number as this system's own."""
        return data

    def stage(self, function: Callable[..., Any], steps: bool = False) -> Callable[..., Any]:
        """The function compiled, where the system compiles; ``steps``: its first argument dies."""
        return function

    def wait(self, result: Any) -> Any:
        """The result once it is really there."""
        return result

    def numpy(self, leaf: Any) -> Any:
        """A leaf of a result as a NumPy array."""
        return np.asarray(leaf)

    def artifact_bytes(self, workload: Workload, arguments: tuple[Any, ...], folder: Path) -> int:
        """Size of the compiled code on disk; 0 where there is none to show."""
        return 0

    def build(self, workload: Workload, arguments: tuple[Any, ...]) -> Run | None:
        """One execution of the workload as a function; None where it is not written for us."""
        names = [name for name in self.written_for if name in workload.systems]
        if not names:
            return None
        written = workload.systems[names[0]]
        given = tuple(map_leaves(self.array, argument) for argument in arguments)
        if isinstance(written, Builder):
            return written.build(self.lib, self.stage, *given)
        function = self.stage(written(self.lib), workload.steps)
        if not workload.steps:
            return functools.partial(function, *given)
        return stepping(function, given)


class Nets(System):
    """nets, through its public API. Arguments are Tensors, as the results of earlier calls are."""

    module, package = "nets", "nets-compiler"
    written_for = ("nets",)

    @staticmethod
    def environment(threads: int, caches: Path) -> dict[str, str]:
        return {"NETS_NUM_THREADS": str(threads), "NETS_CACHE_DIR": str(caches / "nets")}

    def array(self, data: Any) -> Any:
        return self.lib.Tensor(data) if isinstance(data, np.ndarray) else data

    def stage(self, function: Callable[..., Any], steps: bool = False) -> Callable[..., Any]:
        staged: Callable[..., Any] = self.lib.trace(function, donate_argnums=0 if steps else None)
        return staged

    def artifact_bytes(self, workload: Workload, arguments: tuple[Any, ...], folder: Path) -> int:
        given = (map_leaves(self.array, argument) for argument in arguments)
        lowered = self.stage(workload.systems["nets"](self.lib)).lower(*given)
        files = self.lib.export(folder / "artifact", program=lowered).files
        return sum(path.stat().st_size for path in files if path.suffix == ".so")


class Jax(System):
    """JAX with XLA on the CPU; x64 is on for the float64 workloads and leaves float32 alone."""

    module = package = "jax"
    written_for = ("jax",)

    @staticmethod
    def environment(threads: int, caches: Path) -> dict[str, str]:
        # With more threads XLA takes one per CPU that the process may run on.
        one = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        return {
            "XLA_FLAGS": one if threads == 1 else "",
            "JAX_PLATFORMS": "cpu",
            "JAX_ENABLE_X64": "1",
            "JAX_COMPILATION_CACHE_DIR": str(caches / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }

    def array(self, data: Any) -> Any:
        # A copy: a donated argument must not be the memory of someone else's array.
        return self.lib.numpy.array(data) if isinstance(data, np.ndarray | np.generic) else data

    def stage(self, function: Callable[..., Any], steps: bool = False) -> Callable[..., Any]:
        staged: Callable[..., Any] = self.lib.jit(function, donate_argnums=0 if steps else None)
        return staged

    def wait(self, result: Any) -> Any:
        return self.lib.block_until_ready(result)


class Torch(System):
    """PyTorch, eager."""

    module = package = "torch"
    written_for = ("torch",)

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.lib.set_num_threads(threads)

    def array(self, data: Any) -> Any:
        return self.lib.from_numpy(data).clone() if isinstance(data, np.ndarray) else data

    def numpy(self, leaf: Any) -> Any:
        return leaf.detach().numpy() if isinstance(leaf, self.lib.Tensor) else np.asarray(leaf)


class Inductor(Torch):
    """PyTorch with torch.compile."""

    written_for = ("inductor", "torch")

    @staticmethod
    def environment(threads: int, caches: Path) -> dict[str, str]:
        # Its compile workers would outlive their use on the cores that are measured.
        return {
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
            "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
        }

    def stage(self, function: Callable[..., Any], steps: bool = False) -> Callable[..., Any]:
        staged: Callable[..., Any] = self.lib.compile(function, dynamic=False)
        return staged

    def artifact_bytes(self, workload: Workload, arguments: tuple[Any, ...], folder: Path) -> int:
        return sum(path.stat().st_size for path in folder.rglob("*.so"))


class Numba(System):
    """numba: loops written out, compiled in their strict form; parallel for more threads."""

    module = package = "numba"
    written_for = ("numba",)

    @staticmethod
    def environment(threads: int, caches: Path) -> dict[str, str]:
        return {"NUMBA_NUM_THREADS": str(threads), "NUMBA_CACHE_DIR": str(caches / "numba")}

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self._parallel = threads > 1

    def stage(self, function: Callable[..., Any], steps: bool = False) -> Callable[..., Any]:
        staged: Callable[..., Any] = self.lib.njit(function, parallel=self._parallel)
        return staged


class Casadi(System):
    """CasADi: expression graphs of scalars, written out as C or run by its virtual machine."""

    module = package = "casadi"
    written_for = ("casadi",)


SYSTEMS: dict[str, type[System]] = {
    "nets": Nets,
    "numpy": System,
    "jax": Jax,
    "torch": Torch,
    "inductor": Inductor,
    "numba": Numba,
    "casadi": Casadi,
}
"""Every system by the name that tables and options use; nets first."""

_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def environment(name: str, threads: int, caches: Path) -> dict[str, str]:
    """The environment of a worker."""
    common = dict.fromkeys(_THREADS, str(threads))
    # Installed packages come with their bytecode; a checkout is to keep its own.
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, **common, **SYSTEMS[name].environment(threads, caches)}


OUR_OWN = ("nets", "numpy")
"""Systems that always run in the Python of the suite."""


def python_of(name: str, peer_python: str) -> str:
    """The Python that runs a system."""
    return sys.executable if name in OUR_OWN else peer_python


def version(name: str, peer_python: str) -> str | None:
    """The version of a system; None where it is not installed."""
    system, python = SYSTEMS[name], python_of(name, peer_python)
    if python != sys.executable:
        command = [python, "-c", _VERSION.format(system.package)]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None
    if find_spec(system.module) is None:
        return None
    try:
        return metadata.version(system.package)
    except metadata.PackageNotFoundError:
        return "of this folder"


_VERSION = "from importlib.metadata import version; print(version({!r}))"


def stepping(function: Callable[..., Any], given: tuple[Any, ...]) -> Run:
    """Runs that feed the state of one call to the next; they give the value of each step."""
    state, *rest = given

    def run() -> Any:
        nonlocal state
        value, state = function(state, *rest)
        return value

    return run


def map_leaves(function: Callable[[Any], Any], nest: Any) -> Any:
    """The nest of dicts, lists and tuples with the function of each leaf."""
    if isinstance(nest, dict):
        return {key: map_leaves(function, value) for key, value in nest.items()}
    if isinstance(nest, list | tuple):
        return type(nest)(map_leaves(function, value) for value in nest)
    return function(nest)


def leaves(nest: Any) -> list[Any]:
    """The leaves of a nest in order."""
    found: list[Any] = []
    map_leaves(found.append, nest)
    return found
