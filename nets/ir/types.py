"""Types of values: dtypes, tensors, buffers, scalars, vectors, functions, and their text forms.

========================  =====================================================
``tensor<32x784xf32>``    an immutable array value; ``tensor<f32>`` is 0-d
``tensor<?batch x784xf32>``  a tensor with a dimension whose size a call tells
``tensor<?{2*n + 1} xf32>``  the same, of a size computed from one (``nets.ir.sizes``)
``buffer<32x784xf32>``    memory of that many elements, contiguous, row-major
``f32``, ``index``        a scalar of the loop dialect
``vector<8xf32>``         that many lanes of a scalar
========================  =====================================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from nets.errors import OpenSizeError
from nets.ir.sizes import Dim, Size


@dataclass(frozen=True, slots=True)
class DType:
    """An element type. ``kind`` is 'b' bool, 'i' signed, 'u' unsigned, 'f' float, 'x' index."""

    name: str
    kind: str
    itemsize: int

    def __str__(self) -> str:
        return self.name

    @property
    def bits(self) -> int:
        return 1 if self.kind == "b" else 8 * self.itemsize

    @property
    def is_float(self) -> bool:
        return self.kind == "f"

    @property
    def is_integer(self) -> bool:
        return self.kind in "iux"

    @property
    def is_bool(self) -> bool:
        return self.kind == "b"

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The NumPy dtype of the same elements (int64 for index)."""
        return _TO_NUMPY[self]


bool_: Final = DType("bool", "b", 1)
i8: Final = DType("i8", "i", 1)
i16: Final = DType("i16", "i", 2)
i32: Final = DType("i32", "i", 4)
i64: Final = DType("i64", "i", 8)
u8: Final = DType("u8", "u", 1)
u16: Final = DType("u16", "u", 2)
u32: Final = DType("u32", "u", 4)
u64: Final = DType("u64", "u", 8)
f32: Final = DType("f32", "f", 4)
f64: Final = DType("f64", "f", 8)
index: Final = DType("index", "x", 8)
"""A signed 64-bit loop counter or element offset; only in the loop dialect."""

TENSOR_DTYPES: Final = (bool_, i8, i16, i32, i64, u8, u16, u32, u64, f32, f64)
DTYPES: Final = {dtype.name: dtype for dtype in (*TENSOR_DTYPES, index)}

_NUMPY_NAMES = {
    bool_: "bool",
    i8: "int8",
    i16: "int16",
    i32: "int32",
    i64: "int64",
    u8: "uint8",
    u16: "uint16",
    u32: "uint32",
    u64: "uint64",
    f32: "float32",
    f64: "float64",
    index: "int64",
}
_TO_NUMPY = {dtype: np.dtype(name) for dtype, name in _NUMPY_NAMES.items()}
_FROM_NUMPY = {_TO_NUMPY[dtype]: dtype for dtype in TENSOR_DTYPES}


def from_numpy(dtype: npt.DTypeLike) -> DType | None:
    """The DType of a NumPy dtype (any byte order), or None where nets has none."""
    return _FROM_NUMPY.get(np.dtype(dtype).newbyteorder("="))


_KIND_ORDER = {"b": 0, "i": 1, "u": 1, "f": 2}


def gives_way(kind: str, other: str) -> bool:
    """Whether a Python number of one kind takes on a dtype of the other kind: bools any, integers
    those of integers and floats, floats those of floats."""
    return _KIND_ORDER[kind] <= _KIND_ORDER[other]


Shape = tuple[Dim, ...]


def _shaped(word: str, shape: Shape, dtype: DType) -> str:
    # A size of a call ends with a space, for a name could run into the 'x'.
    dims = "".join(f"{dim} x" if isinstance(dim, Size) else f"{dim}x" for dim in shape)
    return f"{word}<{dims}{dtype}>"


MOST_ELEMENTS: Final = 2**59
"""This many elements of 8 bytes could not be addressed with a sign bit."""


def is_addressable(shape: Shape) -> bool:
    """Whether memory could hold a tensor of this shape, sizes of 0 and those of a call taken
    as 1."""
    return math.prod(n for n in shape if isinstance(n, int) and n) < MOST_ELEMENTS


@dataclass(frozen=True, slots=True)
class TensorType:
    """An immutable n-dimensional array value."""

    shape: Shape
    dtype: DType

    def __str__(self) -> str:
        return _shaped("tensor", self.shape, self.dtype)

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def is_static(self) -> bool:
        return all(isinstance(dim, int) for dim in self.shape)

    @property
    def static_shape(self) -> tuple[int, ...]:
        """The shape where every dimension is a number; an OpenSizeError else."""
        return _static(self.shape)

    @property
    def size(self) -> int:
        """Number of elements of a static tensor."""
        return math.prod(_static(self.shape))

    @property
    def elements(self) -> Dim:
        """Number of elements."""
        return math.prod(self.shape)

    def with_shape(self, shape: Shape) -> TensorType:
        return TensorType(tuple(shape), self.dtype)

    def with_dtype(self, dtype: DType) -> TensorType:
        return TensorType(self.shape, dtype)


@dataclass(frozen=True, slots=True)
class BufferType:
    """Contiguous row-major memory the loop dialect loads from and stores to."""

    shape: Shape
    dtype: DType

    def __str__(self) -> str:
        return _shaped("buffer", self.shape, self.dtype)

    @property
    def static_shape(self) -> tuple[int, ...]:
        """The shape where every dimension is a number; an OpenSizeError else."""
        return _static(self.shape)

    @property
    def size(self) -> int:
        return math.prod(_static(self.shape))

    @property
    def elements(self) -> Dim:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class ScalarType:
    """One element, held in a register."""

    dtype: DType

    def __str__(self) -> str:
        return self.dtype.name


@dataclass(frozen=True, slots=True)
class VectorType:
    """``lanes`` elements, held in vector registers."""

    lanes: int
    dtype: DType

    def __str__(self) -> str:
        return f"vector<{self.lanes}x{self.dtype}>"


Type = TensorType | BufferType | ScalarType | VectorType


@dataclass(frozen=True, slots=True)
class FunctionType:
    """Types of the arguments and of the results of a function."""

    arguments: tuple[Type, ...]
    results: tuple[Type, ...]

    def __str__(self) -> str:
        arguments = ", ".join(map(str, self.arguments))
        results = ", ".join(map(str, self.results))
        return f"({arguments}) -> ({results})"


def _static(shape: Shape) -> tuple[int, ...]:
    for dim in shape:
        if not isinstance(dim, int):
            shown = "x".join(map(str, shape))
            raise OpenSizeError(f"each size of {shown} is needed now, and only a call tells one")
    return shape  # type: ignore[return-value]
