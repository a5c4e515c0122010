"""Tensor: the array users hold, eager and traced the same class.

An eager tensor has a ``Variable`` (an array, perhaps with the operation that made it) as its
``_value``; a traced one has a plain ``Value`` of the function being traced. The arrays of eager
tensors never change: an index assignment or ``t.data = …`` gives the tensor another value, and
tensors computed from the old one keep it. Views (``views``) are no such tensors: they show what the
tensor they are of has now.
"""

from __future__ import annotations

import html
import operator
import re
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nets.backend.arrays import private_copy
from nets.errors import (
    ControlFlowError,
    DTypeError,
    GradientError,
    NetsError,
    ShapeError,
    TraceError,
)
from nets.frontend.tensor.autograd import backward, gradient_array
from nets.frontend.tensor.conversion import array_of, dtype_of
from nets.frontend.tensor.dimension import known, seen
from nets.frontend.tensor.elements import Elements
from nets.frontend.tensor.operators import Operators
from nets.frontend.tensor.printing import format_array, html_of_array
from nets.frontend.tensor.scope import Consumed, Outside, current_scope, is_live, leaked
from nets.frontend.tensor.state import assign, origin, read_gradient, write_gradient
from nets.frontend.tensor.state import backward as traced_backward
from nets.frontend.tensor.storing import raise_in, storing_frame
from nets.frontend.tensor.variable import Array, Variable, is_grad_enabled, variable, zeros_for
from nets.ir.core import Value
from nets.ir.location import user_location
from nets.ir.types import DType, TensorType, f64
from nets.ops.definition.emitter import tensor_type

_STORE: Final = (
    "an array of NumPy holds no traced elements: make it by nets.zeros and store x[i] = …, or join "
    "tensors by nets.stack"
)
_KEEP: Final = f"keep it a tensor (nets.astype), or pass the number as a static argument; {_STORE}"

_ADVICE: Final = {
    "bool()": "Python's if, while, and, or, not need the value now: write nets.where(c, x, y) "
    "instead of `x if c else y`, and & | ~ instead of and, or, not",
    "int()": _KEEP,
    "float()": _KEEP,
    "an index": "index a tensor with it (x[i]), or pass the number as a static argument",
    "an element of an array": _STORE,
    "a NumPy array of it": f"call the function of nets in place of NumPy's; {_STORE}",
}
"""What to write instead, for each thing a traced tensor cannot give."""

_CAPTURED: Final = re.compile(r"captured_\d+")
"""What a trace calls tensors from outside."""

_NAMED: Final = 4
"""Arguments that an error names, at most."""


_VALUES: Final = frozenset(
    {*_ADVICE, "numpy()", "tolist()", "item()", "a DLPack capsule", "a deep copy"}
)
"""What needs the elements of a tensor."""


class Tensor(Operators):
    """An n-dimensional array that knows how it was computed, so that it can be differentiated.

    ``data``: nested lists, an array, a number, or a Tensor; always copied. ``dtype``: a NumPy
    dtype or a name, by default the one NumPy gives to the data. ``requires_grad``: let
    ``backward`` leave a gradient in ``grad``; integers have float64 gradients.

    DTypeError for dtypes nets does not have, UnsupportedObjectError for ragged lists, object
    arrays and what lives on other devices. Inside a trace the tensor is a constant of the trace.
    """

    __slots__ = ("__weakref__", "_value", "_weak")

    _value: Value
    _weak: bool

    def __init__(
        self,
        data: npt.ArrayLike | Operators,
        requires_grad: bool = False,
        dtype: npt.DTypeLike | DType | None = None,
    ) -> None:
        wanted = None if dtype is None else dtype_of(dtype)
        self._weak = False
        scope = current_scope()
        if scope is not None:
            if requires_grad:
                raise TraceError(
                    "a tensor made inside a trace is a constant of it and takes no gradient; make "
                    "it outside, or pass it as an argument",
                    user_location(),
                )
            self._value = _staged(data, wanted)
            return
        self._value = variable(array_of(_plain(data), wanted))
        if requires_grad:
            self.requires_grad = True

    @classmethod
    def _of(cls, value: Value, weak: bool = False) -> Tensor:
        """A tensor of a value as it is. ``weak``: its dtype gives way, as a Python number's."""
        tensor = cls.__new__(cls)
        tensor._value = value
        tensor._weak = weak
        return tensor

    # ------------------------------------------------------------------ what it is

    @property
    def type(self) -> TensorType:
        """Shape and dtype, as IR has them."""
        return tensor_type(self._value)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes; those that a call tells count as integers (``docs/sizes.md``)."""
        return seen(self.type.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.type.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return known(self.type.elements)  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of the elements."""
        return self._value.type.dtype.numpy

    @property
    def is_traced(self) -> bool:
        """Whether the tensor stands for a value of a function that is being traced."""
        return not isinstance(self._value, Variable)

    @property
    def data(self) -> Array:
        """The elements, as an array that is not copied and cannot be written to (ReadOnlyError).

        Assigning an array of the same shape gives the tensor new elements (of its own dtype),
        outside the reach of gradients; results computed before keep the old ones. Inside a trace
        this is a traced tensor without gradient, and assigning to it changes the tensor after
        each call of the compiled function.
        """
        if current_scope() is not None:
            return Tensor._of(_staged(self, None), self._weak)  # type: ignore[return-value]
        view = self._variable(".data").data.view(Elements)
        view.flags.writeable = False
        return view

    @data.setter
    def data(self, new: npt.ArrayLike | Operators) -> None:
        scope = current_scope()
        if scope is not None:
            scope.emitter.builder.location = user_location()
            assign(scope, self, _staged(new, None))
            return
        old = self._variable("assigning to .data")
        array = array_of(_plain(new), old.type.dtype)
        if array.shape != old.data.shape:
            raise ShapeError(
                f"a tensor of shape {old.data.shape} cannot take data of shape {array.shape}",
                user_location(),
            )
        self._value = old.successor(array)

    # ------------------------------------------------------------------- gradients

    @property
    def requires_grad(self) -> bool:
        """Whether backward passes leave a gradient here. May be set on leaves."""
        own = origin(self)
        return own is not None and own.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        own = self._variable("setting requires_grad")
        if own.owner is not None:
            raise GradientError(
                "requires_grad belongs to tensors that no recorded operation made; use detach()",
                user_location(),
            )
        if value and own.type.dtype.is_bool:
            raise DTypeError("a bool tensor has no gradient", user_location())
        own.requires_grad = bool(value)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        return not isinstance(self._value, Variable) or self._value.owner is None

    @property
    def grad(self) -> Tensor | None:
        """The gradient so far: zeros before any backward pass; None unless requires_grad."""
        scope = current_scope()
        if scope is not None:
            value = read_gradient(scope, self)
            return None if value is None else Tensor._of(value)
        own = self._value
        if not isinstance(own, Variable) or not own.requires_grad:
            return None
        return Tensor._of(variable(zeros_for(own) if own.gradient is None else own.gradient))

    @grad.setter
    def grad(self, new: npt.ArrayLike | Operators | None) -> None:
        scope = current_scope()
        if scope is not None and origin(self) is not None:
            write_gradient(scope, self, None if new is None else _staged_gradient(self, new))
            return
        own = self._variable("assigning to .grad")
        own.gradient = None if new is None else gradient_array(own, new)

    def zero_grad(self) -> None:
        """Set the gradient back to zeros."""
        scope = current_scope()
        if scope is not None and origin(self) is not None:
            write_gradient(scope, self, None)
            return
        self._variable("zero_grad()").gradient = None

    def backward(self, grad: npt.ArrayLike | Operators | None = None) -> None:
        """Add d(self · grad)/d(t) to the gradient of every tensor t this one was made from.

        ``grad`` has the shape of this tensor and may be left out for one element. GradientError
        where this tensor does not require a gradient or ``grad`` is missing, ShapeError where it
        has another shape. Visits each recorded operation once. Inside a trace the gradients of
        captured tensors that require one become part of the compiled function.
        """
        scope = current_scope()
        if scope is not None and self.is_traced and is_live(self._value):
            traced_backward(scope, self, _seed(self, grad))
            return
        backward(self._variable("backward()"), grad)

    # ------------------------------------------------------------------ conversion

    def numpy(self) -> Array:
        """A copy of the elements as a NumPy array."""
        return self._variable("numpy()").data.copy()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers; a number for a 0-d tensor."""
        return self._variable("tolist()").data.tolist()

    def item(self) -> Any:
        """The one element as a Python number; ShapeError where there is not exactly one."""
        return self._one_element("item()").item()

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        self._variable("a NumPy array of it")
        if self._loses_gradient():
            raise _lost("a NumPy array of it")
        return np.array(self.data, dtype=dtype, copy=copy)

    def __bool__(self) -> bool:
        return bool(self._one_element("bool()"))

    def __int__(self) -> int:
        return int(self._one_element("int()"))

    def __float__(self) -> float:
        return float(self._one_element("float()"))

    def __index__(self) -> int:
        element = self._one_element("an index")
        if self.ndim or not self._value.type.dtype.is_integer:
            raise DTypeError(f"an index is a 0-d integer tensor, not {self.type}", user_location())
        return int(element)

    def __len__(self) -> int:
        if not self.ndim:
            raise ShapeError("a 0-d tensor has no length", user_location())
        return operator.index(self.shape[0])

    def __hash__(self) -> int:
        return id(self)

    def __dir__(self) -> list[str]:
        return [name for name in object.__dir__(self) if hasattr(type(self), name)]

    def __copy__(self) -> Tensor:
        scope = current_scope()
        value = self._value if scope is None else scope.lift(self)
        return type(self)._of(value, self._weak)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if current_scope() is not None:
            return Tensor._of(_staged(self, None), self._weak)
        own = self._variable("a deep copy")
        copy = Variable(own.data.copy(), own.type, own.requires_grad)
        copy.gradient = own.gradient
        return type(self)._of(copy, self._weak)

    def __reduce__(self) -> tuple[Any, ...]:
        """Elements, gradient and whether one is required; not the way it was computed.

        As in PyTorch a tensor that an operation made becomes a leaf.
        """
        own = self._variable("pickling")
        parts = own.data, own.requires_grad, own.gradient, self._weak
        return _unpickled, (type(self), *parts), getattr(self, "__dict__", None)

    def _variable(self, what: str) -> Variable:
        """The eager value; ControlFlowError where ``what`` is asked of a traced tensor, or in a
        trace, of one that may hold other elements at the next call."""
        if isinstance(self._value, Variable):
            if current_scope() is not None and what in _VALUES:
                raise ControlFlowError(
                    f"{what} needs the value of a tensor that the traced function closes over, "
                    "which is read when the compiled function runs; "
                    + _ADVICE.get(what, "use the tensor itself"),
                    user_location(),
                )
            return self._value
        if not is_live(self._value):
            raise leaked(self)
        name = f" {self._value.hint!r}" if self._value.hint else ""
        advice = _ADVICE.get(what, "return the tensor from the traced function to see its value")
        depends, ways = _depends(self._value), _way_out(self)
        raise ControlFlowError(
            f"{what} needs the value of the traced tensor{name} of type {self.type}, which "
            f"{depends}is known only when the compiled function runs; {advice}{ways}",
            user_location(),
        )

    def _one_element(self, what: str) -> Array:
        self._refuse_to_be_stored()
        data = self._variable(what).data
        if data.size != 1:
            raise ShapeError(
                f"{what} needs a tensor of one element, not of shape {data.shape}",
                user_location(),
            )
        return data.reshape(())

    def _refuse_to_be_stored(self) -> None:
        """Refuse ``z[0] = x`` for a NumPy array z, which asks x for a number, where a gradient or
        the trace would be lost."""
        loses = self._loses_gradient()
        frame = storing_frame() if loses or self.is_traced else None
        if frame is None:
            return
        try:
            self._variable("an element of an array")
            error: NetsError = _lost("an element of an array")
        except NetsError as refusal:
            error = refusal
        raise_in(frame, error)

    def _loses_gradient(self) -> bool:
        """Would a copy of the elements lose a gradient that is being recorded?"""
        own = self._value
        return isinstance(own, Variable) and own.requires_grad and is_grad_enabled()

    # -------------------------------------------------------------------- printing

    def __repr__(self) -> str:
        if isinstance(self._value, Consumed):
            return "tensor(donated)"
        if not isinstance(self._value, Variable):
            return f"tensor(traced {self.type})"
        return format_array(self._value.data, self.requires_grad, dtype=True)

    def __str__(self) -> str:
        if not isinstance(self._value, Variable):
            return repr(self)
        return format_array(self._value.data, self.requires_grad)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def _repr_html_(self) -> str:
        if not isinstance(self._value, Variable):
            return f"<pre>{html.escape(repr(self))}</pre>"
        return html_of_array(self._value.data, self.requires_grad)


def _depends(value: Value) -> str:
    """Which arguments of the traced function a value was computed from, in words."""
    found: list[Value] = []
    seen, pending = {value}, [value]
    for one in pending:
        made_by = one.operation
        if made_by is None and one is not value and one.hint:
            found.append(one)
        for operand in made_by.operands if made_by is not None else ():
            if operand not in seen:
                seen.add(operand)
                pending.append(operand)
    if not found:
        return ""
    hints = [x.hint for x in sorted(found, key=lambda x: x.index)]
    names = dict.fromkeys(_CAPTURED.sub("tensors from outside", hint) for hint in hints)
    listed = [*list(names)[:_NAMED], *(["…"] if len(names) > _NAMED else [])]
    return f"depends on {', '.join(listed)} and "


def _way_out(tensor: Tensor) -> str:
    """What to do about an argument that is a Python number."""
    value = tensor._value
    if not tensor._weak or value.operation is not None or not value.hint:
        return ""
    return f". Or let it stay the Python number it is: static_argnames={value.hint!r}"


def _unpickled(
    kind: type[Tensor], data: Array, requires_grad: bool, gradient: Array | None, weak: bool
) -> Tensor:
    """A tensor of elements that may be in memory of the pickler's, which compiled code must not
    write to."""
    own = variable(private_copy(data))
    own.requires_grad = requires_grad
    own.gradient = None if gradient is None else private_copy(gradient)
    return kind._of(own, weak)


def _lost(what: str) -> GradientError:
    """The error for a conversion, one of ``_ADVICE``, that nobody asked for by name."""
    return GradientError(
        f"this tensor requires a gradient, which {what} would lose: "
        f"{_ADVICE[what]}; where no gradient is wanted, write tensor.detach() or "
        "tensor.numpy()",
        user_location(),
    )


def _plain(data: npt.ArrayLike | Operators) -> npt.ArrayLike | Operators:
    """What an array can be made of, asked for on purpose: the elements of a tensor."""
    return data.data if isinstance(data, Tensor) else data


def _staged(data: npt.ArrayLike | Operators, dtype: DType | None) -> Value:
    """A constant of the innermost trace, or another tensor's value in it, without gradient."""
    scope = current_scope()
    assert scope is not None
    b = scope.emitter
    b.builder.location = user_location()
    source = scope.source(data) if isinstance(data, np.ndarray) else data
    if not isinstance(source, Tensor | Outside):
        return b.emit("constant", value=array_of(data, dtype))
    value = b.emit("stop_gradient", scope.lift(source))
    return value if dtype is None else b.cast(value, dtype)


def _staged_gradient(tensor: Tensor, grad: npt.ArrayLike | Operators) -> Value:
    """A gradient for ``tensor`` as a value of the trace; ShapeError where it does not fit."""
    scope = current_scope()
    assert scope is not None
    scope.emitter.builder.location = user_location()
    value = scope.lift(grad) if isinstance(grad, Tensor) else _staged(grad, None)
    own = tensor.type
    if tensor_type(value).shape != own.shape:
        raise ShapeError(
            f"the gradient of a tensor of shape {own.shape} cannot have shape "
            f"{tensor_type(value).shape}",
            user_location(),
        )
    return scope.emitter.cast(value, own.dtype if own.dtype.is_float else f64)


def _seed(tensor: Tensor, grad: npt.ArrayLike | Operators | None) -> Value:
    """The cotangent that ``backward`` starts with, inside a trace."""
    if grad is not None:
        return _staged_gradient(tensor, grad)
    scope = current_scope()
    assert scope is not None
    if tensor.size != 1:
        raise GradientError(
            f"backward() of a tensor of shape {tensor.shape} needs its gradient as argument: "
            "only for one element is it 1",
            user_location(),
        )
    scope.emitter.builder.location = user_location()
    return scope.emitter.full(tensor.type.shape, 1, tensor.type.dtype)
