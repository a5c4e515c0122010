"""Measures the errors of ``nets.special``, for docs/numerics.md.

    python -m tests.acceptance.special_accuracy [--points N] [--stride K] [functions]

Compiled code against balls of python-flint (Arb), whose radius is below 2⁻⁷⁰ of the value: N
float64 arguments a function (100,000 unless told), where errors are likely: near zeros, poles and
the bounds of our own formulas, subnormal and huge ones, tails; of functions of several arguments,
random ones of all sizes, and around the middle of distributions. Then float32: every K-th bit
pattern (83 unless told; 1 takes all), against SciPy's float64 functions; where those differ by more
than 0.6 ULP, Arb decides. ``slopes`` among the functions: derivatives by parameters, against
differences in 400 bits and more, relative. Needs SciPy and python-flint. Fails where an error is
beyond ``BOUND`` ULP.

For gammaln and digamma of negative arguments the unit is that of the larger of two terms, whose
difference they are; for betaln, that of its largest term.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.special
from flint import arb, ctx

import nets
from nets.ops.definition.registry import Array
from tests.acceptance.special_points import points_of

BOUND = 4.0
WORST_SLOPE = 1e-10

Ball = Any
"""A number and a bound of its error."""


def _half() -> Ball:
    return arb(1) / 2


def _ndtr(x: Ball) -> Ball:
    return _half() * (-x / arb(2).sqrt()).erfc()


def _log_ndtr(x: Ball) -> Ball:
    return _ndtr(x).log() if x < 0 else (-_ndtr(-x)).log1p()


def _ndtri(p: Ball) -> Ball:
    root = arb(2).sqrt()
    return root * (2 * p - 1).erfinv() if p > 0.25 else -root * (2 * p).erfcinv()


def _gammaln(x: Ball) -> Ball:
    if x > 0:
        return x.lgamma()
    return (arb.pi() / abs(x.sin_pi())).log() - (1 - x).lgamma()


def _gammainc(a: Ball, x: Ball) -> Ball:
    if a < 200:
        return x.gamma_lower(a, regularized=1)
    return 1 - x.gamma_upper(a, regularized=1)


def _betainc(a: Ball, b: Ball, x: Ball) -> Ball:
    return x.beta_lower(a, b, regularized=1)


def _betaln(a: Ball, b: Ball) -> Ball:
    return a.lgamma() + b.lgamma() - (a + b).lgamma()


def _polygamma(n: int) -> Callable[[Ball], Ball]:
    def found(x: Ball) -> Ball:
        return (-1) ** (n + 1) * arb(n).fac() * arb.zeta(arb(n + 1), x)

    return found


REFERENCES: dict[str, Callable[..., Ball]] = {
    "erf": lambda x: x.erf(),
    "erfc": lambda x: x.erfc(),
    "erfcx": lambda x: (x * x).exp() * x.erfc(),
    "erfinv": lambda x: x.erfinv(),
    "ndtr": _ndtr,
    "log_ndtr": _log_ndtr,
    "ndtri": _ndtri,
    "gammaln": _gammaln,
    "digamma": lambda x: x.digamma(),
    "gamma": lambda x: x.gamma(),
    "i0": lambda x: x.bessel_i(0),
    "i0e": lambda x: (-abs(x)).exp() * x.bessel_i(0),
    "i1": lambda x: x.bessel_i(1),
    "i1e": lambda x: (-abs(x)).exp() * x.bessel_i(1),
    "logit": lambda p: (p / (1 - p)).log(),
    "entr": lambda x: -x * x.log(),
    "expit": lambda x: 1 / (1 + (-x).exp()),
    "log_expit": lambda x: -(-x).exp().log1p(),
    "sinc": lambda x: x.sinc_pi(),
    "exp2": lambda x: arb(2) ** x,
    "xlogy": lambda x, y: x * y.log(),
    "xlog1py": lambda x, y: x * y.log1p(),
    "rel_entr": lambda x, y: x * (x / y).log(),
    "zeta": lambda s, q: arb.zeta(s, q),
    "polygamma1": _polygamma(1),
    "polygamma2": _polygamma(2),
    "polygamma7": _polygamma(7),
    "betaln": _betaln,
    "beta": lambda a, b: _betaln(a, b).exp(),
    "gammainc": _gammainc,
    "gammaincc": lambda a, x: x.gamma_upper(a, regularized=1),
    "betainc": _betainc,
}

SCIPY = {"digamma": "psi", "gamma": "gamma"}
"""Other names that SciPy has for them."""


def function_of(name: str) -> Callable[..., Any]:
    if name.startswith("polygamma"):
        order = int(name.removeprefix("polygamma"))
        return lambda x: nets.special.polygamma(order, x)
    found: Callable[..., Any] = getattr(nets.special, name)
    return found


def exact(function: Callable[..., Ball], arguments: tuple[float, ...], most: int = 8000) -> Ball:
    """A ball of at least 70 good bits; None where ``most`` bits do not give one."""
    precision = 120
    while precision <= most:
        ctx.prec = precision
        try:
            found = function(*map(arb, arguments))
        except (ValueError, ZeroDivisionError):
            return None
        if found.is_finite() and (found.rel_accuracy_bits() >= 70 or found.is_zero()):
            return found
        precision *= 2
    return None


def parts(balls: list[Ball]) -> tuple[Array, Array]:
    """The numbers as sums of two float64."""
    high = np.array([float(ball.mid()) for ball in balls])
    finite = [
        ball - arb(h) if np.isfinite(h) else arb(0) for ball, h in zip(balls, high, strict=True)
    ]
    return high, np.array([float(rest.mid()) for rest in finite])


def unit(name: str, arguments: tuple[Array, ...], value: Array) -> Array:
    """What errors are measured by: an ULP of the value, or of the largest of terms."""
    size = np.abs(value)
    with np.errstate(all="ignore"):
        if name in ("gammaln", "digamma"):
            (x,) = arguments
            other = scipy.special.gammaln(1 - x) if name == "gammaln" else scipy.special.psi(1 - x)
            others = np.maximum(
                np.abs(other), np.abs(other + value * (1 if name == "gammaln" else -1))
            )
            size = np.maximum(size, np.where(x < 0, others, 0.0))
        if name == "betaln":
            terms = [scipy.special.gammaln(x) for x in (*arguments, sum(arguments))]
            size = np.maximum(size, np.abs(terms).max(axis=0))
        size = np.clip(size, np.finfo(value.dtype).smallest_normal, np.finfo(value.dtype).max)
        return np.spacing(size.astype(value.dtype)).astype(np.float64)


def errors(name: str, arguments: tuple[Array, ...], found: Array, balls: list[Ball]) -> Array:
    high, low = parts(balls)
    with np.errstate(all="ignore"):
        away = np.abs((found.astype(np.float64) - high) - low)
        ulps = away / unit(name, arguments, high.astype(found.dtype))
        ulps[np.isinf(high.astype(found.dtype)) & (found == high.astype(found.dtype))] = 0.0
    return np.where(np.isnan(ulps), np.inf, ulps)


def report(name: str, dtype: str, ulps: Array, arguments: tuple[Array, ...], left_out: int) -> bool:
    if not ulps.size:
        return True
    at = int(np.argmax(ulps))
    where = ", ".join(repr(float(x[at])) for x in arguments)
    unresolved = f", {left_out} left out" if left_out else ""
    print(
        f"{name:10} {dtype}  {ulps[at]:.2f} ULP at {where}  ({ulps.size}{unresolved})", flush=True
    )
    return bool(ulps[at] <= BOUND)


def measure_float64(name: str, count: int) -> bool:
    arguments = points_of(name, count, np.random.default_rng(1))
    found = nets.trace(function_of(name))(*arguments).numpy()
    balls = [
        exact(REFERENCES[name], tuple(map(float, row))) for row in zip(*arguments, strict=True)
    ]
    known = np.array([ball is not None for ball in balls])
    inside = tuple(x[known] for x in arguments)
    ulps = errors(name, inside, found[known], [ball for ball in balls if ball is not None])
    return report(name, "f64", ulps, inside, int(np.sum(~known)))


def patterns(stride: int, chunk: int = 1 << 20) -> Iterator[Array]:
    for start in range(0, 1 << 32, chunk * stride):
        bits = np.arange(start, min(start + chunk * stride, 1 << 32), stride, np.uint64)
        yield bits.astype(np.uint32).view(np.float32)


def measure_float32(name: str, stride: int) -> bool:
    native, known = (
        nets.trace(function_of(name)),
        getattr(scipy.special, SCIPY.get(name, name), None),
    )
    if known is None or len(points_of(name, 8, np.random.default_rng(1))) != 1:
        return True
    worst, where, count = 0.0, np.float32(0), 0
    for x in patterns(stride):
        found = native(x).numpy()
        assert found.dtype == np.float32
        with np.errstate(all="ignore"):
            expected = known(x.astype(np.float64))
            rounded = expected.astype(np.float32)
            away = np.abs(found.astype(np.float64) - expected) / unit(name, (x,), rounded)
        same = (found == rounded) | (np.isnan(found) & np.isnan(rounded))
        away = np.where(same & ~(away < np.inf), 0.0, np.where(np.isnan(away), np.inf, away))
        doubtful = np.flatnonzero(away > 0.6)
        for i in doubtful:
            away[i] = _decided(name, x[i : i + 1], found[i : i + 1])
        at, count = int(np.argmax(away)), count + x.size
        if away[at] > worst:
            worst, where = float(away[at]), x[at]
    ulps, places = np.zeros(count), np.full(count, where)
    ulps[0] = worst
    return report(name, "f32", ulps, (places,), 0)


def _decided(name: str, x: Array, found: Array) -> float:
    """The error by Arb; at what has no value there, poles and ends, that of the float64 form."""
    ball = exact(REFERENCES[name], (float(x[0]),), 2000)
    if ball is not None:
        return float(errors(name, (x,), found, [ball])[0])
    wide = nets.trace(function_of(name))(x.astype(np.float64)).numpy()
    with np.errstate(all="ignore"):
        return 0.0 if np.array_equal(wide.astype(np.float32), found, equal_nan=True) else np.inf


SLOPES = (("gammainc", 0), ("betainc", 0), ("betainc", 1), ("zeta", 0))


def measure_slope(name: str, number: int, count: int) -> bool:
    arguments = points_of(name, count, np.random.default_rng(2))
    if name != "zeta":
        arguments = tuple(np.clip(x, 1e-4, 200.0) for x in arguments)
    slope = nets.trace(nets.vmap(nets.grad(getattr(nets.special, name), argnums=number)))
    found = slope(*arguments).numpy()

    def difference(*row: Ball) -> Ball:
        ctx.prec = max(ctx.prec, 400)
        step = row[number] * arb(2) ** -120
        ends = [(*row[:number], row[number] + s, *row[number + 1 :]) for s in (step, -step)]
        return (REFERENCES[name](*ends[0]) - REFERENCES[name](*ends[1])) / (2 * step)

    balls = [
        exact(difference, tuple(map(float, row)), 4000) for row in zip(*arguments, strict=True)
    ]
    known = np.array([ball is not None and abs(float(ball.mid())) > 1e-280 for ball in balls])
    high, _ = parts([ball for ball, k in zip(balls, known, strict=True) if k])
    away = np.abs(found[known] - high) / np.abs(high)
    at = int(np.argmax(away))
    where = ", ".join(repr(float(x[known][at])) for x in arguments)
    print(f"{name} by {number}: {away[at]:.1e} at {where}  ({away.size})", flush=True)
    return bool(away[at] <= WORST_SLOPE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--stride", type=int, default=83)
    parser.add_argument("functions", nargs="*", default=[*REFERENCES, "slopes"])
    options = parser.parse_args()
    good = True
    for name in options.functions:
        if name == "slopes":
            for slope in SLOPES:
                good &= measure_slope(*slope, options.points // 100)
            continue
        good &= measure_float64(name, options.points)
        if options.stride:
            good &= measure_float32(name, options.stride)
    sys.exit(0 if good else "errors beyond the bound")


if __name__ == "__main__":
    main()
