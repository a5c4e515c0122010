"""The registry: turns one class per op into the definition every pass asks.

``nets.ops.definition.rules`` says what an op class may hold. The decorators ``op`` and
``structural`` read it once and refuse it where something is missing; ``lookup`` finds an op by its
name, ``definition_of`` that of an operation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from nets.errors import DTypeError, GradientError, ShapeError, VerifyError
from nets.ieee import ieee_calls
from nets.ir.core import Attribute, Attributes, OpDefinition, Operation, Region, Trait, Value
from nets.ir.sizes import Dim
from nets.ir.types import DType, TensorType, Type, is_addressable
from nets.ops.definition.attributes import KINDS, Kind
from nets.ops.definition.decisions import (
    EACH,
    IN_EACH,
    ITSELF,
    PARTIALS,
    Decision,
    batch_of,
    forward_of,
)
from nets.ops.definition.linear import cotangents, filled, forced, sum_in_each, sum_of_products
from nets.ops.definition.rules import (
    Array,
    Begin,
    Identity,
    Lazy,
    LowerElement,
    LowerKernel,
    LowerScalar,
    PiecesRule,
    Rules,
    Run,
    Stacked,
    Tangents,
    Total,
)

if TYPE_CHECKING:
    from nets.ops.definition.emitter import Emitter

__all__ = [
    "REGISTRY",
    "Array",
    "Lazy",
    "OpDef",
    "Run",
    "Sample",
    "Spec",
    "definition_of",
    "lookup",
    "op",
    "reduction_identity",
    "sample",
    "structural",
]

Rule = TypeVar("Rule")


@dataclass(frozen=True, slots=True)
class Spec:
    """How to draw a random array for a generated test."""

    shape: tuple[int, ...]
    dtype: DType
    low: float = -2.0
    high: float = 2.0

    @property
    def type(self) -> TensorType:
        return TensorType(self.shape, self.dtype)

    @property
    def is_free(self) -> bool:
        """Whether any elements will do, those at the edges of the dtype as well."""
        return True

    def draw(self, rng: np.random.Generator) -> Array:
        if self.dtype.is_bool:
            return rng.integers(int(self.low > 0), 2, self.shape).astype(np.bool_)
        if self.dtype.is_float:
            return rng.uniform(self.low, self.high, self.shape).astype(self.dtype.numpy)
        low = max(int(self.low), 0) if self.dtype.kind == "u" else int(self.low)
        return rng.integers(low, int(self.high), self.shape, endpoint=True).astype(self.dtype.numpy)


@dataclass(frozen=True, slots=True)
class Sample:
    """Operands and attributes that drive every generated test of an op."""

    operands: tuple[Spec, ...]
    attributes: Attributes = field(default_factory=dict)


def sample(*operands: Spec, **attributes: Attribute) -> Sample:
    return Sample(operands, attributes)


class OpDef(OpDefinition):
    """An op of the registry: the op class, read and checked once."""

    def __init__(
        self,
        name: str,
        namespace: type,
        traits: Trait,
        attributes: tuple[str, ...],
        implied: tuple[str, ...],
        regions: int,
    ) -> None:
        self.name = name
        self.traits = traits
        self.doc = (namespace.__doc__ or "").strip()
        self.module = namespace.__module__.rpartition(".")[2]
        self.operand_names = tuple(namespace.__dict__.get("operands", ()))
        self.attribute_names = attributes
        self.implied_attributes = implied
        kinds = KINDS | namespace.__dict__.get("kinds", {})
        unknown = [key for key in attributes if key not in kinds]
        if unknown:
            raise TypeError(
                f"op {name} has attributes of unknown kind, {', '.join(unknown)}: name it in its "
                "kinds, or in KINDS of nets/ops/definition/attributes.py"
            )
        self.kinds: dict[str, Kind] = {key: kinds[key] for key in attributes}
        self.region_count = regions
        self.samples: list[Sample] = [
            Sample((s,)) if isinstance(s, Spec) else s
            for s in namespace.__dict__.get("samples", ())
        ]
        self.rules = Rules(name, namespace, traits)
        self.forward = _decision(name, "forward", namespace, forward_of(self.rules, traits))
        batch = batch_of(self.rules, self.operand_names, traits)
        self.batch = _decision(name, "batch", namespace, batch)
        self.native_from: int | None = namespace.__dict__.get("native_from")
        """From so many elements of a matrix on, eager calls are compiled (``native_ops``)."""
        if self.native_from is not None and not traits & Trait.EXACT:
            raise TypeError(f"op {name} is not exact, so eager calls go by its reference")
        self.is_variadic = any(name.startswith("*") for name in self.operand_names)
        # Asked for with every operation that is made.
        self._attribute_set = frozenset(attributes)
        self._takes_tensors = self.rules.evaluate is not None
        self._takes_floats = bool(traits & Trait.FLOAT_ONLY)
        self._depends_on_strides = bool(traits & Trait.ELEMENTWISE and not traits & Trait.EXACT)

    def infer(
        self, operands: Sequence[Value], attributes: Attributes, regions: Sequence[Region] = ()
    ) -> tuple[Type, ...]:
        """Result types of the op for operands of these types."""
        if not self.is_variadic and len(operands) != len(self.operand_names):
            raise VerifyError(
                f"{self.name} takes {len(self.operand_names)} operands, not {len(operands)}"
            )
        if attributes.keys() != self._attribute_set:
            raise VerifyError(
                f"{self.name} has attributes {sorted(self.attribute_names)}, "
                f"not {sorted(attributes)}"
            )
        if len(regions) != self.region_count:
            raise VerifyError(f"{self.name} has {self.region_count} regions, not {len(regions)}")
        types = [operand.type for operand in operands]
        if self._takes_tensors:
            self._check_tensors(types)
        for key, value in attributes.items():
            kind = self.kinds[key]
            if not kind.fits(value):
                raise VerifyError(
                    f"{self.name}: the attribute {key} is {kind.words}, not {value!r}"
                )
        if self._takes_floats:
            for type in types:
                if not type.dtype.is_float:
                    raise DTypeError(f"{self.name} takes floating-point operands, not {type}")
        extra = {"regions": regions} if self.region_count else {}
        found = self.rules.infer(*types, **attributes, **extra)
        results: tuple[Type, ...] = found if isinstance(found, tuple) else (found,)
        for result in results:
            if isinstance(result, TensorType) and not is_addressable(result.shape):
                raise ShapeError(f"{self.name}: {result} has too many elements")
        return results

    def _check_tensors(self, types: Sequence[Type]) -> None:
        for type in types:
            if not isinstance(type, TensorType):
                raise VerifyError(f"{self.name} takes tensors, not {type}")

    def stacked_attributes(self, attributes: Attributes, size: Dim) -> dict[str, Attribute]:
        """The attributes with which the op does to each entry of operands with a new first axis, of
        that size, what it does to operands without; where ``batch`` is ITSELF."""
        assert self.batch is ITSELF
        return {key: self.kinds[key].stacked(value, size) for key, value in attributes.items()}

    def evaluate(self, arrays: Sequence[Array], attributes: Attributes) -> tuple[Array, ...]:
        """The results for these arrays, by the NumPy rule, in IEEE mode; no floating-point warning
        leaks."""
        rule = self.rules.evaluate
        if rule is None:
            raise VerifyError(f"{self.name} has no reference to evaluate")
        if self._depends_on_strides:
            arrays = [_in_one_piece(array) for array in arrays]
        enter, leave = ieee_calls()
        mode = enter()
        try:
            with np.errstate(all="ignore"):
                result = rule(*arrays, **attributes)
        finally:
            leave(mode)
        results = result if isinstance(result, tuple) else (result,)
        return tuple(np.asarray(r) for r in results)

    def is_exact(self, operand_types: Sequence[Type]) -> bool:
        """Whether native results have the bits of the reference for operands of these types."""
        if self.traits & Trait.EXACT:
            return True
        rule = self.rules.exact
        return rule is not None and all(rule(type.dtype) for type in operand_types)

    # What only ops of a certain kind have, for those who know that this is one.

    @property
    def lower_scalar(self) -> LowerScalar:
        """How an elementwise op makes an element from those of its operands."""
        return self._own(self.rules.lower_scalar, "lower")

    @property
    def lower_element(self) -> LowerElement:
        """How an indexing op finds an element."""
        return self._own(self.rules.lower_element, "lower")

    @property
    def lower_kernel(self) -> LowerKernel:
        """How a kernel goes from buffers to buffers."""
        return self._own(self.rules.lower_kernel, "lower")

    @property
    def combiner(self) -> str:
        """The combiner of a reduction."""
        return self._own(self.rules.combine, "combine")

    @property
    def identity(self) -> Identity:
        """What the combiner of a reduction starts from."""
        return self._own(self.rules.identity, "identity")

    @property
    def total(self) -> Total:
        """The op summed over the steps of a loop."""
        return self._own(self.rules.total, "total")

    @property
    def stacked(self) -> Stacked:
        """The op of all steps of a loop."""
        return self._own(self.rules.stacked, "stacked")

    @property
    def pieces(self) -> PiecesRule:
        """Where each operand stands in a result put together from them."""
        return self._own(self.rules.pieces, "pieces")

    @property
    def run(self) -> Begin:
        """The meaning of an op with regions."""
        return self._own(self.rules.run, "reference to evaluate")

    def _own(self, rule: Rule | None, what: str) -> Rule:
        if rule is None:
            raise VerifyError(f"{self.name} has no {what}")
        return rule

    @property
    def derivative_reason(self) -> str | None:
        """Why the op has no derivative; None where it has one."""
        return self.rules.no_derivative

    def vjp(
        self,
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value | None],
        attributes: Attributes,
        wanted: Sequence[bool],
    ) -> list[Value | None]:
        """Cotangents of the wanted operands (None for zero or not wanted).

        ``cts`` holds a cotangent per result, None for zero; not all are None.
        """
        given = cotangents(self.rules, b, operands, results, cts, attributes)
        if given is None:
            raise GradientError(f"{self.name} has no derivative: {self.rules.no_derivative}")
        return [forced(ct) if want else None for ct, want in zip(given, wanted, strict=True)]

    def jvp(
        self,
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        tangents: Tangents,
        attributes: Attributes,
    ) -> Tangents:
        """Tangents of the results (None for zero), of an op without regions.

        ``tangents`` holds one per operand, None for zero; not all are None.
        """
        rules = self.rules
        if rules.jvp is not None:
            return rules.jvp(b, operands, results, tangents, **attributes)
        if self.forward is PARTIALS:
            assert rules.partials is not None
            partials = rules.partials(b, *operands, *results, **attributes)
            return [sum_of_products(b, tangents, partials)]
        if self.forward is ITSELF:
            return b.emit_all(self.name, *filled(b, operands, tangents), **attributes)
        if self.forward is IN_EACH:
            return [sum_in_each(self.name, b, operands, tangents, attributes)]
        return [None] * len(results)

    def stack(
        self,
        b: Emitter,
        operands: Sequence[Value],
        stacked: Sequence[bool],
        size: Dim,
        attributes: Attributes,
    ) -> Sequence[Value] | None:
        """Results with a new first axis of that size, one entry per example, as the operands have
        it that are ``stacked``; of an op without regions. None where each entry needs the op."""
        if self.rules.stack is not None:
            return self.rules.stack(b, operands, stacked, size, **attributes)
        if self.batch is EACH or self.batch is None:
            return None
        given = [
            x if is_stacked else b.repeated(x, size)
            for x, is_stacked in zip(operands, stacked, strict=True)
        ]
        return b.emit_all(self.name, *given, **self.stacked_attributes(attributes, size))


def _decision(
    name: str, transform: str, namespace: type, implied: Decision | None
) -> Decision | None:
    """What the class says, or what it implies without a word; not both."""
    said: Decision | None = namespace.__dict__.get(transform)
    if said is not None and implied is not None:
        raise TypeError(f"op {name} needs no word about {transform}: {implied.words}")
    return said or implied


def _in_one_piece(array: Array) -> Array:
    """The elements side by side: NumPy's math functions take other code for strides, with other
    last bits on some CPUs, and the reference must not depend on the layout."""
    is_plain = array.flags.c_contiguous and array.size != 1  # one element has any strides
    return array if is_plain or not array.ndim else np.array(array, order="C")


REGISTRY: dict[str, OpDef] = {}
"""Every op of both dialects, by name."""


def lookup(name: str) -> OpDef:
    """The definition of that name; VerifyError where there is none."""
    definition = REGISTRY.get(name)
    if definition is None:
        raise VerifyError(f"there is no op named {name!r}")
    return definition


def definition_of(op: Operation) -> OpDef:
    """What the registry knows of an operation; VerifyError where that is nothing."""
    definition = op.definition
    if not isinstance(definition, OpDef):
        raise VerifyError(f"{op.name} is no op of the registry", op.location)
    return definition


@cache
def reduction_identity(combiner: str) -> Identity:
    """What the reductions with that combiner start from."""
    return next(d.identity for d in REGISTRY.values() if d.rules.combine == combiner)


def _register(definition: OpDef) -> OpDef:
    if definition.name in REGISTRY:
        raise TypeError(f"op {definition.name} is defined twice")
    if not definition.doc and sys.flags.optimize < 2:  # python -OO drops docstrings
        raise TypeError(f"op {definition.name} has no docstring")
    REGISTRY[definition.name] = definition
    return definition


def _check_decisions(definition: OpDef) -> None:
    for transform in ("forward", "batch"):
        if getattr(definition, transform) is None:
            raise TypeError(
                f"op {definition.name} needs a decision about {transform}: one out of "
                "nets/ops/definition/decisions.py"
            )


def op(
    name: str,
    traits: Trait = Trait.PURE,
    attributes: tuple[str, ...] = (),
    implied: tuple[str, ...] = (),
    regions: int = 0,
) -> Callable[[type], OpDef]:
    """Class decorator: an op of the tensor dialect. Refuses an incomplete class."""

    def make(namespace: type) -> OpDef:
        definition = OpDef(name, namespace, traits, attributes, implied, regions)
        decisions = definition.rules.derivative_decisions
        if len(decisions) != 1:
            raise TypeError(
                f"op {name} needs exactly one derivative decision out of partials, transpose, vjp, "
                f"no_derivative; it has {decisions or 'none'}"
            )
        _check_decisions(definition)
        if definition.rules.evaluate is None:
            raise TypeError(f"op {name} has no reference (evaluate)")
        if not definition.rules.has_lowering:
            raise TypeError(f"op {name} has no lowering (lower, or combine of a reduction)")
        if not definition.samples:
            raise TypeError(f"op {name} has no samples")
        return _register(definition)

    return make


def structural(
    name: str,
    traits: Trait = Trait.NONE,
    attributes: tuple[str, ...] = (),
    implied: tuple[str, ...] = (),
    regions: int = 0,
) -> Callable[[type], OpDef]:
    """Class decorator: an op that holds a program together or belongs to the loop dialect.

    Such ops have a docstring and a type rule; they are not differentiated or evaluated alone.
    """

    def make(namespace: type) -> OpDef:
        return _register(OpDef(name, namespace, traits, attributes, implied, regions))

    return make
