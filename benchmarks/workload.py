"""What a workload is: arguments, one function per system, and what limits its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Arguments = Callable[[np.random.Generator], tuple[Any, ...]]
"""Makes the arguments: NumPy arrays, numbers, and dicts and lists of them."""

Run = Callable[[], Any]
"""One execution of a workload; gives its results."""


@dataclass(frozen=True)
class Bound:
    """The least work there is: what no implementation can avoid.

    ``flops``: arithmetic operations, an FMA counting two. ``reads`` and ``writes``: bytes of the
    distinct arguments and results, each touched once. ``dtype``: of the arithmetic.
    """

    flops: float = 0.0
    reads: float = 0.0
    writes: float = 0.0
    dtype: str = "float32"


@dataclass(frozen=True)
class Workload:
    """Something to measure. Its name is a family and what varies in it: ``matmul/512``.

    ``systems`` maps a system's name to ``write(module)``, which gives a function of the arguments
    that the system stages (traces, jits, compiles) and the benchmark calls; or to a ``Builder``.
    ``tolerance`` is the largest allowed distance of two results, relative to the largest element.
    With ``steps`` the function takes the state and gives ``(value, next state)``, and each call
    goes on from the last one's.
    """

    name: str
    what: str
    arguments: Arguments
    systems: Mapping[str, Any]
    bound: Bound = field(default_factory=Bound)
    tolerance: float = 1e-5
    steps: bool = False

    @property
    def family(self) -> str:
        return self.name.split("/")[0]


@dataclass(frozen=True)
class Builder:
    """For programs that keep their state: ``build(module, stage, *arguments)`` gives Run."""

    build: Callable[..., Run]


def normal(*shapes: tuple[int, ...], dtype: str = "float32") -> Arguments:
    """Arguments of normally distributed numbers."""
    return lambda rng: tuple(rng.normal(size=shape).astype(dtype) for shape in shapes)
