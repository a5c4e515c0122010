"""The incomplete gamma functions, and the incomplete beta function."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math

from nets.ir.core import Trait, Value
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.registry import Lazy, op, sample
from nets.ops.definition.samples import f32, f64
from nets.ops.tensor.elementwise import floats
from nets.ops.transcendental import incomplete_beta_formulas, incomplete_formulas
from nets.ops.transcendental.steps import each_its_own, flops_of_steps, rules_of_steps

_TRAITS = Trait.PURE | Trait.KERNEL | Trait.FLOAT_ONLY | Trait.COSTLY

_SAMPLES = [
    sample(f32(3, 5, low=0.5, high=9), f32(3, 5, low=0.1, high=9)),
    sample(f64(low=2, high=3), f64(low=1, high=4)),
    sample(f32(7, 0, low=1), f32(7, 0, low=1)),
]


def _density(b: Emitter, a: Value, x: Value) -> Value:
    """x**(a − 1) · e**−x / Γ(a)."""
    powers = b.sub(b.mul(b.sub(a, b.one(a)), b.emit("log", x)), x)
    return b.emit("exp", b.sub(powers, b.emit("gammaln", a)))


@op("gammainc", _TRAITS)
class Gammainc:
    """P(a, x), the part of the gamma function of a that is integrated up to x, of 1.

    NaN where a or x is negative, and where both are 0 or inf. The derivative by a is NaN, for there
    is no function for it.
    """

    operands = ("a", "x")
    batch = ITSELF
    samples = _SAMPLES
    infer = floats("gammainc")
    footprint = each_its_own
    flops = flops_of_steps
    evaluate, lower = rules_of_steps(incomplete_formulas.gammainc)

    def partials(b: Emitter, a: Value, x: Value, y: Value) -> tuple[Lazy, ...]:
        return lambda: b.full_like(a, math.nan), lambda: _density(b, a, x)


@op("gammaincc", _TRAITS)
class Gammaincc:
    """Q(a, x) = 1 − P(a, x), with all digits where that is small.

    NaN where a or x is negative, and where both are 0 or inf. The derivative by a is NaN, for there
    is no function for it.
    """

    operands = ("a", "x")
    batch = ITSELF
    samples = _SAMPLES
    infer = floats("gammaincc")
    footprint = each_its_own
    flops = flops_of_steps
    evaluate, lower = rules_of_steps(incomplete_formulas.gammaincc)

    def partials(b: Emitter, a: Value, x: Value, y: Value) -> tuple[Lazy, ...]:
        return lambda: b.full_like(a, math.nan), lambda: b.neg(_density(b, a, x))


@op("betainc", _TRAITS)
class Betainc:
    """Iₓ(a, b), the part of the beta function that is integrated up to x, of 1.

    NaN unless a, b ≥ 0 and 0 ≤ x ≤ 1, where a and b are both 0 or both inf, and where both are
    beyond 10⁷. The derivatives by a and b are NaN, for there is no function for them.
    """

    operands = ("a", "b", "x")
    batch = ITSELF
    samples = [
        sample(*(f32(3, 5, low=0.5, high=9),) * 2, f32(3, 5, low=0.1, high=0.9)),
        sample(f64(low=2, high=3), f64(low=1, high=4), f64(low=0.2, high=0.8)),
        sample(*(f32(7, 0, low=1),) * 2, f32(7, 0, low=0.1, high=0.9)),
    ]
    infer = floats("betainc")
    footprint = each_its_own
    flops = flops_of_steps
    evaluate, lower = rules_of_steps(incomplete_beta_formulas.betainc)

    def partials(e: Emitter, a: Value, b: Value, x: Value, y: Value) -> tuple[Lazy, ...]:
        def unknown() -> Value:
            return e.full_like(a, math.nan)

        def density() -> Value:
            first = e.mul(e.sub(a, e.one(a)), e.emit("log", x))
            second = e.mul(e.sub(b, e.one(b)), e.emit("log1p", e.neg(x)))
            return e.emit("exp", e.sub(e.add(first, second), e.emit("betaln", a, b)))

        return unknown, unknown, density
