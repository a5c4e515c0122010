"""Beyond one process: the same program on the ranks of a job, to the same bits.

This room holds the public names of ``nets.distributed``. What talks to other processes is imported
when a job of several ranks is started.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nets.distributed.job import barrier, init, is_initialized, patience, rank, shutdown, size

if TYPE_CHECKING:
    from nets.distributed import simulated

__all__ = [
    "init",
    "is_initialized",
    "rank",
    "size",
    "barrier",
    "patience",
    "shutdown",
    "simulated",
]


def __getattr__(name: str) -> Any:
    if name != "simulated":
        raise AttributeError(f"module 'nets.distributed' has no attribute {name!r}")
    return import_module(f"nets.distributed.{name}")
