"""sinh, cosh and their inverses.

Near 0 the odd ones are x + x³ · P(x²). Beyond, sinh and cosh are E ∓ 1/(4·E) with E = e**|x| / 2,
and the inverses are logarithms of a number that is carried as the sum of two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.math.body import Body, Lanes
from nets.backend.llvm.math.exponential import exp_in_parts
from nets.backend.llvm.math.formats import F32, F64, INFINITY, NAN
from nets.backend.llvm.math.logarithm import log_of_sum
from nets.backend.llvm.math.pairs import product, root, sum_by_size, sum_of_any


@dataclass(frozen=True, slots=True)
class _Constants:
    end: float
    """e**x / 2 is infinite from here on."""
    large: float
    """From here on arcsinh and arccosh of x are log 2x."""
    sinh: tuple[float, ...]
    """sinh x = x + x³ · P(x²) for |x| ≤ 1."""
    arcsinh: tuple[float, ...]
    """arcsinh x = x + x³ · P(x²) for |x| ≤ ¼; so are the next."""
    arctanh: tuple[float, ...]


_NEAR: Final = 0.25

_CONSTANTS: Final = {
    F32: _Constants(
        end=90.0,
        large=2.0**14,
        sinh=(
            0.1666666716337204,
            0.00833331048488617,
            0.00019842895562760532,
            2.7822134143207222e-06,
        ),
        arcsinh=(
            -0.166666641831398,
            0.07499627023935318,
            -0.04446784034371376,
            0.0271003358066082,
        ),
        arctanh=(
            0.33333322405815125,
            0.20001700520515442,
            0.14204329252243042,
            0.1262115091085434,
        ),
    ),
    F64: _Constants(
        end=711.0,
        large=2.0**30,
        sinh=(
            0.16666666666666669,
            0.008333333333332912,
            0.00019841269841593316,
            2.7557319106767646e-06,
            2.5052131009588956e-08,
            1.6056656791635483e-10,
            7.776728816646902e-13,
        ),
        arcsinh=(
            -0.1666666666666652,
            0.0749999999992271,
            -0.04464285700490757,
            0.030381932523397808,
            -0.022371587833336298,
            0.01733674076962269,
            -0.01370170288014064,
            0.009173893942788966,
        ),
        arctanh=(
            0.3333333333333336,
            0.19999999999983548,
            0.14285714289282694,
            0.11111110732363982,
            0.09090931835269875,
            0.07691482879986553,
            0.06685047164915663,
            0.056376119131504907,
            0.07018684301669884,
        ),
    ),
}


def _halves(b: Body, x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """e**|x| / 2 as a pair, and e**−|x| / 2."""
    y, y_low = exp_in_parts(b, b.at_most(b.abs(x), _CONSTANTS[b.form].end))
    return y, y_low, 0.25 / y


def _odd(b: Body, a: Lanes, coefficients: tuple[float, ...]) -> Lanes:
    """a + a³ · P(a²)."""
    z = a * a
    return b.fma(a * z, b.polynomial(z, coefficients), a)


def sinh(b: Body, x: Lanes) -> Lanes:
    """The hyperbolic sine."""
    a = b.abs(x)
    y, y_low, other = _halves(b, x)
    beyond = y - (other - y_low)
    near = _odd(b, a, _CONSTANTS[b.form].sinh)
    return b.with_sign(b.select(a < 1.0, near, beyond), x)


def cosh(b: Body, x: Lanes) -> Lanes:
    """The hyperbolic cosine."""
    y, y_low, other = _halves(b, x)
    return y + (other + y_low)


def arcsinh(b: Body, x: Lanes) -> Lanes:
    """log(|x| + √(x² + 1)), with the sign of x."""
    c = _CONSTANTS[b.form]
    a = b.abs(x)
    large = a > c.large
    inside = b.select(large, 1.0, a)
    square, square_low = product(b, inside, inside)
    under, under_low = sum_of_any(square, 1.0)
    s, s_low = root(b, under, under_low + square_low)
    h, h_low = sum_by_size(s, inside)
    h, h_low = b.select(large, a * 0.5, h), b.select(large, 0.0, h_low + s_low)
    beyond = log_of_sum(b, h, h_low, large)
    beyond = b.select(a < INFINITY, beyond, a + a)
    return b.with_sign(b.select(a < _NEAR, _odd(b, a, c.arcsinh), beyond), x)


def arccosh(b: Body, x: Lanes) -> Lanes:
    """log(x + √(x² − 1)), as log(1 + (t + √(t² + 2·t))) with t = x − 1; NaN below 1."""
    large = x > _CONSTANTS[b.form].large
    t = b.select(large, 2.0, x) - 1.0
    square, square_low = product(b, t, t)
    under, under_low = sum_of_any(square, t + t)
    s, s_low = root(b, under, under_low + square_low)
    u, u_low = sum_by_size(s, t)
    h, h_low = sum_of_any(u, 1.0)
    h, h_low = b.select(large, x * 0.5, h), b.select(large, 0.0, h_low + (u_low + s_low))
    y = b.select(x < INFINITY, log_of_sum(b, h, h_low, large), x)
    return b.select(x >= 1.0, y, NAN)


def arctanh(b: Body, x: Lanes) -> Lanes:
    """½ · log((1 + |x|) / (1 − |x|)), with the sign of x; ±inf at ±1, NaN beyond."""
    a = b.abs(x)
    one = b.number(1.0)
    top, top_low = sum_by_size(one, a)
    d, d_low = sum_by_size(one, -a)
    inverse = 1.0 / d
    q = top * inverse
    q_low = (b.fused(-q, d, top) + (top_low - q * d_low)) * inverse
    beyond = log_of_sum(b, q, q_low) * 0.5
    beyond = b.select(a < 1.0, beyond, b.select(a.equals(1.0), INFINITY, b.number(NAN)))
    near = _odd(b, a, _CONSTANTS[b.form].arctanh)
    return b.with_sign(b.select(a < _NEAR, near, beyond), x)
