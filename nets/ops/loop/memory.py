"""Memory: buffers, parts of them, and the loads and stores that go to their elements.

``loop.load`` and ``loop.store`` access element ``offset + Σ strides[i] · index[i]`` of a buffer.
With ``lanes = 1`` that is one scalar; with ``lanes = W`` and scalar indices, W consecutive
elements; where one of the indices is a vector, one element per lane.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from nets.errors import VerifyError
from nets.ir.core import Trait
from nets.ir.sizes import Dim
from nets.ir.types import BufferType, ScalarType, Type, VectorType, bool_, index
from nets.ops.definition.registry import Array, structural
from nets.ops.loop.register_types import listed, register_type


@structural("loop.alloc", attributes=("type", "offset"), implied=("type",))
class Alloc:
    """A buffer in the call's arena, at byte ``offset`` (−1 until plan_memory has placed it)."""

    operands = ()

    def infer(*, type: Type, offset: Dim) -> Type:
        return type


@structural("loop.scratch", attributes=("type",), implied=("type",))
class Scratch:
    """A small buffer private to one iteration of the surrounding parallel loop."""

    operands = ()

    def infer(*, type: Type) -> Type:
        return type


@structural("loop.global", attributes=("value",))
class Global:
    """A read-only buffer that holds the elements of a NumPy array."""

    operands = ()

    def infer(*, value: Array) -> Type:
        from nets.ir.types import from_numpy

        dtype = from_numpy(value.dtype)
        if dtype is None:
            raise VerifyError(f"loop.global cannot hold {value.dtype}")
        return BufferType(value.shape, dtype)


@structural("loop.view", Trait.PURE, attributes=("type", "offset"), implied=("type",))
class View:
    """Part of a buffer from element ``offset`` on, under another shape; no copy."""

    operands = ("buffer",)

    def infer(buffer: Type, *, type: Type, offset: Dim) -> Type:
        if not isinstance(buffer, BufferType) or not isinstance(type, BufferType):
            raise VerifyError("loop.view goes from buffer to buffer")
        if not _lies_inside(type, offset, buffer):
            raise VerifyError(f"{type} at {offset} does not lie inside {buffer}")
        return type


def _lies_inside(part: BufferType, offset: Dim, whole: BufferType) -> bool:
    """Whether a part of a buffer may lie there: for sizes of a call it is not known here."""
    rest = whole.elements - part.elements - offset
    ends = [size for size in (offset, rest) if isinstance(size, int)]
    return part.dtype == whole.dtype and all(end >= 0 for end in ends)


@structural("loop.slice", Trait.PURE, attributes=("type", "offset", "stride"), implied=("type",))
class Slice:
    """The part of a buffer from element ``offset + stride · number`` on, which the caller knows to
    lie inside it. Slices of different numbers, or of different fields, do not overlap."""

    operands = ("buffer", "number")

    def infer(buffer: Type, number: Type, *, type: Type, offset: Dim, stride: Dim) -> Type:
        if not isinstance(buffer, BufferType) or not isinstance(type, BufferType):
            raise VerifyError("loop.slice goes from buffer to buffer")
        if number != ScalarType(index):
            raise VerifyError(f"loop.slice is chosen by an index, not {number}")
        if not _lies_inside(type, offset, buffer):
            raise VerifyError(f"{type} at {offset} does not lie inside {buffer}")
        return type


def _address(
    name: str, buffer: Type, indices: tuple[Type, ...], strides: tuple[Dim, ...]
) -> BufferType:
    if not isinstance(buffer, BufferType):
        raise VerifyError(f"{name} needs a buffer, not {buffer}")
    if len(indices) != len(strides):
        raise VerifyError(f"{name} needs a stride for each index")
    if any(type.dtype != index for type in indices):
        raise VerifyError(f"{name} needs index operands, not {listed(indices)}")
    return buffer


def _lanes_of(indices: tuple[Type, ...], lanes: int) -> int:
    vectors = {type.lanes for type in indices if isinstance(type, VectorType)}
    if vectors and vectors != {lanes}:
        raise VerifyError(f"index vectors of {vectors} lanes for an access of {lanes}")
    return lanes


@structural("loop.load", attributes=("lanes", "offset", "strides"))
class Load:
    """Reads one scalar, ``lanes`` consecutive elements, or one element per index lane."""

    operands = ("buffer", "*indices")

    def infer(
        buffer: Type, *indices: Type, lanes: int, offset: Dim, strides: tuple[Dim, ...]
    ) -> Type:
        found = _address("loop.load", buffer, indices, strides)
        return register_type(found.dtype, _lanes_of(indices, lanes))


@structural("loop.store", attributes=("offset", "strides"))
class Store:
    """Writes a scalar, consecutive lanes, or one element per index lane."""

    operands = ("value", "buffer", "*indices")

    def infer(
        value: Type, buffer: Type, *indices: Type, offset: Dim, strides: tuple[Dim, ...]
    ) -> tuple[Type, ...]:
        found = _address("loop.store", buffer, indices, strides)
        _lanes_of(indices, value.lanes if isinstance(value, VectorType) else 1)
        if not isinstance(value, (ScalarType, VectorType)) or value.dtype != found.dtype:
            raise VerifyError(f"loop.store puts {value} into {found}")
        return ()


@structural("loop.masked_load", attributes=("lanes", "offset", "strides"))
class MaskedLoad:
    """Reads consecutive elements where ``mask`` is set; the other lanes are 0, never read."""

    operands = ("mask", "buffer", "*indices")

    def infer(
        mask: Type,
        buffer: Type,
        *indices: Type,
        lanes: int,
        offset: Dim,
        strides: tuple[Dim, ...],
    ) -> Type:
        found = _address("loop.masked_load", buffer, indices, strides)
        if mask != VectorType(lanes, bool_):
            raise VerifyError(f"loop.masked_load needs {lanes} mask lanes, not {mask}")
        return VectorType(_lanes_of(indices, lanes), found.dtype)


@structural("loop.masked_store", attributes=("offset", "strides"))
class MaskedStore:
    """Writes consecutive elements where ``mask`` is set; the others stay untouched."""

    operands = ("mask", "value", "buffer", "*indices")

    def infer(
        mask: Type,
        value: Type,
        buffer: Type,
        *indices: Type,
        offset: Dim,
        strides: tuple[Dim, ...],
    ) -> tuple[Type, ...]:
        found = _address("loop.masked_store", buffer, indices, strides)
        if not isinstance(value, VectorType) or mask != VectorType(value.lanes, bool_):
            raise VerifyError(f"loop.masked_store puts {value} under {mask}")
        if value.dtype != found.dtype:
            raise VerifyError(f"loop.masked_store puts {value} into {found}")
        return ()
