"""The gamma and beta functions, their logarithms, digamma, and Hurwitz's zeta function."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math

from nets.ir.core import Value
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.registry import Lazy, op, sample
from nets.ops.definition.samples import f32, f64
from nets.ops.tensor.elementwise import MATH, floats
from nets.ops.transcendental import beta_formulas, gamma_formulas
from nets.ops.transcendental.calculus import no_second_derivative, rules


@op("gamma", MATH)
class Gamma:
    """Γ(x), exact for integers up to 23; ±inf at ±0, NaN at −1, −2, … and −inf."""

    operands = ("x",)
    samples = [f32(3, 5, low=0.1, high=9), f64(low=1, high=3), f64(7, low=0.5, high=12), f32(7, 0)]
    infer = floats("gamma")
    evaluate, lower = rules(gamma_formulas.gamma)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.mul(y, b.emit("digamma", x)),)


@op("gammaln", MATH)
class Gammaln:
    """log |Γ(x)|; inf at 0, −1, −2, … and ±inf."""

    operands = ("x",)
    samples = [f32(3, 5, low=0.1, high=9), f64(low=1, high=3), f64(7, low=0.5, high=12), f32(7, 0)]
    infer = floats("gammaln")
    evaluate, lower = rules(gamma_formulas.gammaln)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.emit("digamma", x),)


@op("digamma", MATH)
class Digamma:
    """The derivative of log Γ(x): −inf at 0, inf at −0, NaN at −1, −2, …."""

    operands = ("x",)
    samples = [f32(3, 5, low=0.1, high=9), f64(low=1, high=3), f64(7, low=0.5, high=12), f32(7, 0)]
    infer = floats("digamma")
    evaluate, lower = rules(gamma_formulas.digamma)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: _trigamma(b, x),)


def _trigamma(b: Emitter, x: Value) -> Value:
    """ζ(2, x) for x > 0; for x < 0 by reflection, (π / sin πx)² − ζ(2, 1 − x)."""
    one = b.one(x)
    reflects = b.compare("less", x, b.zero(x))
    positive = b.emit("zeta", b.full_like(x, 2.0), b.select(reflects, b.sub(one, x), x))
    # What is not taken is kept away from the poles of its derivatives.
    rest = b.select(reflects, b.sub(x, b.emit("round", x)), b.full_like(x, 0.5))
    sine = b.emit("sin", b.mul(b.full_like(x, math.pi), rest))
    root = b.div(b.full_like(x, math.pi), sine)
    return b.select(reflects, b.sub(b.mul(root, root), positive), positive)


_ZETA_SAMPLES = [
    sample(f32(3, 5, low=1.1, high=9), f32(3, 5, low=0.5, high=9)),
    sample(f64(low=2, high=3), f64(low=2, high=3)),
    sample(f32(7, 0, low=1.5), f32(7, 0, low=1)),
]


@op("zeta", MATH)
class Zeta:
    """Hurwitz's zeta function, Σ (q + k)**−s over k from 0 on.

    inf for s = 1 and where q is 0, −1, …; NaN for s < 1 and for other q < 0. The derivative by q is
    −s · zeta(s + 1, q).
    """

    operands = ("s", "q")
    samples = _ZETA_SAMPLES
    infer = floats("zeta")
    evaluate, lower = rules(gamma_formulas.zeta)

    def partials(b: Emitter, s: Value, q: Value, z: Value) -> tuple[Lazy, ...]:
        def slope() -> Value:
            return b.neg(b.mul(s, b.emit("zeta", b.add(s, b.one(s)), q)))

        return lambda: b.emit("zeta_by_s", s, q), slope


@op("zeta_by_s", MATH)
class ZetaByS:
    """The derivative of zeta by s, −Σ log(q + k) · (q + k)**−s over k from 0 on, for s > 1 and
    q > 0; −inf for s = 1, NaN elsewhere. It has no derivative by s itself."""

    operands = ("s", "q")
    samples = _ZETA_SAMPLES
    infer = floats("zeta_by_s")
    evaluate, lower = rules(gamma_formulas.zeta_by_s)

    def partials(b: Emitter, s: Value, q: Value, z: Value) -> tuple[Lazy, ...]:
        def slope() -> Value:
            more = b.add(s, b.one(s))
            again = b.mul(s, b.emit("zeta_by_s", more, q))
            return b.neg(b.add(b.emit("zeta", more, q), again))

        return no_second_derivative("zeta", "s"), slope


_BETA_SAMPLES = [
    sample(f32(3, 5, low=0.5, high=9), f32(3, 5, low=0.5, high=9)),
    sample(f64(low=1, high=3), f64(low=1, high=3)),
    sample(f64(6, low=0.5, high=20), f64(6, low=0.5, high=20)),
    sample(f32(7, 0, low=1), f32(7, 0, low=1)),
]


@op("beta", MATH)
class Beta:
    """B(a, b) = Γ(a) · Γ(b) / Γ(a + b); inf where one is 0, NaN where one is negative."""

    operands = ("a", "b")
    samples = _BETA_SAMPLES
    infer = floats("beta")
    evaluate, lower = rules(beta_formulas.beta)

    def partials(b: Emitter, x: Value, y: Value, z: Value) -> tuple[Lazy, ...]:
        def slope(part: Value) -> Value:
            both = b.emit("digamma", b.add(x, y))
            return b.mul(z, b.sub(b.emit("digamma", part), both))

        return lambda: slope(x), lambda: slope(y)


@op("betaln", MATH)
class Betaln:
    """log B(a, b) = log (Γ(a) · Γ(b) / Γ(a + b)); inf where one is 0, NaN where one is negative."""

    operands = ("a", "b")
    samples = _BETA_SAMPLES
    infer = floats("betaln")
    evaluate, lower = rules(beta_formulas.betaln)

    def partials(b: Emitter, x: Value, y: Value, z: Value) -> tuple[Lazy, ...]:
        def slope(part: Value) -> Value:
            return b.sub(b.emit("digamma", part), b.emit("digamma", b.add(x, y)))

        return lambda: slope(x), lambda: slope(y)
