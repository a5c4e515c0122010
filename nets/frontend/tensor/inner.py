"""Inner: what the other rooms of the frontend know of a tensor besides its public face.

A tensor holds a *value*: an eager one an array (``Variable``), a traced one a value of the function
being traced. It is *weak* where it stands for a Python number, whose dtype gives way. Users see
neither, so tensors have no public names for them; who needs them outside of this room asks here.
"""

from __future__ import annotations

from nets.frontend.tensor.scope import Source, leaked
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array, Variable, variable
from nets.ir.core import Value


def tensor_of(value: Value, weak: bool = False) -> Tensor:
    """A tensor that holds a value as it is. ``weak``: its dtype gives way."""
    return Tensor._of(value, weak)


def tensor_of_array(array: Array) -> Tensor:
    """An eager tensor of an array of a dtype that nets has; the array is not copied."""
    return Tensor._of(variable(array))


def value_of(source: Source) -> Value:
    """What a tensor holds now, or what is read from outside like a tensor."""
    return source._value


def eager_value(source: Source) -> Variable | None:
    """The same, of what is eager; None for what is traced, or was given away."""
    value = source._value
    return value if isinstance(value, Variable) else None


def held_value(source: Source) -> Variable:
    """The same; LeakedTracerError for a tensor of a trace, DonatedError for one given away."""
    value = source._value
    if not isinstance(value, Variable):
        raise leaked(source)
    return value


def elements_of(tensor: Tensor, what: str) -> Array:
    """The array of an eager tensor, not copied; ControlFlowError of ``what`` for a traced one."""
    return tensor._variable(what).data


def is_weak(tensor: Tensor) -> bool:
    """Does the tensor stand for a Python number, whose dtype gives way?"""
    return tensor._weak


def with_weakness(tensor: Tensor, weak: bool) -> Tensor:
    """A tensor of the same value that is weak, or is not."""
    return Tensor._of(tensor._value, weak)


def put_value(tensor: Tensor, value: Value) -> None:
    """Let a tensor hold another value from now on."""
    tensor._value = value
