"""Parametrisations: tensors of a module that are computed from other ones, which are trained.

A parametrised module gets a class of its own, in which the name of the tensor computes it each time
it is read, and a child ``parametrizations`` that holds what it is computed from, with PyTorch's
names: ``parametrizations.weight.original`` (or ``original0``, ``original1``, … where there are
several), and ``parametrizations.weight.0`` for the module that computes it. In a trace equal reads
are one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nets
from nets.nn.container import ModuleDict
from nets.nn.functional.arguments import check
from nets.nn.module import Module, Parameter
from nets.nn.utils.computed import HELD, give_class

__all__ = [
    "ParametrizationList",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
]


class ParametrizationList(Module):
    """What one tensor is computed from, and the modules that compute it, one after the other.

    At first ``tensor`` is what is computed, by ``parametrization`` alone.
    """

    def __init__(self, tensor: nets.Tensor, parametrization: Module) -> None:
        super().__init__()
        try:
            given = _inverse(parametrization, tensor)
        except NotImplementedError:  # as in PyTorch: from some tensors there is no way back
            given = tensor.detach()
        self._names: tuple[str, ...] = ("original",)
        if isinstance(given, tuple):
            self._names = tuple(f"original{i}" for i in range(len(given)))
        for name, value in zip(self._names, self._listed(given), strict=True):
            self._hold(name, tensor, value)
        self._count = 0
        self.append(parametrization)

    def _listed(self, given: Any) -> tuple[Any, ...]:
        return given if isinstance(given, tuple) else (given,)

    def _hold(self, name: str, tensor: nets.Tensor, value: nets.Tensor) -> None:
        """Hold a tensor of the kind that the parametrised one was of; itself, where it is one."""
        held: nets.Tensor
        if len(self._names) == 1:
            held, held.data = tensor, value.numpy()
        elif isinstance(tensor, Parameter):
            held = Parameter(value.numpy(), tensor.requires_grad)
        else:
            held = nets.Tensor(value.numpy(), tensor.requires_grad)
        if isinstance(tensor, Parameter):
            setattr(self, name, held)
        else:
            self.register_buffer(name, held)

    @property
    def originals(self) -> tuple[nets.Tensor, ...]:
        """What the tensor is computed from."""
        return tuple(getattr(self, name) for name in self._names)

    def append(self, parametrization: Module) -> None:
        """Compute the tensor by this module from what it was so far."""
        setattr(self, str(self._count), parametrization)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Module:
        found: Module = getattr(self, str(range(self._count)[index]))
        return found

    def forward(self) -> Any:
        first, *others = (self[i] for i in range(self._count))
        value = first(*self.originals)
        for parametrization in others:
            value = parametrization(value)
        return value

    def right_inverse(self, value: Any) -> None:
        """Let the originals be such that the tensor is this value."""
        with nets.no_grad():
            given: Any = nets.as_tensor(value)
            try:
                for i in reversed(range(self._count)):
                    given = _inverse(self[i], given)
            except NotImplementedError as error:
                raise nets.errors.ArgumentError(str(error), nets.user_location()) from None
            for held, new in zip(self.originals, self._listed(given), strict=True):
                held.data = new.numpy()


def _inverse(parametrization: Module, value: nets.Tensor) -> Any:
    """A tensor, or several, of which the module makes this one; itself where it does not tell."""
    inverse: Callable[[Any], Any] | None = getattr(parametrization, "right_inverse", None)
    with nets.no_grad():
        given = value.detach() if inverse is None else inverse(value.detach())
    return tuple(given) if isinstance(given, list | tuple) else given


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the tensor ``tensor_name`` of ``module``, or any one, is computed from others."""
    held = vars(module).get(HELD)
    if not isinstance(held, ModuleDict):
        return False
    return len(held) > 0 if tensor_name is None else tensor_name in held


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Compute a parameter or buffer of ``module`` from others, by ``parametrization``; the module.

    ``parametrization.forward`` takes what is stored and gives the tensor. Its ``right_inverse``, if
    it has one, takes a tensor and gives what is to be stored for it, a tensor or a tuple of them;
    without one the tensor is stored as it is. It is also what an assignment to ``tensor_name``
    calls. The tensor must keep its shape and dtype, unless ``unsafe``. A name that is parametrised
    already is computed further.

    ArgumentError where the module has no tensor of that name, ``parametrization`` is no module, or
    one that follows another takes several tensors; ShapeError or DTypeError for another shape or
    dtype.
    """
    check(
        isinstance(parametrization, Module),
        f"a parametrization is a module, not {parametrization!r}",
    )
    if is_parametrized(module, tensor_name):
        held = vars(module)[HELD][tensor_name]
        before = held()
        several = not unsafe and isinstance(_inverse(parametrization, before), tuple)
        check(not several, f"{tensor_name} is parametrised: what follows takes one tensor")
        if not unsafe:
            _check_same(parametrization(before), before, tensor_name)
        held.append(parametrization)
        return module
    tensor = vars(module).get(tensor_name)
    if not isinstance(tensor, nets.Tensor):
        raise nets.errors.ArgumentError(
            f"this {type(module).__name__} has no parameter or buffer named {tensor_name!r}",
            nets.user_location(),
        )
    before = nets.Tensor(tensor.numpy())
    made = ParametrizationList(tensor, parametrization)
    try:
        if not unsafe:
            _check_same(made(), before, tensor_name)
    except nets.errors.NetsError:
        tensor.data = before.numpy()
        raise
    del vars(module)[tensor_name]
    module._buffers -= {tensor_name}
    if HELD not in vars(module):
        setattr(module, HELD, ModuleDict())
    vars(module)[HELD][tensor_name] = made
    give_class(module)
    return module


def _check_same(found: Any, before: nets.Tensor, name: str) -> None:
    if found.shape != before.shape:
        raise nets.errors.ShapeError(
            f"{name} has shape {before.shape}, parametrised {found.shape}", nets.user_location()
        )
    if found.dtype != before.dtype:
        raise nets.errors.DTypeError(
            f"{name} is {before.dtype}, parametrised {found.dtype}", nets.user_location()
        )


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Let the tensor ``tensor_name`` be stored again, as it is computed now; the module.

    ``leave_parametrized`` false: as it was stored instead. ArgumentError where it is not
    parametrised, or is stored as several tensors and to be left as such.
    """
    check(
        is_parametrized(module, tensor_name),
        f"this {type(module).__name__} has no parametrization of {tensor_name}",
    )
    held = vars(module)[HELD][tensor_name]
    first = held.originals[0]
    is_one = len(held.originals) == 1
    check(
        leave_parametrized or is_one,
        f"{tensor_name} is stored as several tensors, so it cannot be left as it is stored",
    )
    if leave_parametrized:
        with nets.no_grad():
            value = held().numpy()
        wanted = any(tensor.requires_grad for tensor in held.originals)
        if is_one and first.shape == value.shape and first.dtype == value.dtype:
            first.data = value
        else:
            first = type(first)(value, wanted)
    del vars(module)[HELD][tensor_name]
    if not len(vars(module)[HELD]):
        delattr(module, HELD)
    give_class(module)
    if isinstance(first, Parameter):
        setattr(module, tensor_name, first)
    else:
        module.register_buffer(tensor_name, first)
    return module
