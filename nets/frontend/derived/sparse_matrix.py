"""Sparse matrices: elements of a pattern that is known when a program is traced.

A ``SparseMatrix`` is a container with one leaf, its values; where they stand is a matter of its
class, of which there is one per pattern. So matrices are passed, returned, carried by loops and
exported like any container, and two of another pattern are of another nest.
"""

from __future__ import annotations

import copyreg
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from nets.errors import ArgumentError, ShapeError, UnsupportedObjectError
from nets.frontend.tensor.functions import concatenate, take, zeros
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array
from nets.ir.location import user_location

DOTS: Final = (72, 40)
"""Of a picture, at most: rows and columns."""
_BITS: Final = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Of the dots of a braille character, which has four rows of two."""


class SparsityPattern:
    """Where a matrix may be other than zero: ``rows`` and ``cols``, sorted by row, then by column.

    ``shape`` are the numbers of rows and columns of the matrix, ``nnz`` is how many elements may
    be other than zero. Patterns of the same elements are equal. The repr is a small picture.

    ArgumentError where rows and columns are no integers of one length, ShapeError where they are
    not sorted or not within the shape.
    """

    __slots__ = ("__weakref__", "_hash", "cols", "rows", "shape")

    def __init__(self, rows: object, cols: object, shape: tuple[int, int]) -> None:
        self.rows, self.cols = _indices(rows), _indices(cols)
        self.shape = (int(shape[0]), int(shape[1]))
        self._check()
        self._hash = hash((self.shape, self.rows.tobytes(), self.cols.tobytes()))

    def _check(self) -> None:
        rows, cols = self.rows, self.cols
        if rows.shape != cols.shape:
            raise ArgumentError(
                f"there are {rows.size} rows and {cols.size} columns", user_location()
            )
        inside = all(
            not x.size or (x.min() >= 0 and x.max() < n)
            for x, n in zip((rows, cols), self.shape, strict=True)
        )
        if not inside or np.any(np.diff(rows * max(self.shape[1], 1) + cols) <= 0):
            raise ShapeError(
                f"the rows and columns of a pattern of shape {self.shape} lie inside of it, sorted "
                "by row, then by column, each pair once",
                user_location(),
            )

    @property
    def nnz(self) -> int:
        """How many elements may be other than zero."""
        return int(self.rows.size)

    @property
    def indptr(self) -> Array:
        """Where each row begins among the elements; and behind the last one, where it ends."""
        counts = np.bincount(self.rows, minlength=self.shape[0])
        return np.concatenate([[0], np.cumsum(counts)])

    def todense(self) -> Array:
        """The pattern as a matrix of bools."""
        found = np.zeros(self.shape, np.bool_)
        found[self.rows, self.cols] = True
        return found

    def matrix(self, values: object) -> SparseMatrix:
        """The matrix of these values, one per element. ShapeError where there are more or less."""
        given = getattr(values, "shape", None)
        if given != (self.nnz,):
            raise ShapeError(
                f"a matrix of {self.nnz} elements takes an array of as many values, not {given}",
                user_location(),
            )
        made: SparseMatrix = _over(self)(values)
        return made

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SparsityPattern):
            return NotImplemented
        same = self is other or (self.shape == other.shape and self._hash == other._hash)
        return (
            same and np.array_equal(self.rows, other.rows) and np.array_equal(self.cols, other.cols)
        )

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return SparsityPattern, (self.rows, self.cols, self.shape)

    def __repr__(self) -> str:
        title = f"SparsityPattern({self.shape[0]} × {self.shape[1]}, nnz={self.nnz})"
        return "\n".join([title, *_picture(self)])


def _indices(given: object) -> Array:
    found = np.array(given)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise ArgumentError("rows and columns are lists of integers", user_location())
    found = found.astype(np.int64)
    found.flags.writeable = False
    return found


def _picture(pattern: SparsityPattern) -> list[str]:
    """The pattern in braille, each dot as many elements as it takes to fit."""
    each = max(1, *(-(-n // most) for n, most in zip(pattern.shape, DOTS, strict=True)))
    height, width = (-(-n // each) for n in pattern.shape)
    cells = np.zeros((-(-height // 4), -(-width // 2)), np.int64)
    rows, cols = pattern.rows // each, pattern.cols // each
    np.bitwise_or.at(cells, (rows // 4, cols // 2), _BITS[rows % 4, cols % 2])
    return ["".join(chr(0x2800 + int(cell)) for cell in line) for line in cells]


class _OfPattern(type):
    """The class of the classes of matrices, which are pickled by their pattern."""

    pattern: SparsityPattern


def _reduced(kind: _OfPattern) -> str | tuple[Any, ...]:
    return (_over, (kind.pattern,)) if "pattern" in vars(kind) else kind.__qualname__


copyreg.pickle(_OfPattern, _reduced)


@dataclass(eq=False, repr=False)
class SparseMatrix(metaclass=_OfPattern):
    """A matrix of which the elements of a pattern are kept: ``values``, sorted by row, then column.

    It is a container like any other: traced functions take and give it. ``pattern.matrix(values)``
    makes one.
    """

    values: Any
    if TYPE_CHECKING:  # else it were among the fields, for those who look no closer
        pattern: ClassVar[SparsityPattern]

    @property
    def rows(self) -> Array:
        """The row of each value."""
        return self.pattern.rows

    @property
    def cols(self) -> Array:
        """The column of each value."""
        return self.pattern.cols

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and columns."""
        return self.pattern.shape

    @property
    def nnz(self) -> int:
        """How many values there are."""
        return self.pattern.nnz

    @property
    def dtype(self) -> Any:
        """That of the values."""
        return self.values.dtype

    def todense(self) -> Tensor:
        """The whole matrix, as a tensor."""
        table = np.full(self.shape, self.nnz)
        table[self.rows, self.cols] = np.arange(self.nnz)
        return take(concatenate([self.values, zeros((1,), self.dtype)]), table)

    def tocsr(self) -> tuple[Any, Array, Array]:
        """``(data, indices, indptr)``: values and columns row by row, and where each row begins."""
        return self.values, self.cols, self.pattern.indptr

    def tocsc(self) -> tuple[Any, Array, Array]:
        """``(data, indices, indptr)``: values and rows column by column, and where each begins."""
        order = np.lexsort((self.rows, self.cols))
        counts = np.bincount(self.cols, minlength=self.shape[1])
        return take(self.values, order), self.rows[order], np.concatenate([[0], np.cumsum(counts)])

    def toscipy(self) -> Any:
        """The same for SciPy: a ``scipy.sparse.csr_array`` of the values as they are now.

        UnsupportedObjectError where SciPy is not installed: ``pip install nets[scipy]``.
        """
        try:
            from scipy.sparse import csr_array
        except ImportError:
            raise UnsupportedObjectError(
                "SciPy is not installed: pip install nets[scipy]", user_location()
            ) from None
        return csr_array((np.asarray(self.values), self.cols, self.pattern.indptr), self.shape)

    def __repr__(self) -> str:
        title = f"SparseMatrix({self.shape[0]} × {self.shape[1]}, nnz={self.nnz}, {self.dtype})"
        return "\n".join([title, *_picture(self.pattern)])


_classes: Final[weakref.WeakValueDictionary[SparsityPattern, _OfPattern]] = (
    weakref.WeakValueDictionary()
)
"""The class of the matrices of a pattern, as long as somebody has one."""


def _over(pattern: SparsityPattern) -> Any:
    """The class of the matrices of a pattern."""
    found = _classes.get(pattern)
    if found is None:
        members = {"pattern": pattern, "__doc__": SparseMatrix.__doc__, "__module__": __name__}
        found = _classes.setdefault(pattern, _OfPattern("SparseMatrix", (SparseMatrix,), members))
    return found
