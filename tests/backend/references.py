"""What math functions should give, in a wider format, and how far off a result is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nets.ops.definition.registry import Array


def _erf(x: Array) -> Array:
    """The error function; ±1 beyond 7."""
    a = np.abs(x).ravel()
    result = np.where(a > 7, 1, a)
    inside = np.flatnonzero(a < 7)
    # Sorted pieces, for the series takes longer the larger x is.
    for piece in np.array_split(inside[np.argsort(a[inside])], 1 + inside.size // 4096):
        result[piece] = _erf_series(a[piece])
    return np.copysign(result.reshape(x.shape), x)


def _erf_series(a: Array) -> Array:
    """2/√π · e**−a² · Σ 2**i a**(2i+1) / (2i+1)!!, whose terms all have one sign."""
    term = total = a
    i = 0
    while np.any(term > total * np.finfo(a.dtype).eps / 8):
        i += 1
        term = term * (2 * a * a / (2 * i + 1))
        total = total + term
    root_pi = np.sqrt(4 * np.arctan(a.dtype.type(1)))
    result: Array = total * np.exp(-a * a) * 2 / root_pi
    return result


_FORMULAS: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "exp2": np.exp2,
    "log2": np.log2,
    "log10": np.log10,
    "tan": np.tan,
    **{f"arc{name}": getattr(np, f"arc{name}") for name in ("sin", "cos", "tan", "tan2")},
    **{name: getattr(np, name) for name in ("sinh", "cosh", "arcsinh", "arccosh", "arctanh")},
    "cbrt": np.cbrt,
    "hypot": np.hypot,
    "pow": np.power,
    "fmod": np.fmod,
    "erf": _erf,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "rsqrt": lambda x: 1 / np.sqrt(x),
}


def has_formula(function: str) -> bool:
    """Whether ``reference`` knows the function."""
    return function in _FORMULAS


def reference(function: str, *arguments: Array) -> Array:
    """The function in float64 for float32, in np.longdouble for float64."""
    wide = np.float64 if arguments[0].dtype == np.float32 else np.longdouble
    with np.errstate(all="ignore"):
        result: Array = _FORMULAS[function](*(x.astype(wide) for x in arguments))
    return result


def ulps(got: Array, expected: Array) -> Array:
    """The distance in units in the last place that ``got``'s format has at ``expected``.

    NaN for NaN and infinity for what is infinite (or rounds to it) are 0 apart; other mismatches
    of that kind are infinitely far.
    """
    info = np.finfo(got.dtype)
    with np.errstate(all="ignore"):
        ulp = np.maximum(_binade(expected), info.smallest_normal) * expected.dtype.type(info.eps)
        error: Array = np.abs(got.astype(expected.dtype) - expected) / ulp
        equal = (got == expected.astype(got.dtype)) & ~np.isfinite(got)
        error[equal | (np.isnan(got) & np.isnan(expected))] = 0
    error[np.isnan(error)] = np.inf
    return error


def _binade(x: Array) -> Array:
    """The largest power of two not above |x|."""
    if x.dtype == np.float64:
        bits = x.view(np.uint64) & np.uint64(0x7FF0000000000000)
        return bits.view(np.float64)
    return np.ldexp(x.dtype.type(1), np.frexp(x)[1] - 1)
