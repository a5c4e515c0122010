"""Problems with known solutions: Moré, Garbow and Hillstrom, 1981, "Testing unconstrained
optimization software", whose numbers stand with them; and others of the textbooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import nets

Function = Callable[..., Any]


class LeastSquares(NamedTuple):
    """Residuals, the usual start, and the least sum of their squares from there."""

    residuals: Function
    start: list[float]
    least: float


def rosenbrock(x: Any) -> Any:
    """Of any even number of unknowns, chained; the minimum is 0 at ones."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def rosenbrock_residuals(x: Any) -> Any:
    return nets.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def freudenstein_roth(x: Any) -> Any:
    return nets.stack(
        [
            -13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1],
            -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1],
        ]
    )


def powell_badly_scaled(x: Any) -> Any:
    return nets.stack([1e4 * x[0] * x[1] - 1, nets.exp(-x[0]) + nets.exp(-x[1]) - 1.0001])


def brown_badly_scaled(x: Any) -> Any:
    return nets.stack([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2])


def beale(x: Any) -> Any:
    powers = nets.stack([x[1], x[1] ** 2, x[1] ** 3])
    return np.array([1.5, 2.25, 2.625]) - x[0] * (1 - powers)


def jennrich_sampson(x: Any) -> Any:
    i = np.arange(1.0, 11.0)
    return 2 + 2 * i - (nets.exp(i * x[0]) + nets.exp(i * x[1]))


BARD = [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39]


def bard(x: Any) -> Any:
    u = np.arange(1.0, 16.0)
    return np.array(BARD) - (x[0] + u / ((16 - u) * x[1] + np.minimum(u, 16 - u) * x[2]))


GAUSSIAN = [0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521]


def gaussian(x: Any) -> Any:
    y = np.array([*GAUSSIAN, 0.3989, *GAUSSIAN[::-1]])
    t = (8 - np.arange(1.0, 16.0)) / 2
    return x[0] * nets.exp(-x[1] * (t - x[2]) ** 2 / 2) - y


MEYER = [
    *(34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744),
    *(8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872),
]


def meyer(x: Any) -> Any:
    t = 45 + 5 * np.arange(1.0, 17.0)
    return x[0] * nets.exp(x[1] / (t + x[2])) - np.array(MEYER, float)


def box(x: Any) -> Any:
    t = np.arange(1.0, 11.0) / 10
    return nets.exp(-t * x[0]) - nets.exp(-t * x[1]) - x[2] * (np.exp(-t) - np.exp(-10 * t))


def powell_singular(x: Any) -> Any:
    return nets.stack(
        [
            x[0] + 10 * x[1],
            5**0.5 * (x[2] - x[3]),
            (x[1] - 2 * x[2]) ** 2,
            10**0.5 * (x[0] - x[3]) ** 2,
        ]
    )


def wood(x: Any) -> Any:
    return nets.stack(
        [
            10 * (x[1] - x[0] ** 2),
            1 - x[0],
            90**0.5 * (x[3] - x[2] ** 2),
            1 - x[2],
            10**0.5 * (x[1] + x[3] - 2),
            (x[1] - x[3]) / 10**0.5,
        ]
    )


KOWALIK = [
    *(0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627),
    *(0.0456, 0.0342, 0.0323, 0.0235, 0.0246),
]


def kowalik_osborne(x: Any) -> Any:
    u = np.array([4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
    return np.array(KOWALIK) - x[0] * (u * u + u * x[1]) / (u * u + u * x[2] + x[3])


def brown_dennis(x: Any) -> Any:
    t = np.arange(1.0, 21.0) / 5
    first, second = x[0] + t * x[1] - np.exp(t), x[2] + x[3] * np.sin(t) - np.cos(t)
    return first**2 + second**2


def watson(x: Any) -> Any:
    size = x.shape[0]
    t = np.arange(1.0, 30.0)[:, None] / 29
    j = np.arange(size)
    slope = (t ** np.maximum(j - 1, 0) * j) @ x
    value = t**j @ x
    return nets.concatenate([slope - value**2 - 1, nets.stack([x[0], x[1] - x[0] ** 2 - 1])])


def one_of(*functions: Function) -> Function:
    """A function of x and a number that says which of these it is, so that a solver is compiled
    once for all of them."""

    def chosen(x: Any, number: Any, first: int = 0) -> Any:
        if first == len(functions) - 1:
            return functions[first](x)
        return nets.cond(
            number == first,
            lambda: functions[first](x),
            lambda: chosen(x, number, first + 1),
        )

    return chosen


LEAST_SQUARES = [
    LeastSquares(rosenbrock_residuals, [-1.2, 1.0], 0),
    LeastSquares(freudenstein_roth, [0.5, -2.0], 48.98425),
    LeastSquares(powell_badly_scaled, [0.0, 1.0], 0),
    LeastSquares(brown_badly_scaled, [1.0, 1.0], 0),
    LeastSquares(beale, [1.0, 1.0], 0),
    LeastSquares(jennrich_sampson, [0.3, 0.4], 124.36218),
    LeastSquares(bard, [1.0, 1.0, 1.0], 8.214877e-3),
    LeastSquares(gaussian, [0.4, 1.0, 0.0], 1.127933e-8),
    LeastSquares(meyer, [0.02, 4000.0, 250.0], 87.94585),
    LeastSquares(box, [0.0, 10.0, 20.0], 0),
    LeastSquares(powell_singular, [3.0, -1.0, 0.0, 1.0], 0),
    LeastSquares(wood, [-3.0, -1.0, -3.0, -1.0], 0),
    LeastSquares(kowalik_osborne, [0.25, 0.39, 0.415, 0.39], 3.075056e-4),
    LeastSquares(brown_dennis, [25.0, 5.0, -5.0, -1.0], 85822.2016),
    LeastSquares(watson, [0.0] * 6, 2.287670e-3),
]


def sum_of_squares(residuals: Function) -> Function:
    return lambda x: (residuals(x) ** 2).sum()


def himmelblau(x: Any) -> Any:
    """Four minima, all 0."""
    return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2


def broyden_tridiagonal(x: Any) -> Any:
    before = nets.concatenate([nets.zeros(1, x.dtype), x[:-1]])
    after = nets.concatenate([x[1:], nets.zeros(1, x.dtype)])
    return (3 - 2 * x) * x - before - 2 * after + 1


def trigonometric(x: Any) -> Any:
    size = x.shape[0]
    i = np.arange(1.0, size + 1)
    return size - nets.cos(x).sum() + i * (1 - nets.cos(x)) - nets.sin(x)


def discrete_boundary_value(x: Any) -> Any:
    size = x.shape[0]
    h = 1 / (size + 1)
    t = h * np.arange(1.0, size + 1)
    before = nets.concatenate([nets.zeros(1, x.dtype), x[:-1]])
    after = nets.concatenate([x[1:], nets.zeros(1, x.dtype)])
    return 2 * x - before - after + h * h * (x + t + 1) ** 3 / 2


def chandrasekhar(x: Any) -> Any:
    """The H-equation of radiative transfer, with c = 0.9 (Kelley, 1995)."""
    size = x.shape[0]
    mu = (np.arange(size) + 0.5) / size
    kernel = 0.9 / (2 * size) * mu[:, None] / (mu[:, None] + mu[None, :])
    return x - 1 / (1 - kernel @ x)
