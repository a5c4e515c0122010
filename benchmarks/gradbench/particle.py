"""particle: the place of a charge that makes a particle fall through the origin.

Euler's method follows the particle, whose acceleration is a gradient, down to the axis; gradient
descent looks for the place. ``fr``: the descent takes its gradient in forward mode, and the
acceleration is one in reverse mode.
"""

from __future__ import annotations

import numpy as np

from benchmarks.gradbench.descent import MODES, argmin, modes_of, systems_with
from benchmarks.gradbench.evaluation import evaluation

STEP = 0.1


def in_system(lib, modes: str):
    (outer, loop), (inner, _) = modes_of(lib, modes)

    def potential(x, charges):
        return (1 / lib.sqrt(((charges - x) ** 2).sum(1))).sum()

    def found(start, charges, moves, position, speed):
        def miss(place):
            at = charges + moves * place

            def falls(state):
                position, speed = state
                return position[1] + STEP * speed[1] > 0

            def fall(state):
                position, speed = state
                pull = -inner(potential)(position, at)
                return position + STEP * speed, speed + STEP * pull

            last, way = loop(falls, fall, (position, speed))
            last = last + STEP * way
            end = last[0] - last[1] / way[1] * way[0]
            return end * end

        return argmin(lib, miss, outer(miss), start, lib.while_loop)

    return found


def arguments(rng: np.random.Generator):
    charges, moves = np.array([[10.0, 10.0], [10.0, 0.0]]), np.array([[0.0, -1.0], [0.0, 0.0]])
    return np.zeros(1), charges, moves, np.array([0.0, 8.0]), np.array([0.75, 0.0])


def workload(modes: str):
    return evaluation(
        "particle", modes, "", arguments, lambda lib: in_system(lib, modes), systems_with(modes)
    )


WORKLOADS = [workload(modes) for modes in MODES]
