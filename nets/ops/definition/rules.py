"""The rules of an op: what its class may say, each with its type.

An op class is a namespace of plain functions (they take no ``self``), one per rule. ``Rules`` reads
it once; passes and backends ask the result, by name. In every rule ``attributes`` are those of the
operation, by keyword. What a class may give, besides ``operands`` (their names; one that starts
with '*' stands for any number), ``samples``, and ``kinds`` (of attributes that are of another kind
than their name tells, see ``nets.ops.definition.attributes``):

``infer``, ``evaluate``
    the type rule, and the meaning in NumPy.
one derivative decision
    ``partials`` for elementwise ops, ``transpose`` for ops linear in their operands, ``vjp`` for
    the rest, or ``no_derivative = "why"``.
``jvp``, ``stack``
    the rules of forward mode and of batching, where neither the kind of op nor ``forward`` and
    ``batch`` tell, decisions out of ``nets.ops.definition.decisions``.
``footprint``
    which elements the result depends on, where the traits and ``pieces`` do not tell
    (``nets.ops.definition.footprints``).
two rules for the derivatives of loops, where they pay
    ``total`` and ``stacked``.
one lowering
    ``lower``, whose form tells the trait: ``LowerScalar`` of ELEMENTWISE ops, ``LowerElement`` of
    INDEXING ops and constants, ``LowerKernel`` of KERNEL ops. REDUCTION ops give ``combine``, the
    name of a combiner of ``loop.reduce``, and ``identity`` instead.
``updates``
    of a kernel that changes some elements of an operand, the number of that operand. The result has
    the elements of the operand when the loops begin, for it may be in the same memory.
``leading``
    of a kernel, along how many leading axes it goes entry by entry.
``pieces``
    of an op whose result is put together from whole operands, where they stand.
``run``, ``perform``
    the meaning of an op with regions, and what an op with an effect does.
``flops``, ``exact``
    for an op that does more arithmetic than one operation per element; for one that is exact for
    some dtypes of its operands only (the trait EXACT says all).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy.typing as npt

from nets.ir.affine import Affine
from nets.ir.core import Attribute, Operation, Trait, Value
from nets.ir.sizes import Dim
from nets.ir.types import DType, Shape, Type

if TYPE_CHECKING:
    from nets.ops.definition.emitter import Emitter
    from nets.ops.definition.footprints import Footprint, Footprints

Array = npt.NDArray[Any]

Run = Generator[tuple[int, Sequence[Array]], Sequence[Array], Sequence[Array]]
"""An operation with regions on its way: says which region to run on which arrays, takes what that
gave, and returns the results."""

Lazy = Value | None | Callable[[], Value | None]
"""A value of a derivative; None stands for zero, a function for one to be built only if wanted."""

Tangents = Sequence[Value | None]
"""A tangent for each operand or result; None stands for zero."""

Pieces = tuple[tuple[tuple[int, Shape], ...], int | None]
"""What a result is put together from: operands and where the first element of each stands; and the
operand, of one number, that is everywhere else, if there is one."""


# ------------------------------------------------------------------------ type and meaning


class Infer(Protocol):
    """Result type or tuple of them; raises ShapeError or DTypeError. An op with regions gets them
    as ``regions``."""

    def __call__(self, *types: Type, **attributes: Attribute) -> Type | tuple[Type, ...]: ...


class Evaluate(Protocol):
    """NumPy; the meaning of the op."""

    def __call__(self, *arrays: Array, **attributes: Attribute) -> Array | tuple[Array, ...]: ...


class Begin(Protocol):
    """The meaning of an op with regions: a generator of runs of them."""

    def __call__(self, op: Operation, arrays: Sequence[Array]) -> Run: ...


class Perform(Protocol):
    """What an op with an effect does."""

    def __call__(self, arrays: Sequence[Array], **attributes: Attribute) -> None: ...


# ----------------------------------------------------------------------------- derivatives


class Partials(Protocol):
    """∂result/∂operand for each operand of an elementwise op; takes the operands and the result."""

    def __call__(self, b: Emitter, *values: Value, **attributes: Attribute) -> Sequence[Lazy]: ...


class Transpose(Protocol):
    """The cotangent of each operand of an op that is linear in them.

    Operands may be asked for their type, and for their value only where the op is not linear in
    them, as in indices.
    """

    def __call__(
        self, b: Emitter, ct: Value, *operands: Value, **attributes: Attribute
    ) -> Sequence[Lazy]: ...


class Vjp(Protocol):
    """The cotangent of each operand; ``cts`` has one per result, None for zero."""

    def __call__(
        self,
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value | None],
        **attributes: Attribute,
    ) -> Sequence[Lazy]: ...


class FootprintRule(Protocol):
    """The footprint of the result, of those of the operands."""

    def __call__(
        self, f: Footprints, *operands: Footprint, **attributes: Attribute
    ) -> Footprint: ...


class Jvp(Protocol):
    """The tangent of each result; not all of the ``tangents`` are None."""

    def __call__(
        self,
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        tangents: Tangents,
        **attributes: Attribute,
    ) -> Tangents: ...


class Stack(Protocol):
    """The results for operands some of which, those that are ``stacked``, have a new first axis of
    that size, one entry per example. All results have it. None where it is to be done entry by
    entry."""

    def __call__(
        self,
        b: Emitter,
        operands: Sequence[Value],
        stacked: Sequence[bool],
        size: Dim,
        **attributes: Attribute,
    ) -> Sequence[Value] | None: ...


class Total(Protocol):
    """The sum over all steps of a loop of the op, each operand stacked along a new first axis."""

    def __call__(self, b: Emitter, *stacks: Value) -> Value: ...


class Stacked(Protocol):
    """The op of each step of a loop, stacked along a new first axis as its operand is."""

    def __call__(self, b: Emitter, stack: Value, **attributes: Attribute) -> Value: ...


# -------------------------------------------------------------------------------- lowering


class Builds(Protocol):
    """What every lowering rule is given: the face of ``nets.ops.loop.loop_builder.LoopBuilder``."""

    def emit(self, name: str, *operands: Value, **attributes: Attribute) -> Operation: ...


class Reads(Builds, Protocol):
    """What rules that read tensors are given: that of ``nets.ops.loop.lowering.Lowering``."""

    def read(self, operand: Value, index: tuple[Affine, ...]) -> Value: ...


class LowerScalar(Protocol):
    """The scalar for those of the operands. ``s`` is a LoopBuilder; a Lowering for CHECKED ops."""

    def __call__(self, s: Builds, *scalars: Value, **attributes: Attribute) -> Value: ...


class LowerElement(Protocol):
    """The scalar of the result at ``index``, found with ``s.read(operand, index)``; ``s`` is a
    Lowering."""

    def __call__(
        self, s: Reads, index: tuple[Affine, ...], *operands: Value, **attributes: Attribute
    ) -> Value: ...


class LowerKernel(Protocol):
    """Builds loops from buffers to buffers; ``s`` is a Lowering."""

    def __call__(
        self,
        s: Reads,
        operands: Sequence[Value],
        results: Sequence[Value],
        **attributes: Attribute,
    ) -> None: ...


class Identity(Protocol):
    """The value that combining starts from."""

    def __call__(self, dtype: DType) -> float: ...


class PiecesRule(Protocol):
    """Where which operand stands in the result."""

    def __call__(self, *types: Type, **attributes: Attribute) -> Pieces: ...


class Leading(Protocol):
    """Leading axes along which each entry of the result is made of that of each operand."""

    def __call__(self, *types: Type) -> int: ...


# ------------------------------------------------------------------------- cost, exactness


class Flops(Protocol):
    """Scalar operations of the op, a multiply-add counted as two."""

    def __call__(self, *types: Type, **attributes: Attribute) -> int: ...


class Exact(Protocol):
    """Whether the native result has the bits of the reference for operands of the dtype."""

    def __call__(self, dtype: DType) -> bool: ...


_NO_RULES: Final = ("operands", "samples", "kinds", "forward", "batch", "native_from")
"""What a class gives besides its rules."""


class Rules:
    """The rules of one op, read from its class; None where it has none of that name.

    TypeError where the class lacks ``infer``, or says something that is no rule.
    """

    __slots__ = (
        "combine",
        "evaluate",
        "exact",
        "flops",
        "footprint",
        "identity",
        "infer",
        "jvp",
        "leading",
        "lower_element",
        "lower_kernel",
        "lower_scalar",
        "no_derivative",
        "partials",
        "perform",
        "pieces",
        "run",
        "stack",
        "stacked",
        "total",
        "transpose",
        "updates",
        "vjp",
    )

    def __init__(self, name: str, namespace: type, traits: Trait) -> None:
        given = {key: value for key, value in vars(namespace).items() if not key.startswith("_")}
        take = given.pop
        for word in _NO_RULES:
            take(word, None)
        if "infer" not in given:
            raise TypeError(f"op {name} has no type rule (infer)")
        self.infer: Infer = take("infer")
        self.evaluate: Evaluate | None = take("evaluate", None)
        self.run: Begin | None = take("run", None)
        self.perform: Perform | None = take("perform", None)

        self.partials: Partials | None = take("partials", None)
        self.transpose: Transpose | None = take("transpose", None)
        self.vjp: Vjp | None = take("vjp", None)
        self.no_derivative: str | None = take("no_derivative", None)
        self.footprint: FootprintRule | None = take("footprint", None)
        self.jvp: Jvp | None = take("jvp", None)
        self.stack: Stack | None = take("stack", None)
        self.total: Total | None = take("total", None)
        self.stacked: Stacked | None = take("stacked", None)

        self.lower_scalar: LowerScalar | None = None
        self.lower_element: LowerElement | None = None
        self.lower_kernel: LowerKernel | None = None
        if traits & Trait.ELEMENTWISE:
            self.lower_scalar = take("lower", None)
        elif traits & (Trait.INDEXING | Trait.CONSTANT):
            self.lower_element = take("lower", None)
        elif traits & Trait.KERNEL:
            self.lower_kernel = take("lower", None)
        self.combine: str | None = take("combine", None)
        self.identity: Identity | None = take("identity", None)
        self.updates: int | None = take("updates", None)
        self.leading: Leading | None = take("leading", None)
        self.pieces: PiecesRule | None = take("pieces", None)

        self.flops: Flops | None = take("flops", None)
        self.exact: Exact | None = take("exact", None)
        if given:
            raise TypeError(f"op {name} has what is no rule for its traits: {', '.join(given)}")

    @property
    def derivative_decisions(self) -> list[str]:
        """The names of those there are; an op of the tensor dialect has one."""
        names = ("partials", "transpose", "vjp", "no_derivative")
        return [name for name in names if getattr(self, name) is not None]

    @property
    def has_lowering(self) -> bool:
        """Whether the op says how it becomes loops."""
        lowerings = (self.lower_scalar, self.lower_element, self.lower_kernel, self.combine)
        return any(rule is not None for rule in lowerings)
