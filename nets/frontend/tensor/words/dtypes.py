"""Dtypes as objects, constants, and what may be asked about dtypes, as the array API has them."""

from __future__ import annotations

import builtins
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nets.errors import ArgumentError, DTypeError
from nets.frontend.tensor.conversion import dtype_of, is_scalar
from nets.frontend.tensor.dispatch import _stand_in
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.words.arguments import one_of
from nets.frontend.tensor.words.devices import CPU, on_cpu
from nets.ir.location import user_location
from nets.ir.types import DType

DTypeSpec = npt.DTypeLike | DType

__array_api_version__: Final = "2024.12"

e: Final = math.e
pi: Final = math.pi
inf: Final = math.inf
nan: Final = math.nan
newaxis: Final = None

int8, int16, int32, int64 = map(np.dtype, ("int8", "int16", "int32", "int64"))
uint8, uint16, uint32, uint64 = map(np.dtype, ("uint8", "uint16", "uint32", "uint64"))
float32, float64 = map(np.dtype, ("float32", "float64"))
_BOOL: Final = np.dtype("bool")

_KINDS: Final = {
    "bool": (_BOOL,),
    "signed integer": (int8, int16, int32, int64),
    "unsigned integer": (uint8, uint16, uint32, uint64),
    "real floating": (float32, float64),
    "complex floating": (),
}
_UNIONS: Final = {
    "integral": ("signed integer", "unsigned integer"),
    "numeric": ("signed integer", "unsigned integer", "real floating", "complex floating"),
}
"""Kinds of dtypes by the words of the standard."""


def _of_kind(kind: str) -> tuple[np.dtype[Any], ...]:
    parts = _UNIONS.get(kind, (kind,))
    if not all(part in _KINDS for part in parts):
        raise ArgumentError(
            f"{kind!r} is no kind of dtypes: they are {', '.join([*_KINDS, *_UNIONS])}",
            user_location(),
        )
    return tuple(dtype for part in parts for dtype in _KINDS[part])


class Limits:
    """Limits of the numbers of a dtype, as attributes: ``finfo`` and ``iinfo`` give one."""

    def __init__(self, dtype: np.dtype[Any], **limits: float) -> None:
        self.dtype = dtype
        for name, limit in limits.items():
            setattr(self, name, limit)

    def __repr__(self) -> str:
        listed = (f"{name}={value}" for name, value in vars(self).items())
        return f"{type(self).__name__}({', '.join(listed)})"


def finfo(type: DTypeSpec | Tensor) -> Limits:
    """Limits of a floating-point dtype, or of that of a tensor: ``bits``, ``eps``, ``epsneg``,
    ``max``, ``min``, ``smallest_normal``, ``smallest_subnormal`` and ``tiny`` as Python numbers.

    DTypeError for other dtypes. ``type`` is the dtype, or the tensor.
    """
    dtype = _dtype(type)
    if dtype.kind != "f":
        raise DTypeError(f"finfo takes floating-point dtypes, not {dtype}", user_location())
    found = np.finfo(dtype)
    names = ("eps", "epsneg", "max", "min", "smallest_normal", "smallest_subnormal", "tiny")
    return Limits(dtype, bits=found.bits, **{name: float(getattr(found, name)) for name in names})


def iinfo(type: DTypeSpec | Tensor) -> Limits:
    """Limits of an integer dtype, or of that of a tensor: ``bits``, ``max`` and ``min``.

    DTypeError for other dtypes. ``type`` is the dtype, or the tensor.
    """
    dtype = _dtype(type)
    if dtype.kind not in "iu":
        raise DTypeError(f"iinfo takes integer dtypes, not {dtype}", user_location())
    found = np.iinfo(dtype)
    return Limits(dtype, bits=found.bits, max=int(found.max), min=int(found.min))


def _dtype(of: Any) -> np.dtype[Any]:
    return of.dtype if isinstance(of, (Tensor, np.ndarray)) else dtype_of(of).numpy


def isdtype(dtype: DTypeSpec, kind: Any) -> builtins.bool:
    """Whether a dtype is another one, of a kind ("bool", "signed integer", "unsigned integer",
    "integral", "real floating", "complex floating", "numeric"), or any of a tuple of these.

    ArgumentError for a string that is no such kind.
    """
    own = dtype_of(dtype).numpy
    if isinstance(kind, tuple):
        return any(isdtype(own, one) for one in kind)
    return own in _of_kind(kind) if isinstance(kind, str) else own == dtype_of(kind).numpy


def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    """The dtype these promote to; Python numbers give way to the others.

    ArgumentError for no arguments. ``arrays_and_dtypes``: tensors, arrays, dtypes and Python
    numbers.
    """
    if not arrays_and_dtypes:
        raise ArgumentError("result_type takes at least one tensor or dtype", user_location())
    found = np.result_type(*map(_promoting, arrays_and_dtypes))
    return dtype_of(found).numpy


def _promoting(x: Any) -> Any:
    """What NumPy promotes in place of x."""
    if isinstance(x, Tensor) or is_scalar(x):
        return _stand_in(x)
    return x.dtype if isinstance(x, (np.ndarray, np.generic)) else dtype_of(x).numpy


def promote_types(type1: DTypeSpec, type2: DTypeSpec) -> np.dtype[Any]:
    """The dtype that ``type1`` and ``type2`` promote to."""
    return result_type(dtype_of(type1).numpy, dtype_of(type2).numpy)


def can_cast(from_: DTypeSpec | Tensor, to: DTypeSpec, casting: str = "safe") -> builtins.bool:
    """Whether a dtype, or that of a tensor, converts to another under NumPy's rule of that name.

    ArgumentError for a rule that NumPy lacks, DTypeError for a Python number, which has no dtype.
    ``from_`` converts to ``to`` under the rule ``casting``: "no", "equiv", "safe", "same_kind" or
    "unsafe".
    """
    one_of(casting, ("no", "equiv", "safe", "same_kind", "unsafe"), "the rule for conversions")
    return np.can_cast(_dtype(from_), dtype_of(to).numpy, casting)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------ inspection


class NamespaceInfo:
    """What ``nets`` tells of itself as a namespace of the array API standard."""

    def capabilities(self) -> dict[str, Any]:
        """Masks and shapes that depend on elements work (outside of a trace), up to 64 axes."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """Where tensors are made: "cpu"."""
        return CPU

    def devices(self) -> list[str]:
        """Where tensors may be: "cpu" and nowhere else."""
        return [CPU]

    def default_dtypes(self, *, device: str | None = None) -> dict[str, np.dtype[Any]]:
        """The dtypes of new tensors, by kind. There are no complex numbers."""
        on_cpu(device)
        return {"real floating": float64, "integral": int64, "indexing": int64}

    def dtypes(
        self, *, device: str | None = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, np.dtype[Any]]:
        """All dtypes, or those of a kind, by name; see ``isdtype``."""
        on_cpu(device)
        kinds = tuple(_KINDS) if kind is None else kind
        listed = kinds if isinstance(kinds, tuple) else (kinds,)
        return {dtype.name: dtype for one in listed for dtype in _of_kind(one)}


def __array_namespace_info__() -> NamespaceInfo:
    """What the array API standard lets one ask of the namespace: devices, dtypes, capabilities."""
    return NamespaceInfo()


bool = _BOOL
