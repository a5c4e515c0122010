"""Where the errors of ``nets.special`` are measured: arguments that are hard for its formulas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nets.ops.definition.registry import Array

Generator = np.random.Generator

ZEROS = (-0.504083008264455409, -1.57349847316239046, -2.457024738220800, -2.747682646727412)
"""Of digamma, and of gammaln, among the negative numbers."""


def _signed(g: Generator, x: Array) -> Array:
    return np.where(g.random(x.size) < 0.5, x, -x)


def _sizes(g: Generator, count: int, low: float, high: float) -> Array:
    """Of all powers of ten between two."""
    found: Array = 10.0 ** g.uniform(low, high, count)
    return found


def _near(g: Generator, places: Sequence[float], count: int) -> Array:
    place = g.choice(np.asarray(places, np.float64), count)
    return place + _signed(g, _sizes(g, count, -16, -1)) * np.maximum(1.0, np.abs(place))


def _line(low: float, high: float, *places: float, least: float = -310.0) -> Any:
    """Uniform, of all sizes from subnormal ones on, and near places."""

    def points(g: Generator, count: int) -> tuple[Array]:
        part = count // 3
        most = max(abs(low), abs(high))
        sizes = _signed(g, _sizes(g, part, least, np.log10(most)))
        found = [g.uniform(low, high, count - 2 * part), sizes, _near(g, places, part)]
        x = np.concatenate(found)
        return (x[(x >= low) & (x <= high)],)

    return points


def _probabilities(g: Generator, count: int) -> tuple[Array]:
    part = count // 4
    low, high = _sizes(g, part, -323, 0), 1.0 - _sizes(g, part, -16, 0)
    middle = _near(g, (0.1, 0.25, 0.5, 0.75), part)
    return (np.concatenate([g.uniform(0, 1, part), low, high, middle]),)


def _symmetric_probabilities(g: Generator, count: int) -> tuple[Array]:
    (p,) = _probabilities(g, count)
    return (_signed(g, p),)


def _gamma_line(most: float, least: float) -> Any:
    def points(g: Generator, count: int) -> tuple[Array]:
        part = count // 6
        positive = _near(g, (0.5, 1, 1.4616321449683622, 1.5, 2, 2.5, 3, 3.5, 6, 7, 8, 12.5), part)
        poles = _near(g, [-float(k) for k in range(1, 40)], part)
        sizes = _sizes(g, part, least, most)
        rest = (-_sizes(g, part, -300, 2), _near(g, ZEROS, part))
        found = [g.uniform(0, 12, part), sizes, positive, g.uniform(-30, 0, part), poles, *rest]
        return (np.concatenate(found),)

    return points


def _positive(least: float, most: float) -> Any:
    def points(g: Generator, count: int) -> tuple[Array]:
        near = _near(g, (1, 2, 6, 8), count // 2)
        return (np.concatenate([_sizes(g, count // 2, least, most), near]),)

    return points


def _pairs(low: float, high: float) -> Any:
    def points(g: Generator, count: int) -> tuple[Array, Array]:
        return _sizes(g, count, low, high), _sizes(g, count, low, high)

    return points


def _logarithms(pole: float) -> Any:
    def points(g: Generator, count: int) -> tuple[Array, Array]:
        y = np.concatenate([_sizes(g, count // 2, -300, 300), g.uniform(0, 3, count - count // 2)])
        return _signed(g, _sizes(g, count, -3, 3)), y + pole if pole else y

    return points


def _ratios(g: Generator, count: int) -> tuple[Array, Array]:
    part = count // 2
    x, ratio = _sizes(g, count, -150, 150), _sizes(g, part, -150, 150)
    return x, x * np.concatenate([ratio, (1.0 + _signed(g, _sizes(g, count - part, -14, -0.01)))])


def _zeta(g: Generator, count: int) -> tuple[Array, Array]:
    part = count // 2
    s = np.concatenate([1.0 + _sizes(g, part, -12, 2.2), g.uniform(1.001, 30, count - part)])
    q = np.concatenate([_sizes(g, part, -3, 6), g.uniform(0.01, 20, count - part)])
    return s, q


def _tail(g: Generator, count: int) -> Array:
    """Distances from the middle in deviations."""
    return g.normal(0, 1, count) * g.choice([1.0, 3.0, 12.0], count)


def _incomplete_gamma(g: Generator, count: int) -> tuple[Array, Array]:
    a = _sizes(g, count, -4, 4)
    middle, kind = a + _tail(g, count) * np.sqrt(a), g.integers(0, 3, count)
    around, any_size = a * _sizes(g, count, -2, 1.5), _sizes(g, count, -6, 2.8)
    x = np.abs(np.where(kind == 0, middle, np.where(kind == 1, around, any_size)))
    return np.where(a > 200, np.clip(a, 200, 4000), a), x


def _incomplete_beta(g: Generator, count: int) -> tuple[Array, Array, Array]:
    a, b = _sizes(g, count, -4, 3.5), _sizes(g, count, -4, 3.5)
    mean = a / (a + b)
    deviation = np.sqrt(mean * (1 - mean) / (a + b + 1))
    kind = g.integers(0, 3, count)
    around, any_size = mean * _sizes(g, count, -2, 1), _sizes(g, count, -6, 0)
    middle = mean + _tail(g, count) * deviation
    x = np.where(kind == 0, middle, np.where(kind == 1, around, any_size))
    return a, b, np.where((x > 0) & (x < 1), x, g.random(count))


POINTS: dict[str, Callable[[Generator, int], tuple[Array, ...]]] = {
    "erf": _line(-6.0, 6.0, 0.5, -0.5, 1.0, 1.0625, 2.0),
    "erfc": _line(-6.0, 27.2, 0.0, 0.5, -0.5, 3.75, 26.0),
    "erfcx": _line(-26.6, 100.0, 0.0, 0.5, -0.5, 3.75, -26.5),
    "erfinv": _symmetric_probabilities,
    "ndtr": _line(-38.4, 8.0, 0.0, -0.7071, 0.7071, -5.3, -37.5),
    "log_ndtr": _line(-60.0, 38.0, -1.0, 0.0, 1.0, 5.3, -5.3),
    "ndtri": _probabilities,
    "gammaln": _gamma_line(305.0, -310.0),
    "digamma": _gamma_line(305.0, -307.0),
    "gamma": _gamma_line(2.2, -307.0),
    "i0": _line(-713.0, 713.0, 7.75, 32.0, 700.0, 709.7),
    "i0e": _line(-1e6, 1e6, 7.75, 32.0, 5.0),
    "i1": _line(-713.0, 713.0, 7.75, 32.0, 700.0, 709.7),
    "i1e": _line(-1e6, 1e6, 7.75, 32.0, 5.0),
    "logit": _probabilities,
    "entr": _line(0.0, 1e3, 0.36788, 0.5, 1.0),
    "expit": _line(-745.0, 40.0, 0.0, -1.1, -708.4),
    "log_expit": _line(-745.0, 700.0, 0.0, -1.1, 30.0),
    "sinc": _line(-50.0, 50.0, *map(float, range(1, 20)), 0.25, 0.5),
    "exp2": _line(-1074.0, 1023.0, 0.0, 0.5, -1022.0),
    "xlogy": _logarithms(0.0),
    "xlog1py": _logarithms(-0.5),
    "rel_entr": _ratios,
    "zeta": _zeta,
    "polygamma1": _positive(-100, 10),
    "polygamma2": _positive(-90, 10),
    "polygamma7": _positive(-35, 6),
    "betaln": _pairs(-3, 6),
    "beta": _pairs(-3, 3),
    "gammainc": _incomplete_gamma,
    "gammaincc": _incomplete_gamma,
    "betainc": _incomplete_beta,
}


def points_of(name: str, count: int, generator: Generator) -> tuple[Array, ...]:
    return POINTS[name](generator, count)
