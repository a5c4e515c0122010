"""saddle: the least of the largest values of |p|² − |q|², by gradient descents inside of one.

``fr``: the outer descent takes its gradient in forward mode, the inner ones in reverse mode; then
the q that belongs to p is looked for in the mode of the outer one.
"""

from __future__ import annotations

import numpy as np

from benchmarks.gradbench.descent import MODES, argmin, modes_of, systems_with
from benchmarks.gradbench.evaluation import evaluation


def value(p, q):
    return (p * p).sum() - (q * q).sum()


def in_system(lib, modes: str):
    (outer, loop), (inner, _) = modes_of(lib, modes)

    def argmax(gradient, p, start, loop):
        def below(q):
            return -value(p, q)

        return argmin(lib, below, gradient(below), start, loop)

    def found(start):
        def largest(p):
            return value(p, argmax(inner, p, start, loop))

        p = argmin(lib, largest, outer(largest), start, lib.while_loop)
        return lib.concatenate([p, argmax(outer, p, start, lib.while_loop)])

    return found


def arguments(rng: np.random.Generator):
    return (np.ones(2),)


def workload(modes: str):
    return evaluation(
        "saddle", modes, "", arguments, lambda lib: in_system(lib, modes), systems_with(modes)
    )


WORKLOADS = [workload(modes) for modes in MODES]
