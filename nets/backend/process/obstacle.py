"""Obstacle: what keeps native code from running here, and what runs in its place.

Native code needs the extension ``nets._runtime``, which is built as nets is installed where there
is a C compiler, the packages cffi and llvmlite, and a processor that nets compiles for. NumPy alone
is enough for the reference interpreter. Where nobody has chosen a backend, programs run as native
code if they can, and else on the interpreter, many times slower, of which a warning tells once.
"""

from __future__ import annotations

import functools
import os
import platform
import sys
import warnings
from typing import Final

from nets.backend.process.callable import cpu_level
from nets.errors import BackendWarning, CompileError
from nets.extension import is_installed
from nets.ir.location import user_location

_PARTS: Final = {
    "nets._runtime": "nets was installed without its parts in C: install a C compiler and the "
    "headers of Python, and then nets again",
    "_cffi_backend": "the package cffi is not installed: pip install cffi",
    "llvmlite": "the package llvmlite is not installed: pip install llvmlite",
}
"""What native code is made and run by, and what to say where it is missing."""


@functools.cache
def obstacle() -> str | None:
    """What keeps native code from running here, and what to do about it; None where it can.

    CompileError where a part of nets is there and broken.
    """
    if not sys.platform.startswith("linux"):
        return f"native code runs on Linux, and this is {platform.system()}"
    for module, words in _PARTS.items():
        if not is_installed(module):
            return words
    if platform.machine() != "aarch64" and cpu_level() == 0:
        return f"nets has no code for this CPU ({platform.machine()}): {_NEEDED}"
    return None


_NEEDED: Final = "it needs x86-64 with SSE4.2, or AArch64"


def refuse_obstacle() -> None:
    """CompileError where native code cannot run here."""
    words = obstacle()
    if words is not None:
        raise CompileError(
            f"there is no native code here: {words}; with NETS_BACKEND=numpy programs run on the "
            "reference interpreter"
        )


@functools.cache
def backend_here() -> str:
    """ "llvm" where native code can run, else "numpy", with a warning."""
    words = obstacle()
    if words is None:
        return "llvm"
    place = user_location()
    warnings.warn_explicit(
        "programs run on the reference interpreter, many times slower than as native code, for "
        f"{words}; NETS_BACKEND=numpy says that this is meant",
        BackendWarning,
        "nets" if place is None else place.file,
        0 if place is None else place.line,
    )
    return "numpy"


def cpu_count() -> int:
    """CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
