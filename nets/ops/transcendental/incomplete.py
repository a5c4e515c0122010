"""The incomplete gamma functions, and the incomplete beta function."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from nets.ir.core import Trait, Value
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.registry import Lazy, op, sample
from nets.ops.definition.samples import f32, f64
from nets.ops.tensor.elementwise import floats
from nets.ops.transcendental import incomplete_beta_formulas, incomplete_formulas
from nets.ops.transcendental.calculus import no_second_derivative
from nets.ops.transcendental.steps import each_its_own, flops_of_steps, rules_of_steps

_TRAITS = Trait.PURE | Trait.KERNEL | Trait.FLOAT_ONLY | Trait.COSTLY

_SAMPLES = [
    sample(f32(3, 5, low=0.5, high=9), f32(3, 5, low=0.1, high=9)),
    sample(f64(low=2, high=3), f64(low=1, high=4)),
    sample(f32(7, 0, low=1), f32(7, 0, low=1)),
]


_BETA_SAMPLES = [
    sample(*(f32(3, 5, low=0.5, high=9),) * 2, f32(3, 5, low=0.1, high=0.9)),
    sample(f64(low=2, high=3), f64(low=1, high=4), f64(low=0.2, high=0.8)),
    sample(*(f32(7, 0, low=1),) * 2, f32(7, 0, low=0.1, high=0.9)),
]


def _density(b: Emitter, a: Value, x: Value) -> Value:
    """x**(a − 1) · e**−x / Γ(a)."""
    powers = b.sub(b.mul(b.sub(a, b.one(a)), b.emit("log", x)), x)
    return b.emit("exp", b.sub(powers, b.emit("gammaln", a)))


def _beta_density(e: Emitter, a: Value, b: Value, x: Value) -> Value:
    """x**(a − 1) · (1 − x)**(b − 1) / B(a, b)."""
    first = e.mul(e.sub(a, e.one(a)), e.emit("log", x))
    second = e.mul(e.sub(b, e.one(b)), e.emit("log1p", e.neg(x)))
    return e.emit("exp", e.sub(e.add(first, second), e.emit("betaln", a, b)))


@op("gammainc", _TRAITS)
class Gammainc:
    """P(a, x), the part of the gamma function of a that is integrated up to x, of 1.

    NaN where a or x is negative, and where both are 0 or inf.
    """

    operands = ("a", "x")
    batch = ITSELF
    samples = _SAMPLES
    infer = floats("gammainc")
    footprint = each_its_own
    flops = flops_of_steps
    evaluate, lower = rules_of_steps(incomplete_formulas.gammainc)

    def partials(b: Emitter, a: Value, x: Value, y: Value) -> tuple[Lazy, ...]:
        return lambda: b.emit("gammainc_by_a", a, x), lambda: _density(b, a, x)


@op("gammaincc", _TRAITS)
class Gammaincc:
    """Q(a, x) = 1 − P(a, x), with all digits where that is small.

    NaN where a or x is negative, and where both are 0 or inf.
    """

    operands = ("a", "x")
    batch = ITSELF
    samples = _SAMPLES
    infer = floats("gammaincc")
    footprint = each_its_own
    flops = flops_of_steps
    evaluate, lower = rules_of_steps(incomplete_formulas.gammaincc)

    def partials(b: Emitter, a: Value, x: Value, y: Value) -> tuple[Lazy, ...]:
        return lambda: b.neg(b.emit("gammainc_by_a", a, x)), lambda: b.neg(_density(b, a, x))


@op("gammainc_by_a", _TRAITS)
class GammaincByA:
    """The derivative of gammainc by a, which has none by a itself."""

    operands = ("a", "x")
    batch = ITSELF
    samples = _SAMPLES
    infer = floats("gammainc_by_a")
    footprint = each_its_own
    flops = flops_of_steps
    evaluate, lower = rules_of_steps(incomplete_formulas.gammainc_by_a)

    def partials(b: Emitter, a: Value, x: Value, y: Value) -> tuple[Lazy, ...]:
        def slope() -> Value:
            growth = b.sub(b.emit("log", x), b.emit("digamma", a))
            return b.mul(_density(b, a, x), growth)

        return no_second_derivative("gammainc", "a"), slope


@op("betainc", _TRAITS)
class Betainc:
    """Iₓ(a, b), the part of the beta function that is integrated up to x, of 1.

    NaN unless a, b ≥ 0 and 0 ≤ x ≤ 1, where a and b are both 0 or both inf, and where one is finite
    and beyond 10¹⁵⁰, where the steps would overflow.
    """

    operands = ("a", "b", "x")
    batch = ITSELF
    samples = _BETA_SAMPLES
    infer = floats("betainc")
    footprint = each_its_own
    flops = flops_of_steps
    evaluate, lower = rules_of_steps(incomplete_beta_formulas.betainc)

    def partials(e: Emitter, a: Value, b: Value, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (
            lambda: e.emit("betainc_by_a", a, b, x),
            lambda: e.emit("betainc_by_b", a, b, x),
            lambda: _beta_density(e, a, b, x),
        )


@op("betainc_by_a", _TRAITS)
class BetaincByA:
    """The derivative of betainc by a, which has none by a and b itself."""

    operands = ("a", "b", "x")
    batch = ITSELF
    samples = _BETA_SAMPLES
    infer = floats("betainc_by_a")
    footprint = each_its_own
    flops = flops_of_steps
    evaluate, lower = rules_of_steps(incomplete_beta_formulas.betainc_by_a)

    def partials(e: Emitter, a: Value, b: Value, x: Value, y: Value) -> tuple[Lazy, ...]:
        refused = no_second_derivative("betainc", "a")

        def slope() -> Value:
            both = e.emit("digamma", e.add(a, b))
            growth = e.add(e.sub(e.emit("log", x), e.emit("digamma", a)), both)
            return e.mul(_beta_density(e, a, b, x), growth)

        return refused, refused, slope


@op("betainc_by_b", _TRAITS)
class BetaincByB:
    """The derivative of betainc by b, which has none by a and b itself."""

    operands = ("a", "b", "x")
    batch = ITSELF
    samples = _BETA_SAMPLES
    infer = floats("betainc_by_b")
    footprint = each_its_own
    flops = flops_of_steps
    evaluate, lower = rules_of_steps(incomplete_beta_formulas.betainc_by_b)

    def partials(e: Emitter, a: Value, b: Value, x: Value, y: Value) -> tuple[Lazy, ...]:
        refused = no_second_derivative("betainc", "b")

        def slope() -> Value:
            both = e.emit("digamma", e.add(a, b))
            growth = e.sub(e.emit("log1p", e.neg(x)), e.emit("digamma", b))
            return e.mul(_beta_density(e, a, b, x), e.add(growth, both))

        return refused, refused, slope
