"""Variable: the value of an eager tensor, and the tape that remembers how it was made.

The tape is no object of its own. A Variable that takes part in a gradient has as its ``owner`` an
``Operation`` outside any block, whose operands are Variables again. Such an operation does not
list its results (they refer to it), so there are no reference cycles, and a chain of operations
is freed as soon as the last tensor at its end is dropped.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from nets.errors import ForkError
from nets.ir.core import Attributes, OpDefinition, Operation, Value
from nets.ir.location import Location
from nets.ir.types import TENSOR_DTYPES, TensorType, Type

Array = npt.NDArray[Any]


def _await(slot: Any, holder: Any) -> Any:
    """The array of a slot that is empty because native code is updating the array in place.

    Such a call takes the array out of the slot and puts it back at its end. Python finds the slot
    empty and asks here; this function waits until the array is back.

    A signal handler may run in the middle of a call of its own thread. It cannot wait for that
    call, so it gets a copy of the elements from before the call. ForkError in a forked child, where
    the call ran in a thread that the child does not have.
    """
    from nets._dispatch import taken

    found = taken(holder)
    if isinstance(found, np.ndarray):
        return found
    if found is not None:
        raise ForkError(
            "a call of another thread was updating this tensor when the process was forked; its "
            "elements are lost in the child: fork when no call is under way",
        )
    while True:
        time.sleep(_PAUSE)
        try:
            return slot.__get__(holder)
        except AttributeError:
            continue


class Total:
    """The place of the gradient of a tensor, whatever elements the tensor has in the meantime."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array: Array | None = None
        """What backward passes have added up so far; None for zeros."""

    def __getattr__(self, name: str) -> Any:
        if name not in Total.__slots__:
            raise AttributeError(name)
        return _await(getattr(Total, name), self)


class Variable(Value):
    """An array with, where a gradient is wanted, the operation that made it."""

    __slots__ = ("data", "requires_grad", "total")

    def __init__(
        self,
        data: Array,
        type: Type,
        requires_grad: bool = False,
        owner: Operation | None = None,
        index: int = 0,
    ) -> None:
        super().__init__(type, owner, index)
        self.uses = _NO_USES
        self.data = data
        self.requires_grad = requires_grad
        self.total: Total | None = None
        """Made when there is a gradient, or somebody to share it with."""

    def __getattr__(self, name: str) -> Any:
        if name not in Variable.__slots__:
            raise AttributeError(f"a value has no attribute {name!r}")
        return _await(getattr(Variable, name), self)

    @property
    def gradient(self) -> Array | None:
        """What backward passes have added up so far; None for zeros."""
        return None if self.total is None else self.total.array

    @gradient.setter
    def gradient(self, array: Array | None) -> None:
        if self.total is None:
            self.total = Total()
        self.total.array = array

    def successor(self, data: Array) -> Variable:
        """The same leaf with other elements. What was made of the old ones still has its gradient
        added to the one that both share."""
        new = Variable(data, self.type, self.requires_grad)
        if self.total is None and self.requires_grad:
            self.total = Total()
        new.total = self.total
        return new


_NO_USES: Any = MappingProxyType({})
"""Of all Variables: uses are those by operations in blocks, where no Variable is an operand."""

_PAUSE = 1e-4
"""Seconds between two looks at an array that another thread's call is updating."""


def variable(data: Array) -> Variable:
    """A Variable of an array whose dtype nets has; the array is not copied."""
    return Variable(data, TensorType(data.shape, _DTYPES[data.dtype]))


_DTYPES = {dtype.numpy: dtype for dtype in TENSOR_DTYPES}


def carries_gradient(operands: Sequence[Variable], result: Type, definition: OpDefinition) -> bool:
    """Does a result of this type continue the gradient of the operands?

    Floats continue every gradient; integers that of integers, where the op has a derivative;
    bools none.
    """
    if not result.dtype.is_bool and this_thread.records:
        for operand in operands:
            if operand.requires_grad:
                if result.dtype.is_float:
                    return True
                if operand.type.dtype.is_integer:
                    return getattr(definition, "derivative_reason", None) is None
    return False


class Recorded(Operation):
    """A tape entry, which keeps its operands and is kept by its results.

    ``serial`` numbers all of them in the order of execution.
    """

    __slots__ = ("serial",)

    def __init__(
        self,
        definition: OpDefinition,
        operands: Sequence[Variable],
        attributes: Attributes,
        location: Location | None,
    ) -> None:
        super().__init__(definition, operands, (), attributes, (), location)
        self.serial = next(_serials)


_serials = itertools.count()


class _Mode(threading.local):
    records = True


this_thread = _Mode()


def is_grad_enabled() -> bool:
    """Whether eager operations of this thread are recorded for ``backward``."""
    return this_thread.records


@contextmanager
def no_grad() -> Iterator[None]:
    """Operations in the ``with`` block (or decorated function) are not recorded."""
    saved, this_thread.records = this_thread.records, False
    try:
        yield
    finally:
        this_thread.records = saved


@contextmanager
def enable_grad() -> Iterator[None]:
    """Operations in the ``with`` block are recorded again, inside a ``no_grad``."""
    saved, this_thread.records = this_thread.records, True
    try:
        yield
    finally:
        this_thread.records = saved


def zeros_for(value: Variable) -> Array:
    """A gradient of zeros: the dtype of a float, float64 for integers."""
    dtype = value.data.dtype if value.type.dtype.is_float else np.dtype(np.float64)
    return np.zeros(value.data.shape, dtype)
