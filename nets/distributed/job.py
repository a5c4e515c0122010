"""The job: how a process becomes one of its ranks, and ceases to be one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nets import communicator
from nets.distributed import launch
from nets.errors import ArgumentError
from nets.locks import lock

if TYPE_CHECKING:
    from nets.distributed.link import Link

TIMEOUT: Final = 8.0
"""Seconds that a rank may keep others waiting."""


@dataclass
class _Job:
    is_initialized: bool = False
    link: Link | None = None


_job: Final = _Job()
_lock: Final = lock()


def init(timeout: float = TIMEOUT) -> None:
    """Make this process a rank of the job that ``mpiexec`` or ``srun`` has started it in.

    Every rank calls it, before anything that concerns the others; once more does nothing. A process
    that was started by itself is the only rank of its job, and needs neither MPI nor mpi4py.

    From here on a failure of one rank ends the job, within ten seconds and with a sentence that
    says which rank it was: one that raises an error, that dies, or that keeps others waiting for
    ``timeout`` seconds; ``patience`` is for what is known to take longer. Where ranks share the
    CPUs of a host and NETS_NUM_THREADS is not set, it is set to the share of a rank.

    MissingMPIError where several ranks were started and mpi4py is not installed, or belongs to
    another MPI library than the launcher.
    """
    if not timeout > 0:
        raise ArgumentError(f"a timeout is a positive number of seconds, not {timeout}")
    with _lock:
        if _job.is_initialized or communicator.of_thread() is not None:
            return
        MPI = launch.world()
        if MPI is not None:
            _job.link = _join(MPI, timeout)
        _job.is_initialized = True


def _join(MPI: Any, timeout: float) -> Link:
    from nets.distributed.link import Link, start_watch
    from nets.distributed.mpi import Communicator
    from nets.distributed.watcher import home

    world = MPI.COMM_WORLD
    cpus = _cpus()
    homes = world.allgather((home(), cpus))
    near = [set(theirs) for place, theirs in homes if place == home()]
    is_crowded = sum(map(len, near)) > len(set().union(*near))
    share = max(1, len(set().union(*near)) // len(near)) if is_crowded else len(cpus)
    os.environ.setdefault("NETS_NUM_THREADS", str(min(share, len(cpus))))
    is_one_host = len({place for place, _ in homes}) == 1
    watch = None
    if world.Get_rank() == 0:
        watch = start_watch(world.Get_size(), timeout, is_one_host)
    watch = world.bcast(watch)
    mine = Communicator(MPI, is_crowded=len(near) > len(set().union(*near)))
    found = Link(MPI, mine, watch)
    world.Barrier()
    communicator.use(mine)
    return found


def _cpus() -> list[int]:
    """The CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def is_initialized() -> bool:
    """Whether ``init`` has been called, and ``shutdown`` has not."""
    return _job.is_initialized or communicator.of_thread() is not None


def rank() -> int:
    """The number of this rank, from 0 on; 0 before ``init``."""
    return communicator.current().rank


def size() -> int:
    """The number of ranks; 1 before ``init``."""
    return communicator.current().size


def shutdown() -> None:
    """Leave the job, when all ranks have called this: each is alone then. A program that ends does
    it by itself."""
    with _lock:
        if _job.link is not None:
            _job.link.close()
            communicator.use(None)
        _job.link, _job.is_initialized = None, False


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """The other ranks may wait for this one for so many ``seconds`` more than the ``timeout`` of
    ``init``: for what takes long in the ``with`` block, such as reading a large file."""
    with communicator.busy("what was announced", seconds):
        yield


def barrier() -> None:
    """Return when every rank has called this."""
    communicator.barrier()
