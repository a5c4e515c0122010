"""Beyond one process: the same program on the ranks of a job, to the same bits.

This room holds the public names of ``nets.distributed``. What talks to other processes is imported
when a job is started.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nets.distributed import simulated

__all__ = ["simulated"]


def __getattr__(name: str) -> Any:
    if name != "simulated":
        raise AttributeError(f"module 'nets.distributed' has no attribute {name!r}")
    return import_module(f"nets.distributed.{name}")
