"""Register types: what the type rules of the loop dialect ask of scalars and vectors."""

from __future__ import annotations

from collections.abc import Sequence

from nets.errors import VerifyError
from nets.ir.types import DType, ScalarType, Type, VectorType


def with_dtype(type: Type, dtype: DType) -> ScalarType | VectorType:
    """The scalar or vector type of that shape with another dtype."""
    if isinstance(type, VectorType):
        return VectorType(type.lanes, dtype)
    return ScalarType(dtype)


def register_type(dtype: DType, lanes: int) -> ScalarType | VectorType:
    return ScalarType(dtype) if lanes == 1 else VectorType(lanes, dtype)


def same_type(name: str, *types: Type) -> Type:
    first = types[0]
    if not isinstance(first, (ScalarType, VectorType)) or any(t != first for t in types):
        raise VerifyError(f"{name} needs equal scalar or vector types, not {listed(types)}")
    return first


def listed(types: Sequence[Type]) -> str:
    return ", ".join(map(str, types))
